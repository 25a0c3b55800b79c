"""Mean squared error."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import mse_loss

from hsisr_models.contract import Outcome

SOURCE = "Rasti et al. 2022, MiSiCNet; Ghosh et al. 2022, DeepTrans-HSU; Yu et al. 2022, MSNet"


def loss(outcome: Outcome) -> Tensor:
    """The mean over scenes, bands and pixels of (truth - estimate) squared."""
    return mse_loss(outcome.estimate, outcome.truth)
