"""What can be done to every tile: sharpening, unmixing, and what is put around sharpening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr_models.contract import Solution
from hsisr_models.imaging import back_project, mix, projection_reach


class Operation(Protocol):
    """What is done to every tile."""

    @property
    def scale(self) -> int:
        """Factor between the input's grid and the output's."""

    @property
    def reach(self) -> int | None:
        """In pixels of the scene; None if the network sees its whole image."""

    def __call__(self, scene: Tensor) -> Tensor:
        """Physical, complete (1, B, h, w) to (1, C, scale h, scale w)."""

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which output samples (C or 1, h, w) have no data, given those of the input (B, h, w)."""


@dataclass(frozen=True)
class Sharpen:
    """Super-resolution as an operation on tiles."""

    resolver: Callable[[Tensor], Tensor]
    scale: int
    reach: int | None
    peak: float

    def __call__(self, scene: Tensor) -> Tensor:
        """The sharper scene, in the units of the input."""
        return self.resolver(scene / self.peak) * self.peak

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A sample is missing where its own band is."""
        return holes


@dataclass(frozen=True)
class Consistent:
    """Sharpening, corrected so that the result degrades to what it was made from."""

    inner: Operation
    operator: str
    """One of `imaging.OPERATORS`."""

    @property
    def scale(self) -> int:
        """That of the inner operation."""
        return self.inner.scale

    @property
    def reach(self) -> int | None:
        """That of the inner operation, and how far a correction sees and is seen."""
        reach = self.inner.reach
        return None if reach is None else reach + projection_reach(self.scale, self.operator)

    def __call__(self, scene: Tensor) -> Tensor:
        """The nearest consistent scene, see `imaging.back_project`."""
        return back_project(self.inner(scene).float(), scene, self.scale, self.operator)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by the inner operation."""
        return self.inner.missing(holes)


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

    def __call__(self, scene: Tensor) -> Tensor:
        """The mean (1, B, scale h, scale w), followed by the spread where asked for."""
        members = self._members(scene)
        first = next(members)
        # of differences, which are small: squares of values would leave no digits to the spread
        total, squares = torch.zeros_like(first), torch.zeros_like(first)
        for member in members:
            difference = member - first
            total += difference
            squares += difference.square()
        mean = total / len(_TURNS)
        if not self.spread:
            return first + mean
        variance = (squares / len(_TURNS) - mean.square()).clamp_(min=0)
        # band after band, because how torch sums up depends on the size of the image
        spread = (reduce(add, variance.unbind(1)) / variance.shape[1]).sqrt()
        return torch.cat((first + mean, spread[:, None]), 1)

    def _members(self, scene: Tensor) -> Iterator[Tensor]:
        for quarters, mirrored in _TURNS:
            turned = (scene.flip(3) if mirrored else scene).rot90(quarters, (2, 3))
            back = self.inner(turned).float().rot90(-quarters, (2, 3))
            yield back.flip(3) if mirrored else back

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by the inner operation; the spread is missing where all bands are."""
        missing = self.inner.missing(holes)
        if not self.spread:
            return missing
        return np.concatenate((missing, missing.all(0, keepdims=True)))


@dataclass(frozen=True)
class Unmix:
    """Unmixing as an operation on tiles: abundances, then the error of the reconstruction."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    reach: int | None
    peak: float
    scale: int = 1

    def __call__(self, scene: Tensor) -> Tensor:
        """Abundances (1, p, h, w), then the root mean square error (1, 1, h, w)."""
        abundances = self.encode(scene / self.peak)
        error = self.decode(abundances) * self.peak - scene
        return torch.cat((abundances, error.square().mean(1, keepdim=True).sqrt()), 1)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A pixel cannot be unmixed where half of its bands or more are missing."""
        return np.asarray(holes.mean(0, keepdims=True) >= 0.5)


@dataclass(frozen=True)
class UnmixLinearly:
    """Unmixing by known endmembers, every pixel by itself: abundances, then the error."""

    solve: Callable[[Tensor, Tensor], Solution]
    endmembers: Tensor
    """(p, B), in the units of the scene."""
    good: Tensor
    """Which bands count (B,)."""
    scale: int = 1
    reach: int = 0

    def __call__(self, scene: Tensor) -> Tensor:
        """Abundances (1, p, h, w), then the root mean square error (1, 1, h, w)."""
        # band by band in memory, as both the solver and the error go through them
        used = scene[0, self.good].contiguous()
        known = self.endmembers[:, self.good]
        found = self.solve(used.flatten(1), known)
        shape = (1, len(known), *used.shape[1:])
        mixed = mix((found.abundances * found.gain).float().reshape(shape), known)
        squares = (mixed[0].contiguous() - used).square()
        error = (reduce(add, squares.unbind(0)) / len(used)).sqrt()
        return torch.cat((found.abundances.float().reshape(shape), error[None, None]), 1)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by a network: where half of the bands or more are missing."""
        return np.asarray(holes.mean(0, keepdims=True) >= 0.5)
