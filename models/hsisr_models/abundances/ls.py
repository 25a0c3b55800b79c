"""Unconstrained least squares: negative abundances reveal endmembers that do not fit."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Solution
from hsisr_models.exact import products

SOURCE = "Settle and Drake, Int. J. Remote Sensing 14(6), 1993"
SUM_TO_ONE, NON_NEGATIVE = False, False
TELLS_GAIN = False


def solve(spectra: Tensor, endmembers: Tensor) -> Solution:
    """The weights (p, N) whose mixture is nearest to spectra (B, N), the smallest such."""
    x = products(torch.linalg.pinv(endmembers.double().T), spectra)
    return Solution(x, torch.ones_like(x[0]))
