"""Reading an HDF5 data set piece by piece, each chunk once per strip of rows or once in all."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hsisr.files import PartFile, require_room
from hsisr.formats._axes import Axes
from hsisr.formats._hdf5_safe import explained

_LARGEST_CACHE = 2**28
_CACHE_SLOTS = 12421
"""A prime well above the number of chunks at a time, as HDF5 advises."""


class Hyperslabs:
    """A data set as an array; where its chunks are too tall for strips it is copied once.

    MATLAB likes chunks that reach over many rows. If the chunks of one strip do not fit into
    memory, every strip would decompress the scene again, so it is spooled to a nameless file.
    """

    def __init__(self, dataset: h5py.Dataset, axes: Axes, path: Path) -> None:
        self._path = path
        self._tall = False
        self._dataset = dataset
        if dataset.chunks:
            row = str(axes).index("Y")
            strips = -(-dataset.shape[row] // dataset.chunks[row])
            strip = -(-dataset.nbytes // strips)
            self._tall = strip > _LARGEST_CACHE
            self._dataset = dataset if self._tall else _with_cache(dataset, 2 * strip)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> NDArray[Any]:
        with explained(self._path):
            return np.asarray(self._dataset[index])
