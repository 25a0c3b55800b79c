"""Sparse unmixing: few spectra of a large library explain a pixel.

It minimises |y - E^T x|^2 / 2 + sparsity |x|_1 with endmembers scaled to a mean square length of 1,
so the abundance of a lone endmember is lowered by the sparsity. SUnSAL does this by variable
splitting (ADMM), which needs thousands of steps where spectra are alike; here an active set of the
few spectra that are used reaches the exact minimum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.abundances._active_set import minimise
from hsisr_models.contract import Solution

SOURCE = "Bioucas-Dias and Figueiredo, WHISPERS 2010; Iordache et al., IEEE TGRS 49(6), 2011"
SUM_TO_ONE, NON_NEGATIVE = False, True
TELLS_GAIN = False


def solve(
    spectra: Tensor,
    endmembers: Tensor,
    *,
    sparsity: float = 1e-3,
    asc: bool = False,
    anc: bool = True,
) -> Solution:
    """The sparse weights (p, N) whose mixture is near to spectra (B, N).

    They sum to one if `asc`, and are not negative if `anc`; if they are neither, few of them matter
    only where `sparsity` is not small.
    """
    total = torch.ones(len(endmembers)) if asc else None
    if anc:
        x = minimise(spectra, endmembers, total=total, sparsity=sparsity)
    else:
        # what is above zero, and what is below
        both = torch.cat((endmembers, -endmembers))
        signs = None if total is None else torch.cat((total, -total))
        above, below = minimise(spectra, both, total=signs, sparsity=sparsity).chunk(2)
        x = above - below
    return Solution(x, torch.ones_like(x[0]))
