"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import l1_loss

from hsisr_models.contract import Outcome

SOURCE = "arXiv:2407.06525, Eq. 5 and 9"


def loss(outcome: Outcome) -> Tensor:
    """The mean over scenes, bands and pixels of |truth - estimate|."""
    return l1_loss(outcome.estimate, outcome.truth)
