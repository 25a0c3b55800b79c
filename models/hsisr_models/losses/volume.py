"""Holds the endmembers together: reconstruction alone lets them drift away from the data."""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm

from hsisr_models.contract import Outcome
from hsisr_models.losses._fields import needed

SOURCE = "Craig 1994, minimum-volume transforms; the quadratic form of Berman et al. 2004, ICE"


def loss(outcome: Outcome) -> Tensor:
    """The mean over endmembers and bands of the squared deviation from their centroid.

    In units of the mean norm of a true spectrum, so independent of the scene's scale; zero on a
    black scene. Raises `ValueError` where the endmembers are missing.
    """
    endmembers = needed(outcome.endmembers, "endmembers")
    brightness: Tensor = vector_norm(outcome.truth.detach(), dim=1).mean()
    scaled = endmembers * brightness.reciprocal().nan_to_num(posinf=0)
    return (scaled - scaled.mean(0)).square().mean()
