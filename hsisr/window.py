"""Rectangles of pixels and the plan that cuts a scene into them: integers only.

A scene is processed tile by tile. A network whose output depends on inputs at most `halo` pixels
away gives the same values on a tile as on the whole scene, if the tile is read with that many
pixels around it and only its middle is kept:

      read (low resolution)              crop (× scale)        write (output grid)
    ┌───────────────────┐             ┌───────────────────┐
    │ halo  ┌───────┐   │   network   │       ┌───────┐   │      ┌───────┐
    │       │ tile  │   │  ────────►  │       │ kept  │   │ ───► │       │
    │       └───────┘   │             │       └───────┘   │      └───────┘
    └───────────────────┘             └───────────────────┘

At the border of the scene the halo is cut off, so a tile sees the same border as the whole scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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

    def relative_to(self, origin: Window) -> Window:
        """The same rectangle counted from the first pixel of `origin`."""
        return Window(self.row - origin.row, self.col - origin.col, self.height, self.width)

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
    crop: Window
    """What is kept, counted from the first pixel of the network's output."""
    write: Window
    """Where the kept part goes on the output grid."""


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Cuts a scene of `rows` x `cols` pixels into tiles, row by row.

    `tile` and `halo` are in pixels of the scene, `scale` is the factor between the scene's grid
    and the output's. Every output pixel belongs to exactly one tile.
    """

    rows: int
    cols: int
    tile: int
    halo: int
    scale: int = 1

    def __len__(self) -> int:
        return -(-self.rows // self.tile) * -(-self.cols // self.tile)

    def __iter__(self) -> Iterator[Tile]:
        scene = Window(0, 0, self.rows, self.cols)
        for row in range(0, self.rows, self.tile):
            for col in range(0, self.cols, self.tile):
                height = min(self.tile, self.rows - row)
                width = min(self.tile, self.cols - col)
                yield self._tile(Window(row, col, height, width), scene)

    def _tile(self, kept: Window, scene: Window) -> Tile:
        read = kept.grown(self.halo, scene)
        return Tile(
            read=read,
            crop=kept.relative_to(read).zoomed(self.scale),
            write=kept.zoomed(self.scale),
        )
