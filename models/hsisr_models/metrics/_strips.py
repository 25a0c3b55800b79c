"""Parts that meters share: strips with missing samples, in double precision."""

from __future__ import annotations

import torch
from torch import Tensor


def paired(truth: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    """Both strips (B, h, w) as float64, NaN wherever either has no data.

    Raises `ValueError` if their shapes differ.
    """
    if truth.shape != estimate.shape:
        raise ValueError(f"truth {tuple(truth.shape)} and estimate {tuple(estimate.shape)} differ")
    truth, estimate = (strip.detach().to("cpu", torch.float64) for strip in (truth, estimate))
    missing = truth.isnan() | estimate.isnan()
    return truth.masked_fill(missing, torch.nan), estimate.masked_fill(missing, torch.nan)


class BandErrors:
    """Sums over the samples of each band: squared errors, true values, and how many."""

    def __init__(self) -> None:
        self.squares = self.truths = self.counts = torch.zeros(1, dtype=torch.float64)

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip."""
        truth, estimate = paired(truth, estimate)
        self.squares = self.squares + (truth - estimate).square().nansum((1, 2))
        self.truths = self.truths + truth.nansum((1, 2))
        self.counts = self.counts + truth.isfinite().sum((1, 2))

    @property
    def mean_squares(self) -> Tensor:
        """(B,), NaN for a band without samples."""
        return self.squares / self.counts


class Variation:
    """Which bands of the truth vary.

    A dead band is restored exactly by interpolation, and almost exactly by a network. In a measure
    relative to the error or the variation it would outweigh all other bands.
    """

    def __init__(self) -> None:
        self._lowest, self._highest = torch.full((1,), torch.inf), torch.full((1,), -torch.inf)

    def update(self, truth: Tensor) -> None:
        """Take in the next strip (B, h, w)."""
        truth = truth.detach().cpu()
        missing = truth.isnan()
        lowest = truth.masked_fill(missing, torch.inf).amin((1, 2))
        highest = truth.masked_fill(missing, -torch.inf).amax((1, 2))
        self._lowest = torch.minimum(self._lowest, lowest)
        self._highest = torch.maximum(self._highest, highest)

    @property
    def counted(self) -> Tensor:
        """The bands (B,) that do; all of them where none does."""
        varies = self._highest > self._lowest
        return varies if varies.any() else torch.ones_like(varies)
