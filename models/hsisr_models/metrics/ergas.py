"""Relative global error in synthesis (Wald 2000)."""

from __future__ import annotations

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import BandErrors

LABEL = "ERGAS"
UNIT = ""
IDEAL = 0.0
HIGHER_IS_BETTER = False


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure a scene that was enlarged `ratio` times."""
    return _Ergas(ratio)


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return f"ERGAS: 100/{ratio} sqrt(mean over bands of MSE/mean²), bands of zero mean left out"


class _Ergas(BandErrors):
    def __init__(self, ratio: int) -> None:
        super().__init__()
        self._ratio = ratio

    def result(self) -> float:
        """NaN if no band has a mean to relate its error to."""
        relative = self.mean_squares / (self.truths / self.counts) ** 2
        return 100 / self._ratio * float(relative[self.truths != 0].nanmean().sqrt())
