"""HySime: the subspace that holds more signal than the noise it would let through."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.noise import energies

SOURCE = "Bioucas-Dias and Nascimento, IEEE TGRS 46(8), 2008"

_FLOOR = 1e-5
"""Added to the noise of every band, in parts of a band's mean signal, as the authors do."""


def count(mean: Tensor, covariance: Tensor, pixels: int) -> int:
    """The eigenvectors of the signal along which it exceeds the noise.

    By a scene's mean (B,) and covariance (B, B), float64.
    """
    del pixels
    observed, inverse = energies(mean, covariance)
    noise = 1 / inverse.diagonal()
    # the signal is what is left of the pixels without their residuals
    signal = observed - 2 * noise.diag() + noise[:, None] * inverse * noise
    _, axes = torch.linalg.eigh(signal)
    noise = noise + _FLOOR * signal.diagonal().mean()
    power = (axes * (observed @ axes)).sum(0)
    return int((power > 2 * (noise @ axes.square())).sum())
