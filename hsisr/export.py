"""Results in the formats that other programs open: file names, cubes, spectral libraries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Block, Cube, CubeSpec, Spectrum
from hsisr.errors import UsageError
from hsisr.files import human_size, require_new, require_room
from hsisr.formats import FORMATS, create_cube, load
from hsisr.formats._spectral_library import write_library
from hsisr.window import Window

_HEADER_SUFFIXES = (".hdr",)


def format_of(cube: Cube, wanted: str | None, output: Path | None) -> str:
    """The format to write: what was asked for, else what the name says, else the input's."""
    if wanted is not None:
        load(wanted)
        return wanted
    suffix = output.suffix.lower() if output else ""
    for name in FORMATS:
        if suffix and suffix in load(name).SUFFIXES:
            return name
    return cube.format


def beside(scene: Path, tag: str, format_name: str, cube: Cube) -> Path:
    """The default name of a result: `scene.img` and `x8` give `scene_x8.img` in the same folder."""
    data = next(path for path in cube.files if path.suffix.lower() not in _HEADER_SUFFIXES)
    suffix = data.suffix if format_name == cube.format else load(format_name).SUFFIXES[0]
    return scene.with_name(f"{data.stem if data.suffix else data.name}_{tag}{suffix}")


def require_writable(
    cube: Cube, outputs: Iterable[Path], needed: int, *, overwrite: bool
) -> None:
    """Check before any work that all outputs can be written; raises `OutputError`, `UsageError`."""
    outputs = list(outputs)
    require_new(outputs, cube.files, overwrite=overwrite)
    require_room(outputs[0], needed)


def outputs_of(path: Path, format_name: str) -> tuple[Path, ...]:
    """The files that a cube written to `path` consists of."""
    return load(format_name).outputs(path)


def write_windows(
    path: Path, spec: CubeSpec, format_name: str, windows: Iterable[tuple[Window, Block]]
) -> Iterator[tuple[Window, int]]:
    """Write a cube window by window, yielding each window and the samples clipped so far.

    The cube appears when the last window is in; left early, there is none.
    """
    with create_cube(path, spec, format_name) as writer:
        for window, block in windows:
            writer.write(window, block)
            yield window, writer.clipped


def write_endmembers(
    stem: Path, spectra: NDArray[np.float32], spectrum: Spectrum | None
) -> tuple[Path, ...]:
    """Write spectra (p, B) as an ENVI spectral library and as CSV; returns the files."""
    names = endmember_names(len(spectra))
    return write_library(stem.with_suffix(".sli"), spectra, names, spectrum)


def endmember_names(count: int) -> list[str]:
    """`endmember 1`, `endmember 2`, ..."""
    return [f"endmember {i + 1}" for i in range(count)]


def size_in_words(spec: CubeSpec) -> str:
    """`4784 x 33600 pixels x 387 bands int16, 124.4 GB`."""
    return (
        f"{spec.cols} x {spec.rows} pixels x {spec.bands} bands {spec.dtype.name}, "
        f"{human_size(spec.nbytes)}"
    )


def require_scale(scale: int | None, known: int) -> int:
    """The scale to use; raises `UsageError` if none was given and the model does not say."""
    if scale is None and known < 2:
        raise UsageError("no --scale given", hint="--scale 4")
    return scale or known
