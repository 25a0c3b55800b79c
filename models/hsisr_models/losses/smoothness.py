"""Total variation of the endmembers along the spectrum."""

from __future__ import annotations

from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses._fields import needed

SOURCE = "arXiv:2407.06525, Eq. 7, with the absolute value without which the sum telescopes"


def loss(outcome: Outcome) -> Tensor:
    """The sum over neighbouring bands of |e_(i+1) - e_i|, mean over endmembers.

    Raises `ValueError` where the endmembers are missing.
    """
    return needed(outcome.endmembers, "endmembers").diff(dim=1).abs().sum(1).mean()
