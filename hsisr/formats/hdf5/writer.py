"""Writing HDF5: as MATLAB's v7.3, or plain.

v7.3: a block of 512 bytes with MATLAB's signature, axes reversed so that MATLAB sees rows x columns
x bands, metadata as variables. Plain: NetCDF-4, see `conventions`; bands, rows, columns.
Pixels are not compressed, so that their room is reserved before the work begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.errors import OutputError
from hsisr.files import explained, require_room
from hsisr.formats._axes import Axes
from hsisr.formats._metadata import Value, as_matlab, cube_name, describe
from hsisr.formats._writer import PartsWriter
from hsisr.formats.hdf5.conventions import describe_cube, variable_name
from hsisr.window import Window

_USER_BLOCK = 512
_SIGNATURE = b"MATLAB 7.3 MAT-file, written by hsisr".ljust(124) + b"\x00\x02IM"
_CLASSES = {"float64": "double", "float32": "single"}
# readable by everything since 2008, and attributes may be longer than 64 kB
_VERSIONS = ("v108", "v108")
_CHUNK = (32, 64, 64)
"""Half a megabyte of float32: bands are read and strips of rows written without waste."""
_OVERHEAD = 2**16


class Hdf5Writer(PartsWriter):
    """A cube in an HDF5 file under construction."""

    def __init__(self, path: Path, spec: CubeSpec, *, matlab: bool, resume: bool = False) -> None:
        # netCDF has no half precision either
        spec = as_matlab(spec)
        self._matlab = matlab
        self._axes = Axes("BXY" if matlab else "BYX")
        self._name = cube_name(spec) if matlab else variable_name(spec)
        self._file: h5py.File | None = None
        # h5py serialises its calls, but not one call and the next
        self._turn = Lock()
        if not resume:
            require_room(path, spec.nbytes + _OVERHEAD)
        super().__init__(spec, (path,), resume=resume)

    def _fits(self) -> bool:
        """Whether the cube has its name, which it is given when all else is there."""
        try:
            self._file = self._opened("r+")
            found = self._file[self._name]
            shape = self._axes.stored(self.spec.shape)
            fits = isinstance(found, h5py.Dataset) and found.shape == shape
            fits = fits and found.dtype == self.spec.dtype
        except (OSError, RuntimeError, KeyError):
            fits = False
        if not fits:
            self._close()
        return fits

    def _begin(self) -> None:
        with _explained(self._parts[0].path):
            self._file = self._opened("w")
            dataset = self._create_cube(self._file)
            self._describe(self._file, dataset)
            self._file.flush()
            self._parts[0].reserve(self._parts[0].part.stat().st_size)
            self._file[self._name] = dataset
            self._file.flush()

    def _opened(self, mode: str) -> h5py.File:
        # the part is locked already; HDF5's own lock would collide with that
        new = {"userblock_size": _USER_BLOCK} if self._matlab and mode == "w" else {}
        return h5py.File(self._parts[0].part, mode, locking=False, libver=_VERSIONS, **new)

    def _create_cube(self, file: h5py.File) -> h5py.Dataset:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        shape = self._axes.stored(self.spec.shape)
        chunks = tuple(map(_even, shape, _CHUNK)) if self._matlab else None
        return file.create_dataset(None, shape, self.spec.dtype, chunks=chunks, dcpl=plist)

    def _describe(self, file: h5py.File, dataset: h5py.Dataset) -> None:
        if not self._matlab:
            describe_cube(dataset, self.spec)
            return
        name = self.spec.dtype.name
        dataset.attrs["MATLAB_class"] = np.bytes_(_CLASSES.get(name, name))
        for key, value in describe(self.spec).items():
            _store(file, key, value)

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) at `window`; raises `OutputError`."""
        samples = self._axes.laid_out(self._axes.from_block(stored), self.spec.dtype)
        with self._turn, _explained(self._parts[0].path):
            assert self._file is not None
            self._file[self._name][self._axes.index(window)] = samples

    def sync(self) -> None:
        """Bring everything stored to the disk: it survives a crash of the machine."""
        if self._file is not None:
            with self._turn, _explained(self._parts[0].path):
                self._file.flush()
        super().sync()

    def _close(self) -> None:
        # what could not be written does not matter any more: it was not synced
        if self._file is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._file.close()
            self._file = None

    def _leave(self, *, kept: bool) -> None:
        self._close()
        super()._leave(kept=kept)

    def _finish(self) -> None:
        with _explained(self._parts[0].path):
            assert self._file is not None
            self._file.close()
        self._file = None
        if self._matlab:
            self._parts[0].pwrite(_SIGNATURE, 0)
        super()._finish()


def _even(length: int, limit: int) -> int:
    """The longest chunk up to `limit` that wastes the least at the end of an axis."""
    return -(-length // -(-length // limit))


def _store(file: h5py.File, name: str, value: Value) -> None:
    """A column of numbers or a line of text as MATLAB writes them."""
    if isinstance(value, str):
        codes = np.frombuffer(value.encode("utf-16-le"), np.uint16)
        dataset = file.create_dataset(name, data=codes[:, None])
        dataset.attrs["MATLAB_class"] = np.bytes_("char")
        dataset.attrs["MATLAB_int_decode"] = np.int32(2)
    else:
        dataset = file.create_dataset(name, data=np.array([value], np.float64))
        dataset.attrs["MATLAB_class"] = np.bytes_("double")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what h5py says about writing `path` into an `OutputError`."""
    with explained(path):
        try:
            yield
        except RuntimeError as error:
            raise OutputError(f"cannot write: {error}", where=path) from error
