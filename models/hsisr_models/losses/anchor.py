"""Holds every endmember to the direction it had before training."""

from __future__ import annotations

from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses import sad
from hsisr_models.losses._fields import needed

SOURCE = "Jin et al. 2021, AAENet, IEEE TNNLS: the angle to the endmembers that VCA found"


def loss(outcome: Outcome) -> Tensor:
    """The mean angle in radians between the endmembers and their start; black ones do not count.

    Raises `ValueError` where either is missing.
    """
    start = needed(outcome.start, "starting endmembers").T[None, :, :, None]
    endmembers = needed(outcome.endmembers, "endmembers").T[None, :, :, None]
    return sad.loss(Outcome(start, endmembers))
