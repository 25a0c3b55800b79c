"""Relative average spectral error (Ranchin and Wald 2000)."""

from __future__ import annotations

import math

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import BandErrors

LABEL = "RASE"
UNIT = "%"
IDEAL = 0.0
HIGHER_IS_BETTER = False


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure."""
    return _Rase()


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return "RASE: 100/M sqrt(mean over bands of MSE), M the mean of the bands' means, in %"


class _Rase(BandErrors):
    def result(self) -> float:
        """In %; NaN if there is no mean to relate the error to."""
        error, mean = self.mean_squares.nanmean().sqrt(), (self.truths / self.counts).nanmean()
        return 100 * float((error / mean).where(mean != 0, math.nan))
