"""Writing HDF5: as MATLAB's v7.3, or plain.

v7.3: a block of 512 bytes with MATLAB's signature, axes reversed so that MATLAB sees rows x columns
x bands, metadata as variables. Plain: NetCDF-4, see `conventions`; bands, rows, columns.
Pixels are not compressed, so that their room is reserved before the work begins.
"""

from __future__ import annotations

import contextlib
import io
import math
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
_PLACE = 64
"""Bytes for the place of a chunk, in a tree that is nearly full."""
_SPARE = 2**13
"""Bytes of blocks that HDF5 begins and does not fill."""


class Content:
    """What an HDF5 file holds of a cube: its pixels, and all that is said of it."""

    def __init__(self, spec: CubeSpec, *, matlab: bool) -> None:
        # netCDF has no half precision either
        self.spec = as_matlab(spec)
        self.matlab = matlab
        self.axes = Axes("BXY" if matlab else "BYX")
        self.name = cube_name(self.spec) if matlab else variable_name(self.spec)
        self.shape = self.axes.stored(self.spec.shape)
        self._chunks = tuple(map(_even, self.shape, _CHUNK)) if matlab else None

    def begin(self, file: h5py.File, when: int = h5py.h5d.ALLOC_TIME_EARLY) -> h5py.Dataset:
        """All but the pixels, whose room is claimed at once; their variable has no name yet."""
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(when)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        dataset = file.create_dataset(
            None, self.shape, self.spec.dtype, chunks=self._chunks, dcpl=plist
        )
        self._describe(file, dataset)
        return dataset

    def _describe(self, file: h5py.File, dataset: h5py.Dataset) -> None:
        if not self.matlab:
            describe_cube(dataset, self.spec)
            return
        name = self.spec.dtype.name
        dataset.attrs["MATLAB_class"] = np.bytes_(_CLASSES.get(name, name))
        for key, value in describe(self.spec).items():
            _store(file, key, value)

    @property
    def room(self) -> int:
        """The bytes of the file, or a few thousand more."""
        trial = io.BytesIO()
        with h5py.File(trial, "w", libver=_VERSIONS) as file:
            dataset = self.begin(file, h5py.h5d.ALLOC_TIME_LATE)
            file.flush()
            chunk: tuple[int, ...] = dataset.chunks or self.shape
        counts = (-(-whole // part) for whole, part in zip(self.shape, chunk, strict=True))
        each = math.prod(chunk) * self.spec.dtype.itemsize + _PLACE
        return len(trial.getvalue()) + math.prod(counts) * each + _SPARE


class Hdf5Writer(PartsWriter):
    """A cube in an HDF5 file under construction."""

    def __init__(self, path: Path, content: Content, *, resume: bool = False) -> None:
        self._content = content
        self._file: h5py.File | None = None
        # h5py serialises its calls, but not one call and the next
        self._turn = Lock()
        if not resume:
            require_room(path, content.room)
        super().__init__(content.spec, (path,), resume=resume)

    def _fits(self) -> bool:
        """Whether the cube has its name, which it is given when all else is there."""
        try:
            self._file = self._opened("r+")
            found = self._file[self._content.name]
            fits = isinstance(found, h5py.Dataset) and found.shape == self._content.shape
            fits = fits and found.dtype == self.spec.dtype
        except (OSError, RuntimeError, KeyError):
            fits = False
        if not fits:
            self._close()
        return fits

    def _begin(self) -> None:
        with _explained(self._parts[0].path):
            self._file = self._opened("w")
            dataset = self._content.begin(self._file)
            self._file.flush()
            self._parts[0].reserve(self._parts[0].part.stat().st_size)
            self._file[self._content.name] = dataset
            self._file.flush()

    def _opened(self, mode: str) -> h5py.File:
        # the part is locked already; HDF5's own lock would collide with that
        new = {"userblock_size": _USER_BLOCK} if self._content.matlab and mode == "w" else {}
        return h5py.File(self._parts[0].part, mode, locking=False, libver=_VERSIONS, **new)

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) at `window`; raises `OutputError`."""
        axes = self._content.axes
        samples = axes.laid_out(axes.from_block(stored), self.spec.dtype)
        with self._turn, _explained(self._parts[0].path):
            assert self._file is not None
            self._file[self._content.name][axes.index(window)] = samples

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
        if self._content.matlab:
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
