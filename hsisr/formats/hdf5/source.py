"""Reading an HDF5 data set strip by strip without decompressing any chunk twice."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hsisr.formats._axes import Axes
from hsisr.formats.hdf5.safe import explained

_LARGEST_STRIP = 2**27
_CACHE_SLOTS = 12421
"""A prime well above the number of chunks at a time, as HDF5 advises."""


class Hyperslabs:
    """A data set as an array whose pieces are read when they are asked for."""

    def __init__(self, dataset: h5py.Dataset, axes: Axes, path: Path) -> None:
        self._dataset = dataset
        self._row = str(axes).index("Y")
        self._path = path

    def __getitem__(self, index: tuple[slice, slice, slice]) -> NDArray[Any]:
        with explained(self._path):
            return np.asarray(self._array[index])

    @cached_property
    def _array(self) -> Any:
        dataset = self._dataset
        if not dataset.chunks:
            return dataset
        strips = -(-dataset.shape[self._row] // dataset.chunks[self._row])
        strip = -(-dataset.nbytes // strips)
        if strip <= _LARGEST_STRIP:
            return _with_cache(dataset, 2 * strip)
        # some writers prefer chunks that reach over all rows: each strip would need the whole scene
        room = shutil.disk_usage(tempfile.gettempdir()).free
        return _spooled(dataset, self._row) if room > dataset.nbytes else dataset


def _with_cache(dataset: h5py.Dataset, size: int) -> h5py.Dataset:
    """The same data set with room for the chunks of one strip while the next one is read."""
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(_CACHE_SLOTS, size, 0.75)
    return h5py.Dataset(h5py.h5d.open(dataset.file.id, dataset.name.encode(), access))


def _spooled(dataset: h5py.Dataset, row: int) -> NDArray[Any]:
    """The data set copied to a nameless file, rows slowest, as a map in the order of the set."""
    order = [row, *(axis for axis in range(3) if axis != row)]
    with tempfile.TemporaryFile(prefix="hsisr-") as file:
        # a map of a file without its room on the disk would kill the process when it is full
        os.posix_fallocate(file.fileno(), 0, dataset.nbytes)
        shape = tuple(dataset.shape[axis] for axis in order)
        spool = np.memmap(file, dataset.dtype, "r+", shape=shape)
    array = spool.transpose(np.argsort(order))
    for piece in dataset.iter_chunks():
        array[piece] = dataset[piece]
    array.flags.writeable = False
    return array
