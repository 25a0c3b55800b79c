"""Non-negative least squares: how much of each endmember a pixel holds, whatever the sum."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.abundances._active_set import minimise
from hsisr_models.contract import Solution

SOURCE = "Lawson and Hanson, Solving Least Squares Problems, 1974"
SUM_TO_ONE, NON_NEGATIVE = False, True
TELLS_GAIN = False


def solve(spectra: Tensor, endmembers: Tensor) -> Solution:
    """The non-negative weights (p, N) whose mixture is nearest to spectra (B, N)."""
    x = minimise(spectra, endmembers)
    return Solution(x, torch.ones_like(x[0]))
