"""Noise-whitened Harsanyi-Farrand-Chang: a signal moves the mean, which noise does not.

So an eigenvalue of the correlation of the bands that holds a signal is larger than that of their
covariance; by how much they differ by chance is known.
"""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor

from hsisr_models.noise import energies

SOURCE = "Chang and Du, IEEE TGRS 42(3), 2004"

_FALSE_ALARM = 1e-4
"""The chance of taking noise for a signal."""


def count(mean: Tensor, covariance: Tensor, pixels: int) -> int:
    """The eigenvalues that exceed what chance allows.

    By the mean (B,) and the covariance (B, B), float64, of so many pixels.
    """
    correlation, inverse = energies(mean, covariance)
    whitening = inverse.diagonal().sqrt()
    whitening = torch.outer(whitening, whitening)
    with_mean, without = (
        torch.linalg.eigvalsh(matrix * whitening) for matrix in (correlation, covariance)
    )
    deviation = (2 * (with_mean.square() + without.square()) / max(pixels, 1)).sqrt()
    threshold = NormalDist().inv_cdf(1 - _FALSE_ALARM) * deviation
    return int((with_mean - without > threshold).sum())
