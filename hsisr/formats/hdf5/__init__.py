"""HDF5 files: MATLAB's v7.3, NetCDF-4, plain ones; of NEON, PRISMA, EMIT, AVIRIS and Tanager.

A cube is a numeric data set with three axes. MATLAB reverses the axes in the file; they are named
here as MATLAB shows them. Nothing outside the file is read (see `safe`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import h5py

from hsisr.cube import Cube, CubeSpec, CubeWriter
from hsisr.formats import ReadOptions
from hsisr.formats._pixel_lists import listed
from hsisr.formats._variable_cube import Found, VariableCube
from hsisr.formats._variables import Variable, choose
from hsisr.formats._writer import not_shared
from hsisr.formats.hdf5 import prisma
from hsisr.formats.hdf5.metadata import read_description
from hsisr.formats.hdf5.safe import (
    explained,
    is_matlab,
    loaded,
    open_file,
    require_readable,
    walk,
)
from hsisr.formats.hdf5.source import Hyperslabs
from hsisr.formats.hdf5.writer import Content, Hdf5Writer
from hsisr.wording import counted

NAME = "hdf5"
SUFFIXES = (".h5", ".hdf5", ".he5", ".nc")

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def sniff(path: Path, head: bytes) -> bool:
    """Whether HDF5's signature stands at byte 0, 512, 1024 and so on, or MATLAB announces it."""
    if head.startswith((_SIGNATURE, b"MATLAB 7.3 MAT-file")):
        return True
    size, offset = path.stat().st_size, 512
    with path.open("rb") as file:
        while offset + len(_SIGNATURE) <= size:
            file.seek(offset)
            if file.read(len(_SIGNATURE)) == _SIGNATURE:
                return True
            offset *= 2
    return False


def read(path: Path, options: ReadOptions) -> Cube:
    """Open the cube in the file at `path`; raises `InputError`."""
    file = open_file(path)
    try:
        with explained(path):
            return _open(file, path, options)
    except BaseException:
        file.close()
        raise


def _open(file: h5py.File, path: Path, options: ReadOptions) -> VariableCube:
    variables = walk(file, path)
    if (scene := _listed(file, path, variables, options)) is not None:
        return scene
    variable, why = choose(variables, options.var, path)
    dataset = file[variable.name]
    missing = require_readable(dataset, path)
    described = prisma.read_description(file, variable.name, path)
    described = described or read_description(file, variables, variable, path)
    dtype = dataset.dtype.newbyteorder("=")
    order: Literal["C", "F"] = "F" if is_matlab(dataset) else "C"
    metadata, units, axes, notes = described
    found = Found(variable, why, dtype, metadata, units, order, axes)
    cube = found.cube(NAME, path, dataset, options, file.close)
    cube.source = Hyperslabs(dataset, cube.axes, path)
    cube.notes += notes
    if missing:
        unwritten = counted(missing, "chunk")
        cube.notes += (f"{unwritten} never written, read as {dataset.fillvalue}",)
    return cube


def _listed(
    file: h5py.File, path: Path, variables: Sequence[Variable], options: ReadOptions
) -> VariableCube | None:
    """The cube in a matrix of MATLAB's that lists its pixels, if there is one; read as a whole."""
    arrays = [v for v in variables if v.is_numeric and is_matlab(file[v.name])]
    found = listed(arrays, options, lambda scalar: float(loaded(file, scalar, path).item()))
    if found is None:
        return None
    pixels, why = found
    stored = loaded(file, pixels.matrix, path).T
    metadata = read_description(file, variables, pixels.cube, path).metadata
    cube = pixels.scene(NAME, path, stored, stored.dtype.newbyteorder("="), why, metadata)
    cube.release = file.close
    return cube


def write(path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False) -> CubeWriter:
    """Begin an HDF5 file: MATLAB's v7.3 if it is called `.mat`, else a plain one.

    Raises `UsageError` if `shared`: only one process can have an HDF5 file open.
    """
    if shared:
        raise not_shared(path)
    return Hdf5Writer(path, _content(path, spec), resume=resume)


def room(path: Path, spec: CubeSpec) -> int:
    """The bytes of the file, or a few thousand more."""
    return _content(path, spec).room


def _content(path: Path, spec: CubeSpec) -> Content:
    return Content(spec, matlab=path.suffix.lower() == ".mat")


def outputs(path: Path) -> tuple[Path, ...]:
    """The file itself."""
    return (path,)
