"""MAT files of MATLAB 5 to 7 (`save -v6`, `-v7`, SciPy, Octave), by SciPy in a confined process.

A cube is a numeric variable of rows x columns x bands, or a matrix that lists its pixels; metadata
are variables beside it, named as in `_metadata`. Files of `save -v7.3` are HDF5 and read by `hdf5`.
Level 4 files have no 3-D arrays.
"""

from __future__ import annotations

import io
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube, CubeSpec, CubeWriter
from hsisr.files import explained, require_room
from hsisr.formats import ReadOptions
from hsisr.formats._axes import MATLAB
from hsisr.formats._confined import Confined
from hsisr.formats._metadata import as_matlab, candidates, cube_name, describe
from hsisr.formats._pixel_lists import listed
from hsisr.formats._variable_cube import Found
from hsisr.formats._variables import Variable, choose
from hsisr.formats._writer import PartsWriter, not_shared
from hsisr.formats.mat5.decoder import dtype_of, extract, list_variables
from hsisr.window import Window

NAME = "mat5"
SUFFIXES = (".mat",)

_LARGEST = 256 * 2**20
"""Beyond this a cube is written as v7.3: SciPy needs several times the cube in memory at once,
and only v7.3 can be written, and read again, piece by piece."""
_BYTE_ORDERS = {b"IM": "<", b"MI": ">"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file has the header of level 5, or one that level 4 could have."""
    if len(head) >= 128 and head[126:128] in _BYTE_ORDERS:
        return struct.unpack(_BYTE_ORDERS[head[126:128]] + "H", head[124:126]) == (0x0100,)
    return _is_level_4(head, 0, "<") or _is_level_4(head, 1, ">")


def _is_level_4(head: bytes, machine: int, order: str) -> bool:
    if len(head) < 22:
        return False
    kind, rows, cols, imaginary, length = struct.unpack(f"{order}5i", head[:20])
    name, end = head[20 : 19 + length], head[19 + length : 20 + length]
    return (
        kind // 100 == machine * 10
        and kind // 10 % 10 <= 5
        and kind % 10 <= 2
        and min(rows, cols) >= 0
        and imaginary in (0, 1)
        and 2 <= length <= 64
        and end == b"\0"
        and name.replace(b"_", b"a").isalnum()
    )


def read(path: Path, options: ReadOptions) -> Cube:
    """Decode the cube into a nameless temporary file; raises `InputError`."""
    with Confined(path) as decoder:
        variables = list_variables(decoder, path)
        if found := listed(variables, options, partial(_number, decoder, path)):
            pixels, why = found
            described = candidates(variables, pixels.cube)
            stored, metadata = extract(decoder, path, pixels.matrix, described)
            return pixels.scene(NAME, path, stored, dtype_of(pixels.matrix), why, metadata)
        variable, why = choose(variables, options.var, path)
        stored, metadata = extract(decoder, path, variable, candidates(variables, variable))
    scene = Found(variable, why, dtype_of(variable), metadata, order="F")
    return scene.cube(NAME, path, stored.T, options, release=lambda: None)


def _number(decoder: Confined, path: Path, scalar: Variable) -> float:
    return float(extract(decoder, path, scalar, {})[0].item())


def write(path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False) -> CubeWriter:
    """Begin a MAT file: compressed level 5 if the cube is small, else v7.3.

    Level 5 is never resumed: it is made in memory. Raises `UsageError` if `shared`.
    """
    if shared:
        raise not_shared(path)
    if spec.nbytes >= _LARGEST:
        from hsisr.formats.hdf5.writer import Content, Hdf5Writer  # brings h5py, mostly for nothing

        return Hdf5Writer(path, Content(spec, matlab=True), resume=resume)
    return _Writer(path, spec)


def room(path: Path, spec: CubeSpec) -> int:
    """The bytes of v7.3; of level 5 at most, as if the pixels could not be compressed."""
    del path
    if spec.nbytes >= _LARGEST:
        from hsisr.formats.hdf5.writer import Content

        return Content(spec, matlab=True).room
    spec, beside = as_matlab(spec), io.BytesIO()
    _save(beside, _said(spec))
    return spec.nbytes + len(beside.getvalue())


def outputs(path: Path) -> tuple[Path, ...]:
    """The file itself."""
    return (path,)


class _Writer(PartsWriter):
    """Gathers the cube in memory and writes it when left."""

    def __init__(self, path: Path, spec: CubeSpec) -> None:
        require_room(path, room(path, spec))
        spec = as_matlab(spec)
        self._stored = np.zeros(spec.shape, spec.dtype)
        super().__init__(spec, outputs(path))

    def _fits(self) -> bool:
        return False

    def _begin(self) -> None:
        return

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) at `window`."""
        self._stored[:, *window.slices] = stored

    def keep(self, kept: bool = True) -> None:
        """There is nothing to keep before the end."""

    def _finish(self) -> None:
        pixels = {cube_name(self.spec): MATLAB.from_block(self._stored)}
        with explained(self._parts[0].path):
            _save(str(self._parts[0].part), pixels | _said(self.spec))
        super()._finish()


def _said(spec: CubeSpec) -> dict[str, Any]:
    """The variables beside the pixels."""
    return {
        name: value if isinstance(value, str) else np.array(value, np.float64)
        for name, value in describe(spec).items()
    }


def _save(target: Any, variables: dict[str, Any]) -> None:
    """To a path or, of which SciPy's types say nothing, to a file."""
    from scipy.io import savemat

    savemat(target, variables, False, do_compression=True, oned_as="column")
