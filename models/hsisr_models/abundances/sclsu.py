"""Scaled constrained least squares: non-negative shares that sum to one, and a free brightness."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.abundances._active_set import minimise
from hsisr_models.contract import Solution
from hsisr_models.exact import total

SOURCE = "Nascimento and Bioucas-Dias, IEEE TGRS 43(4), 2005, on brightness that varies"
SUM_TO_ONE, NON_NEGATIVE = True, True
TELLS_GAIN = True


def solve(spectra: Tensor, endmembers: Tensor) -> Solution:
    """The non-negative weights of spectra (B, N) divided by their sum, which is the gain.

    NaN where nothing of any endmember is found: a black pixel has no shares.
    """
    x = minimise(spectra, endmembers)
    gain = total(x)
    return Solution(torch.where(gain > 0, x / gain, torch.nan), gain)
