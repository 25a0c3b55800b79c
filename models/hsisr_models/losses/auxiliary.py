"""Mean absolute error of the other task that a network is trained for, `SrNetwork.auxiliary`."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import l1_loss

from hsisr_models.contract import Outcome
from hsisr_models.losses._fields import needed

SOURCE = "Li, Dai, Konukoglu, Van Gool, arXiv:2101.07589"


def loss(outcome: Outcome) -> Tensor:
    """The mean of |truth - estimate|; raises `ValueError` for a network without such a task."""
    estimate = needed(outcome.auxiliary, "auxiliary task")
    return l1_loss(estimate, needed(outcome.auxiliary_truth, "truth of the auxiliary task"))
