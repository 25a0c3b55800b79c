"""Root mean square error."""

from __future__ import annotations

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import BandErrors

LABEL = "RMSE"
UNIT = ""
IDEAL = 0.0
HIGHER_IS_BETTER = False


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure."""
    return _Rmse()


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return (
        "RMSE: root of the mean squared error over all bands and pixels, in the unit of the values"
    )


class _Rmse(BandErrors):
    def result(self) -> float:
        """In the data's unit; NaN if there were no samples."""
        return float((self.squares.sum() / self.counts.sum()).sqrt())
