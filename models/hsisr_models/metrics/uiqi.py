"""Universal image quality index, Q (Wang and Bovik 2002)."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import Variation
from hsisr_models.metrics._windows import Moments, Windows

LABEL = "UIQI"
UNIT = ""
IDEAL = 1.0
HIGHER_IS_BETTER = True

_WINDOW = 8
_FLAT = 1e-13
"""Variance, relative to the squared mean, that rounding alone can give a constant window."""


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure."""
    return _Quality()


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return (
        f"UIQI: mean over bands of Q, uniform {_WINDOW} x {_WINDOW} windows inside the scene, "
        "a factor of 0/0 counts as 1, bands that do not vary left out"
    )


class _Quality(Windows):
    def __init__(self) -> None:
        super().__init__(torch.full((_WINDOW,), 1 / _WINDOW), quality)
        self._variation = Variation()

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip."""
        super().update(truth, estimate)
        self._variation.update(truth)

    def result(self) -> float:
        """NaN if the scene has no window without missing pixels."""
        counted = self._variation.counted
        return float(self.per_band.expand(counted.shape)[counted].nanmean())


def quality(moments: Moments) -> Tensor:
    """Q of each window, (h, w)."""
    x, y, variances, covariance = moments
    squares = x**2 + y**2
    variances = variances.where(~(variances <= _FLAT * squares), 0)
    return _share(2 * x * y, squares) * _share(2 * covariance, variances)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return (part / whole).where(whole != 0, 1)
