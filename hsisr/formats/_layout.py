"""Where the numbers of a cube lie in a file: without gaps, or in tiles of which each is so."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from hsisr.cube import ALL
from hsisr.formats._axes import Axes
from hsisr.window import Shape, Window

_SLAB = 2**20
"""Bytes read or written at once: what passes through memory more than once is still in cache."""
_PAGE = 2**12

Box = tuple[range, range, range]
"""The places on the axes of a cube as it is stored."""


class Part(NamedTuple):
    """What one plain layout has of a window."""

    layout: RawLayout
    inside: Window
    """On the grid of the layout."""
    window: Window
    """Counted from the first pixel of the window; may end beyond it, but only beyond the scene."""


class Layout(Protocol):
    """A cube in a file, each number in its place before anything is written."""

    @property
    def file_size(self) -> int:
        """The bytes from the beginning of the file to the end of the cube."""

    def parts(self, window: Window) -> Iterator[Part]:
        """The plain layouts that a window touches; raises `ValueError` beyond the scene."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """A cube that begins at byte `offset` and is stored without gaps."""

    axes: Axes
    shape: tuple[int, int, int]
    """(bands, rows, cols)."""
    dtype: np.dtype[Any]
    """In the byte order of the file."""
    offset: int = 0

    @property
    def file_size(self) -> int:
        """The bytes from the beginning of the file to the end of the cube."""
        return self.offset + self.nbytes

    @property
    def nbytes(self) -> int:
        """The bytes of the cube."""
        return math.prod(self.shape) * self.dtype.itemsize

    def parts(self, window: Window) -> Iterator[Part]:
        """The layout itself, for all of the window."""
        yield Part(self, window, Window(0, 0, window.height, window.width))

    def box(self, window: Window, bands: slice = ALL) -> Box:
        """The places on each axis as stored; raises `ValueError` beyond the scene."""
        _require_inside(window, self.shape[1:])
        index = zip(self.axes.index(window, bands), self.axes.stored(self.shape), strict=True)
        first, second, third = (range(*part.indices(length)) for part, length in index)
        return first, second, third

    def widened(self, box: Box) -> Box:
        """The box and what lies between its pieces, if that is on pages that are read anyway."""
        wide, size = list(box), self.dtype.itemsize
        for axis in (2, 1):
            whole = range(self.axes.stored(self.shape)[axis])
            if (len(whole) - len(box[axis])) * size > _PAGE:
                break
            wide[axis] = whole
            size *= len(whole)
        return wide[0], wide[1], wide[2]

    def slabs(self, box: Box) -> Iterator[tuple[slice, tuple[int, int, int], list[int]]]:
        """Cut a box along the slowest axis into slabs that stay in cache.

        Each is told by its place on that axis of the box, its shape as stored, and the bytes at
        which its contiguous pieces begin, all of one length.
        """
        count, *rest = map(len, box)
        step = max(1, _SLAB // (math.prod(rest) * self.dtype.itemsize))
        for first in range(0, count, step):
            shape = min(step, count - first), rest[0], rest[1]
            offsets = self._pieces((box[0][first], box[1][0], box[2][0]), shape)
            yield slice(first, first + shape[0]), shape, offsets

    def _pieces(self, starts: tuple[int, int, int], part: tuple[int, int, int]) -> list[int]:
        """The bytes at which the contiguous pieces of a box begin.

        The fastest axes join in one piece as far as the box covers them wholly: full rows are one
        piece in BIL and BIP, and one per band in BSQ.
        """
        whole, size = self.axes.stored(self.shape), self.dtype.itemsize
        strides = (whole[1] * whole[2] * size, whole[2] * size, size)
        axis = 2
        while axis and part[axis] == whole[axis]:
            axis -= 1
        offsets = np.array([self.offset + sum(map(operator.mul, starts, strides))])
        for count, stride in zip(part[:axis], strides[:axis], strict=True):
            offsets = np.add.outer(offsets, np.arange(count) * stride).ravel()
        return [int(offset) for offset in offsets]


@dataclass(frozen=True, slots=True)
class TiledLayout:
    """A cube in equal tiles that follow each other, row by row, each a plain layout of all bands.

    So a window lies in few places of the file, however many bands it has. What tiles at the border
    have beyond the scene is zero.
    """

    first: RawLayout
    """The tile at the origin."""
    size: Shape
    """The rows and columns of the scene."""

    @property
    def grid(self) -> Shape:
        """How many tiles there are down and across."""
        (rows, cols), (_, height, width) = self.size, self.first.shape
        return -(-rows // height), -(-cols // width)

    @property
    def file_size(self) -> int:
        """The bytes from the beginning of the file to the end of the last tile."""
        return self.first.offset + math.prod(self.grid) * self.first.nbytes

    def parts(self, window: Window) -> Iterator[Part]:
        """The tiles that a window touches; raises `ValueError` beyond the scene.

        Where the window ends with the scene, parts are as wide as the tile: rows that are whole
        lie in one piece.
        """
        _require_inside(window, self.size)
        _, height, width = self.first.shape
        at_border = window.col_stop == self.size[1]
        stop = self.grid[1] * width if at_border else window.col_stop
        for down, *vertical in cells(range(window.row, window.row_stop), height):
            for across, *horizontal in cells(range(window.col, stop), width):
                inside, part = map(_window, vertical, horizontal)
                yield Part(self._tile(down, across), inside, part)

    def _tile(self, down: int, across: int) -> RawLayout:
        before = down * self.grid[1] + across
        return replace(self.first, offset=self.first.offset + before * self.first.nbytes)


def cells(wanted: range, step: int) -> Iterator[tuple[int, slice, slice]]:
    """The cells of `step` that `wanted` touches: number, the part within the cell and within it."""
    for i in range(wanted.start // step, -(-wanted.stop // step)):
        start, stop = max(wanted.start, i * step), min(wanted.stop, (i + 1) * step)
        yield (
            i,
            slice(start - i * step, stop - i * step),
            slice(start - wanted.start, stop - wanted.start),
        )


def _window(rows: slice, cols: slice) -> Window:
    return Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)


def _require_inside(window: Window, size: Shape) -> None:
    if not Window(0, 0, *size).contains(window):
        raise ValueError(f"{window} is not inside a scene of {size} pixels")
