"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import paired

LABEL = "SSIM"
UNIT = ""
IDEAL = 1.0
HIGHER_IS_BETTER = True

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def meter(*, peak: float, ratio: int) -> Meter:
    """Begin to measure a scene whose values range up to `peak`."""
    return _Ssim(peak)


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return (
        f"SSIM: mean over bands, uniform {_WINDOW} x {_WINDOW} windows inside the scene, "
        f"sample covariance, K1 {_K1}, K2 {_K2}, range {peak:g}"
    )


class _Ssim:
    """Keeps the last rows of a strip, because windows reach into the next one."""

    def __init__(self, peak: float) -> None:
        self._c1, self._c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
        self._above: Tensor | None = None
        self._sums = torch.zeros((), dtype=torch.float64)
        self._counts = torch.zeros((), dtype=torch.float64)

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip."""
        rows = torch.stack(paired(truth, estimate))
        rows = rows if self._above is None else torch.cat((self._above, rows), 2)
        self._above = rows[:, :, -(_WINDOW - 1) :].clone()
        if min(rows.shape[2:]) < _WINDOW:
            return
        similarity = self._similarity(*rows)
        self._sums = self._sums + similarity.nansum((1, 2))
        self._counts = self._counts + similarity.isfinite().sum((1, 2))

    def _similarity(self, x: Tensor, y: Tensor) -> Tensor:
        """At every window that lies wholly inside, (B, h - 6, w - 6); NaN if it holds a NaN."""
        unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
        mean_x, mean_y = _means(x), _means(y)
        variances = unbiased * (_means(x * x) + _means(y * y) - mean_x**2 - mean_y**2)
        covariance = unbiased * (_means(x * y) - mean_x * mean_y)
        luminance = (2 * mean_x * mean_y + self._c1) / (mean_x**2 + mean_y**2 + self._c1)
        return luminance * (2 * covariance + self._c2) / (variances + self._c2)

    def result(self) -> float:
        """NaN if the scene has no window without missing pixels."""
        return float((self._sums / self._counts).nanmean())


def _means(values: Tensor) -> Tensor:
    return avg_pool2d(avg_pool2d(values, (_WINDOW, 1), 1), (1, _WINDOW), 1)
