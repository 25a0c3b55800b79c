"""Similarity within sliding windows, over strips each of which continues the one above."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hsisr_models.metrics._strips import paired


class Moments(NamedTuple):
    """Of the values x of the truth and y of the estimate within each window of a band, (h, w)."""

    mean_x: Tensor
    mean_y: Tensor
    variances: Tensor
    """Of x and of y, added."""
    covariance: Tensor


class Windows:
    """The mean over bands of a similarity in windows that lie wholly inside the scene.

    `weights` (k,) are those of a window's rows and of its columns, with a sum of 1; windows that
    hold a NaN are left out.
    """

    def __init__(self, weights: Tensor, alike: Callable[[Moments], Tensor]) -> None:
        self._weights, self._alike = weights, alike
        self._above: Tensor | None = None
        self._totals = torch.zeros(2, 1, dtype=torch.float64)
        """Of each band, over its windows, and how many they are."""

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip, together with the rows above that its windows reach into."""
        size = len(self._weights)
        rows = torch.stack(paired(truth, estimate))
        rows = rows if self._above is None else torch.cat((self._above, rows), 2)
        self._above = rows[:, :, -(size - 1) :].clone()
        if min(rows.shape[2:]) < size:
            return
        # band by band, so that what is computed of windows stays small
        totals = [self._total(x, y) for x, y in zip(*rows, strict=True)]
        self._totals = self._totals + torch.stack(totals, 1)

    def _total(self, x: Tensor, y: Tensor) -> Tensor:
        alike = self._alike(self._moments(x, y))
        return torch.stack((alike.nansum(), alike.isfinite().sum().to(alike.dtype)))

    def _moments(self, x: Tensor, y: Tensor) -> Moments:
        mean_x, mean_y = self._mean(x), self._mean(y)
        variances = self._mean(x * x + y * y) - mean_x**2 - mean_y**2
        return Moments(mean_x, mean_y, variances, self._mean(x * y) - mean_x * mean_y)

    def _mean(self, values: Tensor) -> Tensor:
        # shifted and added: several times faster than a product with every window
        first, *others = self._weights.tolist()
        for axis in (0, 1):
            count = values.shape[axis] - len(others)
            total = values.narrow(axis, 0, count) * first
            for shift, weight in enumerate(others, 1):
                total.add_(values.narrow(axis, shift, count), alpha=weight)
            values = total
        return values

    @property
    def per_band(self) -> Tensor:
        """The mean over each band's windows (B,), NaN without one; (1,) if no strip had any."""
        return self._totals[0] / self._totals[1]

    def result(self) -> float:
        """NaN if the scene has no window without missing pixels."""
        return float(self.per_band.nanmean())
