"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

from torch import Tensor

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import BandErrors, Variation

LABEL = "PSNR"
UNIT = "dB"
IDEAL = math.inf
HIGHER_IS_BETTER = True


def meter(*, peak: float, ratio: int, pooled: bool = False) -> Meter:
    """Begin to measure a scene whose values range up to `peak`; `pooled`: all bands as one."""
    return _Psnr(peak, pooled)


def definition(*, peak: float, ratio: int, pooled: bool = False) -> str:
    """What is measured, in one line."""
    if pooled:
        return f"PSNR: 10 log10(peak²/MSE), MSE over all bands and pixels, peak {peak:g}"
    return (
        f"PSNR: mean over bands of 10 log10(peak²/MSE), peak {peak:g}, bands left out that do not "
        "vary or are flawless"
    )


class _Psnr(BandErrors):
    def __init__(self, peak: float, pooled: bool) -> None:
        super().__init__()
        self._peak, self._pooled = peak, pooled
        self._variation = Variation()

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip."""
        super().update(truth, estimate)
        self._variation.update(truth)

    def result(self) -> float:
        """In dB; infinite if no band has an error, NaN if there were no samples."""
        if self._pooled:
            return float(self._decibels(self.squares.sum() / self.counts.sum()))
        errors = self.mean_squares[self._variation.counted]
        errors = errors[errors > 0] if (errors > 0).any() else errors
        return float(self._decibels(errors).nanmean())

    def _decibels(self, errors: Tensor) -> Tensor:
        return 10 * (self._peak**2 / errors).log10()
