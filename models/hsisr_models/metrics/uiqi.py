"""Universal image quality index, Q (Wang and Bovik 2002)."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Meter
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
    return Windows(torch.full((_WINDOW,), 1 / _WINDOW), quality)


def definition(*, peak: float, ratio: int) -> str:
    """What is measured, in one line."""
    return (
        f"UIQI: mean over bands of Q, uniform {_WINDOW} x {_WINDOW} windows inside the scene, "
        "a factor of 0/0 counts as 1"
    )


def quality(moments: Moments) -> Tensor:
    """Q of each window, (h, w)."""
    x, y, variances, covariance = moments
    squares = x**2 + y**2
    variances = variances.where(~(variances <= _FLAT * squares), 0)
    return _share(2 * x * y, squares) * _share(2 * covariance, variances)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return (part / whole).where(whole != 0, 1)
