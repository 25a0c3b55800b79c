"""Rectangles of pixels and the plan that cuts a scene into them: integers only.

A scene is processed tile by tile. A network whose output depends on inputs at most `halo` pixels
away gives the same values on a tile as on the whole scene, if the tile is read with that many
pixels around it and only its middle is kept:

      read (low resolution)                 write (output grid)
    ┌───────────────────┐
    │ halo  ┌───────┐   │     network     ┌───────┐
    │       │ kept  │   │    ────────►    │       │
    │       └───────┘   │                 └───────┘
    └───────────────────┘

At the border of the scene the halo is cut off, so a tile sees the same border as the whole scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

Shape = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_stop(self) -> int:
        """The first row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """The first column right of the window."""
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window as a pair of slices for the last two axes of an array."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def zoomed(self, scale: int) -> Window:
        """The same rectangle on a grid that is `scale` times finer."""
        return Window(self.row * scale, self.col * scale, self.height * scale, self.width * scale)

    def grown(self, by: int, within: Window) -> Window:
        """The rectangle with `by` more pixels on every side, cut off at the border of `within`."""
        row, col = max(self.row - by, within.row), max(self.col - by, within.col)
        row_stop = min(self.row_stop + by, within.row_stop)
        col_stop = min(self.col_stop + by, within.col_stop)
        return Window(row, col, row_stop - row, col_stop - col)

    def moved(self, rows: int, cols: int) -> Window:
        """The rectangle so much farther down and to the right."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def relative_to(self, origin: Window) -> Window:
        """The same rectangle counted from the first pixel of `origin`."""
        return self.moved(-origin.row, -origin.col)

    def joined(self, other: Window) -> Window:
        """The smallest rectangle that holds both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        row_stop = max(self.row_stop, other.row_stop)
        col_stop = max(self.col_stop, other.col_stop)
        return Window(row, col, row_stop - row, col_stop - col)

    def contains(self, other: Window) -> bool:
        """Whether `other` lies wholly inside."""
        return (
            self.row <= other.row
            and self.col <= other.col
            and other.row_stop <= self.row_stop
            and other.col_stop <= self.col_stop
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """One step of a tiled run."""

    read: Window
    """What is read from the scene, halo included."""
    kept: Window
    """What is kept, counted from the first pixel that is read."""
    write: Window
    """Where the kept part goes on the output grid."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Neighbouring tiles of one row, which are read and written together.

    Files are fast in long runs of numbers: tiles are cut from slabs, and joined to them, in memory.
    """

    numbers: range
    """Of its tiles, in the plan."""
    tiles: tuple[Tile, ...]

    @property
    def read(self) -> Window:
        """What is read from the scene, halo included."""
        return self.tiles[0].read.joined(self.tiles[-1].read)

    @property
    def write(self) -> Window:
        """Where it goes on the output grid."""
        return self.tiles[0].write.joined(self.tiles[-1].write)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Cuts a scene of `rows` x `cols` pixels into tiles, row by row.

    `tile` and `halo` are in pixels of the scene, `scale` is the factor between the scene's grid
    and the output's. Tiles are smaller at the lower and the right border. Every output pixel
    belongs to exactly one tile.
    """

    rows: int
    cols: int
    tile: Shape
    halo: int
    scale: int = 1

    @property
    def across(self) -> int:
        """How many tiles there are in a row."""
        return -(-self.cols // self.tile[1])

    @property
    def down(self) -> int:
        """How many rows of tiles there are."""
        return -(-self.rows // self.tile[0])

    def __len__(self) -> int:
        return self.down * self.across

    def __iter__(self) -> Iterator[Tile]:
        scene = Window(0, 0, self.rows, self.cols)
        return (self._tile(self._kept(number), scene) for number in range(len(self)))

    def _tile(self, kept: Window, scene: Window) -> Tile:
        read = kept.grown(self.halo, scene)
        return Tile(
            read=read,
            kept=kept.relative_to(read),
            write=kept.zoomed(self.scale),
        )

    def slabs(self, longest: int, wanted: Callable[[int], bool]) -> Iterator[Slab]:
        """The tiles whose number is `wanted`, in slabs of at most `longest` tiles."""
        for row in range(0, len(self), self.across):
            # neighbours have the same distance to their place among those that are wanted
            chosen = enumerate(number for number in range(row, row + self.across) if wanted(number))
            for _, run in groupby(chosen, key=lambda pair: pair[1] - pair[0]):
                numbers = [number for _, number in run]
                for first in range(0, len(numbers), longest):
                    yield self._slab(numbers[first : first + longest])

    def _slab(self, numbers: list[int]) -> Slab:
        scene = Window(0, 0, self.rows, self.cols)
        tiles = tuple(self._tile(self._kept(number), scene) for number in numbers)
        return Slab(range(numbers[0], numbers[-1] + 1), tiles)

    def _kept(self, number: int) -> Window:
        height, width = self.tile
        down, across = divmod(number, self.across)
        row, col = down * height, across * width
        return Window(row, col, min(height, self.rows - row), min(width, self.cols - col))
