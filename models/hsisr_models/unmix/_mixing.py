"""The decoder that the methods of this shelf share: endmembers that mix linearly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import POSITIVITIES, inverse_softplus, positive
from hsisr_models.imaging import mix
from hsisr_models.networks import UnmixNetwork


class LinearMixing(UnmixNetwork):
    """A network whose endmembers are weights (p, B), non-negative, and mix linearly.

    `positivity` is `softplus` of free weights, or weights clamped at zero. Raises `ValueError` for
    another one.
    """

    positivity: str
    weights: nn.Parameter

    def _begin(self, weights: Tensor, positivity: str) -> None:
        """Let these be the weights; called by the constructor."""
        if positivity not in POSITIVITIES:
            raise ValueError(f"no positivity '{positivity}'; known: {', '.join(POSITIVITIES)}")
        self.positivity = positivity
        self.weights = nn.Parameter(weights)
        self.register_buffer("start", self.endmembers.detach().clone())

    @property
    def endmembers(self) -> Tensor:
        """The endmember spectra (p, B), in the units of the scene."""
        return positive(self.weights, self.positivity)

    @torch.no_grad()
    def set_endmembers(self, spectra: Tensor) -> None:
        """Start from given spectra (p, B)."""
        self.weights.copy_(free(spectra, self.positivity))
        self.start.copy_(self.endmembers)

    @torch.no_grad()
    def project(self) -> None:
        """Set clamped weights that have become negative to zero, where they can grow again."""
        if self.positivity == "clamp":
            self.weights.clamp_min_(0)

    def decode(self, abundances: Tensor) -> Tensor:
        """Abundances (N, p, h, w) to the scene (N, B, h, w) they mix to."""
        return mix(abundances, self.endmembers)


def free(values: Tensor, positivity: str) -> Tensor:
    """The weights of which non-negative values are made."""
    return inverse_softplus(values) if positivity == "softplus" else values
