"""Sum-to-one constrained least squares: negative abundances reveal endmembers that do not fit."""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Solution
from hsisr_models.exact import products

SOURCE = "Heinz and Chang, IEEE TGRS 39(3), 2001"
SUM_TO_ONE, NON_NEGATIVE = True, False
TELLS_GAIN = False


def solve(spectra: Tensor, endmembers: Tensor) -> Solution:
    """The weights (p, N), summing to one, whose mixture is nearest to spectra (B, N).

    Of several such weights those closest to being equal.
    """
    known = endmembers.double()
    mean = known.mean(0)
    # weights of differences from the mean spectrum are unconstrained
    inverse = torch.linalg.pinv((known - mean).T)
    x = products(inverse, spectra) + (1 / len(known) - inverse @ mean)[:, None]
    return Solution(x, torch.ones_like(x[0]))
