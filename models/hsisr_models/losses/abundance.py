"""AbunLoss: the abundances of the estimate against those expected from the low resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import l1_loss

from hsisr_models.contract import Outcome
from hsisr_models.losses._fields import needed

SOURCE = "arXiv:2407.06525, Eq. 11"


def loss(outcome: Outcome) -> Tensor:
    """The mean over endmembers and pixels of |abundances - expected|.

    Raises `ValueError` where either is missing.
    """
    abundances = needed(outcome.abundances, "abundances")
    return l1_loss(abundances, needed(outcome.expected, "expected abundances"))
