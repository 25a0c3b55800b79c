"""NumPy's .npy: one array without metadata; pickled objects are never loaded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hsisr.cube import CubeSpec, Interleave
from hsisr.errors import InputError, NoCubeError
from hsisr.formats import ReadOptions
from hsisr.formats._axes import MATLAB, Axes, guess_axes, parse_axes
from hsisr.formats._layout import RawLayout
from hsisr.formats._raw import RawCube, RawFiles, RawWriter

NAME = "npy"
SUFFIXES = (".npy",)

_LONGEST_HEADER = 1 << 16
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MAGIC = b"\x93NUMPY"
_INTERLEAVES: dict[str, Interleave] = {"BYX": "bsq", "YBX": "bil", "YXB": "bip"}


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file begins as a .npy file."""
    return head.startswith(_MAGIC)


def read(path: Path, options: ReadOptions) -> RawCube:
    """Open a 3-D array of real numbers; raises `InputError`.

    Its axes are rows, columns and bands unless `options.axes` says otherwise.
    """
    stored, fortran, dtype, offset = _header(path)
    if len(stored) != 3 or min(stored) < 1:
        raise NoCubeError(f"an array of shape {stored}; three axes were expected", where=path)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"an array of {dtype}; real numbers were expected", where=path)
    axes, reason = _axes(stored, options)
    bands, rows, cols = axes.shape(stored)
    spec = CubeSpec(
        *(bands, rows, cols),
        dtype=dtype.newbyteorder("="),
        interleave=_INTERLEAVES.get(str(axes), "bsq"),
    )
    on_disk = Axes(str(axes)[::-1]) if fortran else axes
    layout = RawLayout(on_disk, spec.shape, dtype, offset)
    note = f"the axes {stored} were read as {axes}: {reason}"
    return RawCube(layout, spec, format=NAME, files=(path,), notes=[note])


def outputs(path: Path) -> tuple[Path, ...]:
    """The one file that `write` makes."""
    return (path,)


def write(path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False) -> RawWriter:
    """Begin an array (rows, cols, bands) of the numbers as stored; raises `OutputError`."""
    return RawWriter(_files(path, spec), spec, resume=resume, shared=shared)


def room(path: Path, spec: CubeSpec) -> int:
    """The bytes of the file."""
    return sum(_files(path, spec).sizes)


def _files(path: Path, spec: CubeSpec) -> RawFiles:
    dtype = spec.dtype.newbyteorder("<")
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        text,
        {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": MATLAB.stored(spec.shape),
        },
    )
    layout = RawLayout(MATLAB, spec.shape, dtype, offset=text.tell())
    return RawFiles(layout, {path: text.getvalue()})


def _axes(stored: tuple[int, ...], options: ReadOptions) -> tuple[Axes, str]:
    if options.axes is None:
        return guess_axes(stored)
    return parse_axes(options.axes), "as asked for"


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, type and the offset of the first number."""
    try:
        with path.open("rb") as handle:
            head = io.BytesIO(handle.read(_LONGEST_HEADER))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    try:
        with warnings.catch_warnings():
            # an array saved by Python 2 is as good as any
            warnings.simplefilter("ignore")
            read_rest = _READERS[np.lib.format.read_magic(head)]
            return *read_rest(head), head.tell()
    except Exception as error:  # numpy evaluates the text, so nearly anything can come up
        raise InputError("the header of the array is malformed", where=path) from error
