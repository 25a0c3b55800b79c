"""How a scene is cut into splits, and splits into blocks.

A scene is cut along its longer side into runs of train | gap | validation | gap | test, repeated
on large scenes. Blocks of different splits never touch: `gap` pixels between them belong to none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from hsisr.cube import CubeSpec
from hsisr.errors import InputError, UsageError
from hsisr.scene.degraded import known_operator
from hsisr.window import Window

SPLITS = ("train", "validation", "test")
_BLOCK = 64
"""Longest side of a block, in low-resolution pixels."""
_PERIOD = 256
"""Length of one run of train, validation and test on large scenes, in low-resolution pixels."""
_SMALLEST = 4
"""Shortest side of a useful block, in low-resolution pixels."""


@dataclass(frozen=True)
class Layout:
    """How scenes are cut."""

    scale: int
    operator: str = "bicubic"
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Of training, validation and test along the longer side."""
    gap: int = 2
    """Between splits, in low-resolution pixels."""

    def __post_init__(self) -> None:
        known_operator(self.operator)
        if len(self.shares) != 3 or not all(0 < share < np.inf for share in self.shares):
            raise UsageError(
                f"--split {self.shares} should be three positive shares", hint="0.7,0.1,0.2"
            )


def cut(spec: CubeSpec, layout: Layout, where: Path | None = None) -> dict[str, list[Window]]:
    """The windows of a scene that belong to each split, sides a multiple of the scale.

    Raises `InputError`, which tells `where`, if a split would be too small to be of use.
    """
    along_rows = spec.rows >= spec.cols
    length, breadth = (spec.rows, spec.cols) if along_rows else (spec.cols, spec.rows)
    windows: dict[str, list[Window]] = {split: [] for split in SPLITS}
    for split, start, stop in _runs(length // layout.scale, layout):
        if min(stop - start, breadth // layout.scale) < _SMALLEST:
            raise InputError(
                f"the scene of {spec.rows} x {spec.cols} pixels is too small to be split at scale "
                f"{layout.scale}: its {split} part would be {max(stop - start, 0)} x "
                f"{breadth // layout.scale} low-resolution pixels, {_SMALLEST} are needed",
                where=where,
                hint="a smaller --scale, or a larger scene",
            )
        run = Window(start, 0, stop - start, breadth // layout.scale)
        for low in _blocks(run):
            turned = low if along_rows else Window(low.col, low.row, low.width, low.height)
            windows[split].append(turned.zoomed(layout.scale))
    return windows


def _runs(length: int, layout: Layout) -> Iterator[tuple[str, int, int]]:
    """(split, first, stop) along the longer side; on short scenes training gives way."""
    periods = max(1, length // _PERIOD)
    _, validation_share, test_share = np.asarray(layout.shares) / sum(layout.shares)
    for period in range(periods):
        first, last = length * period // periods, length * (period + 1) // periods
        validation = max(_SMALLEST, round((last - first) * validation_share))
        test = max(_SMALLEST, round((last - first) * test_share) - layout.gap)
        seam = last - test - layout.gap - validation
        yield "train", first + (layout.gap if period else 0), seam - layout.gap
        yield "validation", seam, seam + validation
        yield "test", last - test, last


def blocks(window: Window, scale: int) -> list[Window]:
    """A window cut into blocks of at most 64 low-resolution pixels, its remainder dropped."""
    low = Window(0, 0, window.height // scale, window.width // scale)
    return [block.zoomed(scale).moved(window.row, window.col) for block in _blocks(low)]


def whole(window: Window, scale: int) -> Window:
    """A window without the rows and columns beyond a multiple of the scale."""
    return replace(
        window, height=window.height // scale * scale, width=window.width // scale * scale
    )


def _blocks(low: Window) -> Iterator[Window]:
    for first, last in _pieces(low.row, low.row_stop):
        for left, right in _pieces(low.col, low.col_stop):
            yield Window(first, left, last - first, right - left)


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    count = -(-(stop - start) // _BLOCK)
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return pairwise(edges)
