"""Variance elbow: a simplex has one vertex more than the dimensions that hold the variance."""

from __future__ import annotations

import torch
from torch import Tensor

SOURCE = "Jolliffe, Principal Component Analysis, 2002, sec. 6.1.1; 99.5 % of the variance"

_SHARE = 0.995


def count(mean: Tensor, covariance: Tensor, pixels: int) -> int:
    """One more than the principal components that hold 99.5 % of the variance, at most B.

    By the covariance (B, B) of a scene, float64.
    """
    del mean, pixels
    variances = torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0)
    held = variances.cumsum(0)
    return min(int((held < _SHARE * held[-1]).sum()) + 2, len(variances))
