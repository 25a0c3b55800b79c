"""Results in the formats that other programs open: file names, cubes, spectral libraries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube, CubeSpec, Spectrum
from hsisr.files import human_size, require_new, require_room, reserved
from hsisr.formats import FORMATS, load
from hsisr.formats.envi.library import write_library, write_table
from hsisr.results.palette import classes
from hsisr.wording import counted

_HEADER = ".hdr"
_READ_ONLY = {".png"}


def format_of(cube: Cube, wanted: str | None, output: Path | None) -> str:
    """The format to write: what was asked for, else what the name says, else the input's.

    ENVI where the input's cannot be written. Raises `UsageError` for an unknown one.
    """
    if wanted is not None:
        load(wanted)
        return wanted
    suffix = output.suffix.lower() if output else ""
    if suffix == cube.files[0].suffix.lower():
        return cube.format
    named = (name for name in FORMATS if suffix and suffix in load(name).SUFFIXES)
    return next(named, cube.format if cube.format in FORMATS else FORMATS[0])


def stem_of(cube: Cube, output: Path | None) -> Path:
    """The common stem of the names of several results: `output` without its ending.

    By default the scene's own name, in its folder or in the folder `output`.
    """
    if output is None or output.is_dir():
        return (output or cube.files[0].parent) / _stem(cube.files[0])
    return output.with_name(_stem(output))


def tagged(stem: Path, tag: str, format_name: str, like: Path | None = None) -> Path:
    """The data file of a result: `scene` and `x8` give `scene_x8.img` in ENVI format.

    The ending is that of `like`, where given.
    """
    ending = load(format_name).SUFFIXES[0] if like is None else _ending(like)
    return outputs_of(stem.with_name(f"{stem.name}_{tag}{ending}"), format_name)[0]


def beside(path: Path, ending: str) -> Path:
    """A file that goes with `path`: `scene_x8.img` and `.png` give `scene_x8.png`."""
    return path.with_name(_stem(path) + ending)


def tells_format(path: Path) -> bool:
    """Whether a file's name tells a format."""
    return _ending(path) != ""


def _stem(path: Path) -> str:
    return path.name.removesuffix(_ending(path))


def _ending(path: Path) -> str:
    """The ending of a file's name, if it tells a format: what follows a dot may be a version."""
    known = {suffix for name in FORMATS for suffix in load(name).SUFFIXES} | _READ_ONLY
    return path.suffix if path.suffix.lower() in known else ""


def require_writable(
    outputs: Sequence[Path], inputs: Sequence[Path], needed: int, *, overwrite: bool
) -> None:
    """Check before any work that all outputs can be written; raises `OutputError`, `UsageError`."""
    require_new(outputs, inputs, overwrite=overwrite)
    require_room(outputs[0], needed - reserved(outputs))


def room_of(cubes: Sequence[tuple[Path, CubeSpec]], format_name: str) -> int:
    """The bytes on the disk that cubes need; raises `OutputError`, `UsageError`."""
    return sum(load(format_name).room(path, spec) for path, spec in cubes)


def outputs_of(path: Path, format_name: str) -> tuple[Path, ...]:
    """The files that a cube written to `path` consists of."""
    return load(format_name).outputs(path)


def write_endmembers(
    stem: Path,
    spectra: NDArray[np.floating],
    spectrum: Spectrum | None,
    names: Sequence[str] | None = None,
) -> tuple[Path, ...]:
    """Write spectra (p, B) as an ENVI spectral library and as a table.

    By default they are called `endmember_names`. Returns the files, `stem` with .sli, .hdr and
    .csv; raises `OutputError`.
    """
    library, header, table = library_files(stem)
    names = names or endmember_names(len(spectra))
    write_library(library, spectra, names, spectrum)
    write_table(table, spectra, names, spectrum)
    return library, header, table


def library_files(stem: Path) -> tuple[Path, Path, Path]:
    """The files that `write_endmembers` makes."""
    library, header, table = (stem.with_name(stem.name + end) for end in (".sli", _HEADER, ".csv"))
    return library, header, table


def endmember_names(count: int) -> tuple[str, ...]:
    """`endmember 1`, `endmember 2`, ..."""
    return tuple(f"endmember {i + 1}" for i in range(count))


def unmixing_maps(spec: CubeSpec, names: Sequence[str], *, gain: bool) -> dict[str, CubeSpec]:
    """The specs of the maps of an unmixing into `names` on the grid of `spec`, by their tags.

    In the order in which `Unmix` and, with the `gain`, `UnmixLinearly` give it.
    """
    told = {
        "rmse": "reconstruction error, root mean square",
        "sam": "angle between spectrum and reconstruction, degrees",
    }
    if gain:
        told["gain"] = "gain: how bright a pixel is, 1 as the endmembers"
    return {
        "abundance": spec.with_bands(names, description="abundances"),
        **{name: spec.with_bands([name], description=text) for name, text in told.items()},
        "class": spec.classified(classes(names), description="dominant endmember"),
    }


def size_in_words(spec: CubeSpec) -> str:
    """`4784 x 33600 pixels x 387 bands int16, 124.4 GB`."""
    return (
        f"{spec.cols} x {spec.rows} pixels x {counted(spec.bands, 'band')} {spec.dtype.name}, "
        f"{human_size(spec.nbytes)}"
    )
