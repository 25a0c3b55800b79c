"""Writing HDF5: as MATLAB's v7.3, or plain.

v7.3: a block of 512 bytes with MATLAB's signature, axes reversed so that MATLAB sees rows x columns
x bands, metadata as variables. Plain: data set in the order rows, columns, bands, metadata as its
attributes. Pixels are not compressed, so that their room is reserved before the work begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import h5py
import numpy as np

from hsisr.cube import Block, CubeSpec, encode
from hsisr.errors import OutputError
from hsisr.files import PartFile, explained, publish, require_room
from hsisr.formats._axes import MATLAB, Axes
from hsisr.formats._metadata import Value, as_matlab, cube_name, describe
from hsisr.window import Window

_USER_BLOCK = 512
_SIGNATURE = b"MATLAB 7.3 MAT-file, written by hsisr".ljust(124) + b"\x00\x02IM"
_CLASSES = {"float64": "double", "float32": "single"}
# readable by everything since 2008, and attributes may be longer than 64 kB
_VERSIONS = ("v108", "v108")
_CHUNK = (32, 64, 64)
"""Half a megabyte of float32: bands are read and strips of rows written without waste."""
_OVERHEAD = 2**16


class Hdf5Writer:
    """A cube in an HDF5 file under construction."""

    def __init__(self, path: Path, spec: CubeSpec, *, matlab: bool) -> None:
        self.files: tuple[Path, ...] = (path,)
        self.clipped = 0
        self._spec = as_matlab(spec) if matlab else spec
        self._matlab = matlab
        self._axes = Axes("BXY") if matlab else MATLAB
        require_room(path, spec.nbytes + _OVERHEAD)
        self._part = PartFile(path)
        with contextlib.ExitStack() as undo:
            undo.callback(self._part.discard)
            with _explained(self._part.path):
                self._file = self._open()
                undo.callback(_close_quietly, self._file)
                self._dataset = self._create_cube()
                self._describe()
                self._file.flush()
            self._part.reserve(self._part.part.stat().st_size)
            self._undo = undo.pop_all()

    def _open(self) -> h5py.File:
        # the part is locked already; HDF5's own lock would collide with that
        block = _USER_BLOCK if self._matlab else 0
        return h5py.File(
            self._part.part, "w", locking=False, libver=_VERSIONS, userblock_size=block
        )

    def _create_cube(self) -> h5py.Dataset:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        shape = self._axes.stored(self._spec.shape)
        chunks = tuple(map(_even, shape, _CHUNK)) if self._matlab else None
        name = cube_name(self._spec)
        return self._file.create_dataset(name, shape, self._spec.dtype, chunks=chunks, dcpl=plist)

    def _describe(self) -> None:
        metadata = describe(self._spec)
        if not self._matlab:
            for key, value in metadata.items():
                self._dataset.attrs[key] = value if isinstance(value, tuple) else _fixed(value)
            return
        name = self._spec.dtype.name
        self._dataset.attrs["MATLAB_class"] = np.bytes_(_CLASSES.get(name, name))
        for key, value in metadata.items():
            _store(self._file, key, value)

    def write(self, window: Window, block: Block) -> None:
        """Store physical values (bands, rows, cols) at `window`."""
        values, clipped = encode(block, self._spec)
        self.clipped += clipped
        with _explained(self._part.path):
            stored = np.ascontiguousarray(self._axes.from_block(values))
            self._dataset[self._axes.index(window)] = stored

    def _finish(self) -> None:
        with _explained(self._part.path):
            self._file.close()
        if self._matlab:
            self._part.pwrite(_SIGNATURE, 0)
        self._part.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._undo as undo:
            if kind is None:
                self._finish()
                undo.pop_all()
                publish([self._part])


def _even(length: int, limit: int) -> int:
    """The longest chunk up to `limit` that wastes the least at the end of an axis."""
    return -(-length // -(-length // limit))


def _fixed(text: str) -> np.bytes_:
    # texts of variable length cannot be read safely (see `values`)
    return np.bytes_(text.encode())


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


def _close_quietly(file: h5py.File) -> None:
    # what could not be written does not matter any more: the file is dropped
    with contextlib.suppress(OSError, RuntimeError):
        file.close()
