"""Features on finer and on coarser grids, by pixel shuffles (Shi et al. 2016)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import Conv


class Enlarged(nn.Sequential):
    """A convolution and a pixel shuffle: (N, C, h, w) to (N, C, factor h, factor w)."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(Conv(channels, channels * factor**2, 3), nn.PixelShuffle(factor))


class Reduced(nn.Module):
    """A convolution and the inverse of a pixel shuffle.

    Where the square of the factor does not divide the channels, what is too much is cut.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.narrow = Conv(channels, math.ceil(channels / factor**2), 3)
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, factor h, factor w) to (N, C, h, w)."""
        return F.pixel_unshuffle(self.narrow(features), self.factor)[:, : features.shape[1]]


def seen_before_enlarging(seen: int, factors: list[int]) -> int:
    """How far beyond a pixel those `seen` pixels beyond it on a finer grid see, before `factors`.

    Counted backwards through an `Enlarged` for each of them.
    """
    for factor in reversed(factors):
        seen = math.ceil(seen / factor) + 1
    return seen


def seen_before_reducing(seen: int, factors: list[int]) -> int:
    """The same on the finer grid, backwards through a `Reduced` for each, the coarsest last."""
    for factor in factors:
        seen = factor * seen + 1
    return seen
