"""Sharpening from all sides: what comes of it has no preferred direction, and a spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.tiling.operations import Operation
from hsisr_models.exact import total
from hsisr_models.rendering import Area, Renderer

_TURNS = tuple((quarters, mirrored) for mirrored in (False, True) for quarters in range(4))


@dataclass(frozen=True)
class Ensemble:
    """Sharpening as the mean over the 8 ways to turn and mirror a scene (Timofte et al. 2016)."""

    inner: Operation
    spread: bool = False
    """Whether one more band tells how much the 8 differ: their standard deviation, as the root
    mean square over the bands."""

    @property
    def scale(self) -> int:
        """That of the inner operation."""
        return self.inner.scale

    @property
    def reach(self) -> int | None:
        """That of the inner operation, which has to be the same in all directions."""
        return self.inner.reach

    @property
    def footprint(self) -> int:
        """All 8 are prepared, and kept."""
        return len(_TURNS) * self.inner.footprint

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """That of the inner operation, and beside it the first, the sums, and what is turned."""
        return self.inner.workspace(bands, rows, cols) + 8 * bands * self.scale**2 * rows * cols

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """The mean (1, B, scale h, scale w), followed by the spread where asked for."""
        members = [_turned(self.inner, scene, kept, *turn) for turn in _TURNS]
        return lambda rows, cols: self._mean(render(rows, cols) for render in members)

    def _mean(self, members: Iterator[Tensor]) -> Tensor:
        first = next(members)
        # of differences, which are small: squares of values would leave no digits to the spread
        differences = torch.zeros_like(first)
        squares = torch.zeros_like(first) if self.spread else None
        for member in members:
            difference = member.sub_(first)
            differences += difference
            if squares is not None:
                squares += difference.square_()
        mean = differences.div_(len(_TURNS))
        first += mean
        if squares is None:
            return first
        variance = squares.div_(len(_TURNS)).sub_(mean.square_()).clamp_(min=0)
        over_bands = total(variance.unbind(1)) / variance.shape[1]
        return torch.cat((first, over_bands.sqrt()[:, None]), 1)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by the inner operation; the spread is missing where all bands are."""
        missing = self.inner.missing(holes)
        if not self.spread:
            return missing
        return np.concatenate((missing, missing.all(0, keepdims=True)))

    def held(self, result: NDArray[np.float32]) -> bool:
        """As by the inner operation."""
        return self.inner.held(result)


def _turned(
    inner: Operation, scene: Tensor, kept: Area | None, quarters: int, mirrored: bool
) -> Renderer:
    """An operation on a scene that is mirrored and turned, and the result back again."""
    height, width = scene.shape[2:]

    def turned(rows: slice, cols: slice) -> Area:
        cols = _reversed(cols, width) if mirrored else cols
        ends = (width, height)
        for turn in range(quarters):
            rows, cols = _reversed(cols, ends[turn % 2]), rows
        return rows, cols

    def upright(rows: slice, cols: slice) -> Tensor:
        back = render(*turned(rows, cols)).float().rot90(-quarters, (2, 3))
        return back.flip(3) if mirrored else back

    seen = scene.flip(3) if mirrored else scene
    render = inner.prepare(seen.rot90(quarters, (2, 3)), kept=kept and turned(*kept))
    return upright


def _reversed(part: slice, size: int) -> slice:
    """Where a stretch of pixels lies when they are counted from the other end."""
    return slice(size - part.stop, size - part.start)
