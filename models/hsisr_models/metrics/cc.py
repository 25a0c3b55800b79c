"""Correlation coefficient (Pearson)."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import paired

LABEL = "CC"
UNIT = ""
IDEAL = 1.0
HIGHER_IS_BETTER = True

_CONSTANT = 1e-13
"""Relative standard deviation that rounding alone can give a constant band."""


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure."""
    return _Correlation()


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return "CC: mean over bands of Pearson's correlation, bands without variation left out"


class _Correlation:
    """Central moments, joined strip by strip as by Chan, Golub and LeVeque (1983).

    Sums of plain products would cancel in a bright band that varies little.
    """

    def __init__(self) -> None:
        self._count = torch.zeros((), dtype=torch.float64)
        self._means = torch.zeros(2, 1, dtype=torch.float64)
        self._moments = torch.zeros(3, 1, dtype=torch.float64)
        """Sums of the squared deviations of truth and estimate, and of their products."""

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip."""
        pair = torch.stack(paired(truth, estimate)).flatten(2)
        count = pair[0].isfinite().sum(1)
        means = pair.nanmean(2).nan_to_num()
        moments = _moments((pair - means[..., None]).nan_to_num()).sum(2)
        total = (self._count + count).clamp_min(1)
        apart = means - self._means
        self._means = self._means + apart * count / total
        self._moments = self._moments + moments + _moments(apart) * self._count * count / total
        self._count = self._count + count

    def result(self) -> float:
        """NaN if no band varies in the truth; an estimate that does not vary counts as 0."""
        squares, product = self._moments[:2], self._moments[2]
        varies = squares > self._count * (_CONSTANT * self._means) ** 2
        correlation = (product / squares.prod(0).sqrt()).where(varies[1], 0)
        return float(correlation[varies[0]].mean())


def _moments(pair: Tensor) -> Tensor:
    return torch.stack((pair[0] ** 2, pair[1] ** 2, pair[0] * pair[1]))
