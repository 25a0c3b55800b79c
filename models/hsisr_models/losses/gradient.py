"""Gradient magnitude along rows, columns and bands: that of the estimate against the truth's.

The difference before the first value of a line counts as zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsisr_models.contract import Outcome

SOURCE = "Wang, Ma, Jiang, RFSR, IEEE TGRS 60, 2022; Chen et al., MSDformer, TGRS 61, 2023"
_AWAY_FROM_ZERO = 1e-6
"""Added to the square, as the authors do: a root has no derivative at zero."""


def loss(outcome: Outcome) -> Tensor:
    """The mean absolute difference of the lengths."""
    return (_lengths(outcome.estimate) - _lengths(outcome.truth)).abs().mean()


def _lengths(scene: Tensor) -> Tensor:
    scene = scene.float()
    steps = (scene.diff(dim=axis, prepend=scene.narrow(axis, 0, 1)) for axis in (1, 2, 3))
    return torch.stack([step.square() for step in steps]).sum(0).add(_AWAY_FROM_ZERO).sqrt()
