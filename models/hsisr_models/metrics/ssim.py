"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from hsisr_models.contract import Meter
from hsisr_models.metrics._windows import Moments, Windows

LABEL = "SSIM"
UNIT = ""
IDEAL = 1.0
HIGHER_IS_BETTER = True

_K1, _K2 = 0.01, 0.03


def meter(*, peak: float, ratio: int, window: int = 7, sigma: float | None = None) -> Meter:
    """Begin to measure a scene whose values range up to `peak`.

    Windows of so many pixels a side are uniform, with the covariance of a sample, or Gaussian.
    """
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    if sigma is None:
        unbiased = window**2 / (window**2 - 1)
        weights = torch.full((window,), 1 / window, dtype=torch.float64)
    else:
        unbiased = 1.0
        places = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
        weights = (-(places**2) / (2 * sigma**2)).softmax(0)
    return Windows(weights, partial(_similarity, c1=c1, c2=c2, unbiased=unbiased))


def definition(*, peak: float, ratio: int, window: int = 7, sigma: float | None = None) -> str:
    """What is measured, in one line."""
    kind, covariance = "uniform", "sample"
    if sigma is not None:
        kind, covariance = f"Gaussian (sigma {sigma:g})", "weighted"
    return (
        f"SSIM: mean over bands, {kind} {window} x {window} windows inside the scene, "
        f"{covariance} covariance, K1 {_K1}, K2 {_K2}, range {peak:g}"
    )


def _similarity(moments: Moments, c1: float, c2: float, unbiased: float) -> Tensor:
    x, y, variances, covariance = moments
    luminance = (2 * x * y + c1) / (x**2 + y**2 + c1)
    return luminance * (2 * unbiased * covariance + c2) / (unbiased * variances + c2)
