"""Fully constrained least squares: non-negative and summing to one, exactly, not by a penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.abundances._active_set import minimise
from hsisr_models.contract import Solution

SOURCE = "Heinz and Chang, IEEE TGRS 39(3), 2001"
SUM_TO_ONE, NON_NEGATIVE = True, True
TELLS_GAIN = False


def solve(spectra: Tensor, endmembers: Tensor) -> Solution:
    """The point of the simplex (p, N) whose mixture is nearest to spectra (B, N)."""
    x = minimise(spectra, endmembers, total=torch.ones(len(endmembers)))
    return Solution(x, torch.ones_like(x[0]))
