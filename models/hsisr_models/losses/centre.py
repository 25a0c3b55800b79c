"""Holds the endmembers near the mean spectrum: the smaller their simplex, the smaller this is."""

from __future__ import annotations

from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses._fields import needed

SOURCE = "Rasti et al. 2022, MiSiCNet, IEEE TGRS 60: the minimum-simplex term"


def loss(outcome: Outcome) -> Tensor:
    """The mean over endmembers and bands of the squared deviation from the mean true spectrum.

    Raises `ValueError` where the endmembers are missing.
    """
    endmembers = needed(outcome.endmembers, "endmembers")
    return (endmembers - outcome.truth.mean((0, 2, 3))).square().mean()
