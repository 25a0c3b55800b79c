"""In which order an array without metadata keeps its rows (Y), columns (X) and bands (B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import ALL
from hsisr.errors import UsageError
from hsisr.window import Window

_BLOCK = "BYX"
_SLAB = 2**20
"""Bytes that are rearranged at once: few enough for the cache."""


@dataclass(frozen=True, slots=True)
class Axes:
    """An order of axes as stored, slowest first: `YXB` is (rows, columns, bands)."""

    order: str

    def __str__(self) -> str:
        return self.order

    def shape(self, stored: Sequence[int]) -> tuple[int, int, int]:
        """(bands, rows, cols) of an array of shape `stored`."""
        bands, rows, cols = (stored[self.order.index(axis)] for axis in _BLOCK)
        return bands, rows, cols

    def stored(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """The shape as stored of an array of `shape` (bands, rows, cols)."""
        first, second, third = (shape[_BLOCK.index(axis)] for axis in self.order)
        return first, second, third

    def index(self, window: Window, bands: slice = ALL) -> tuple[slice, slice, slice]:
        """The slices of the stored array that hold the `bands` of `window`."""
        rows, cols = window.slices
        first, second, third = ({"B": bands, "Y": rows, "X": cols}[a] for a in self.order)
        return first, second, third

    def to_block(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A view of a stored array as (bands, rows, cols)."""
        return stored.transpose([self.order.index(axis) for axis in _BLOCK])

    def from_block(self, block: NDArray[Any]) -> NDArray[Any]:
        """A view of a block (bands, rows, cols) in stored order."""
        return block.transpose([_BLOCK.index(axis) for axis in self.order])

    def laid_out(
        self,
        source: NDArray[Any],
        dtype: np.dtype[Any],
        shape: tuple[int, int, int] | None = None,
    ) -> NDArray[Any]:
        """An array in stored order, without gaps in memory; filled up with zeros to `shape`."""
        if source.flags.c_contiguous and source.dtype == dtype and shape in (None, source.shape):
            return source
        filled = np.empty(source.shape if shape is None else shape, dtype)
        if filled.shape != source.shape:
            filled[...] = 0
        target = filled[*map(slice, source.shape)]
        step = max(1, _SLAB // max(target[:1].nbytes, 1))
        for start in range(0, len(target), step):
            part = slice(start, start + step)
            # left to itself, numpy would go through memory in the order of the target: 3 to 8
            # times slower where that is by pixel
            bands = zip(self.to_block(target[part]), self.to_block(source[part]), strict=True)
            for to, band in bands:
                to[...] = band
        return filled


MATLAB = Axes("YXB")
"""How MATLAB users keep a cube: rows, columns, bands."""


def parse_axes(text: str) -> Axes:
    """The order a user named, in either case; raises `UsageError`."""
    order = text.strip().upper()
    if sorted(order) != sorted(_BLOCK):
        raise UsageError(
            f"axes '{text}' are not an order of Y (rows), X (columns) and B (bands)",
            hint="for example --axes YXB for an array stored as (rows, columns, bands)",
        )
    return Axes(order)


def guess_axes(shape: Sequence[int], *, wavelengths: int | None = None) -> tuple[Axes, str]:
    """The likely order of a 3-D array of `shape`, and the reason in words.

    If exactly one axis is as long as the vector of `wavelengths` found beside the array, that axis
    is the bands and the others are rows and columns in this order; else MATLAB's convention holds.
    """
    matches = [axis for axis, length in enumerate(shape) if length == wavelengths]
    if len(matches) != 1:
        return MATLAB, "rows, columns, bands as in MATLAB; --axes names another order"
    order = "YX"[: matches[0]] + "B" + "YX"[matches[0] :]
    return Axes(order), f"axis {matches[0] + 1} has as many samples as there are wavelengths"
