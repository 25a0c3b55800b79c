"""The noise of every band: what a regression on all other bands leaves of it.

With P the inverse of the matrix R of the bands' mean products, the residual of band i is row i of
P times the pixel, divided by P_ii, and its mean square is 1 / P_ii. So no pixel is needed.
Roger and Arnold, Int. J. Remote Sensing 17(10), 1996.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-12
"""Added to the energy of every band, in parts of their mean: bands may repeat each other."""


def energies(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The mean products (B, B) of the bands, about zero, and their inverse."""
    products = covariance + torch.outer(mean, mean)
    tiny = torch.finfo(products.dtype).tiny
    ridge = (_RIDGE * products.diagonal().mean()).clamp_min(tiny**0.5)
    return products, torch.linalg.inv(products + ridge * torch.eye(len(mean)).to(products))
