"""AAENet: a per-pixel autoencoder with an adversary that compares abundances with a prior's."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from hsisr_models.abundances import fcls
from hsisr_models.blocks import LEAK, LIVE, Conv
from hsisr_models.exact import total
from hsisr_models.unmix._layers import BatchNorm
from hsisr_models.unmix._mixing import LinearMixing

SOURCE = "Jin, Ma, Fan, Huang, Mei and Ma, IEEE TNNLS 34(8), 2023: AAENet"

_DEPTHS = (9, 6, 3, 1)
"""Widths of the encoder, times the endmembers."""
_NOTHING = 1e-6
"""A trace of every endmember, for pixels in which the threshold leaves none."""


class AaeNet(LinearMixing):
    """Four dense layers, a learned threshold and a division by the sum encode, pixel by pixel.

    Its term is `adversary`: a critic learns to tell its abundances from those of a prior, and the
    encoder learns to pass for the prior. Both published losses are minimised in one step, as each
    reaches the weights of one side only. The prior, which the published code reads from a file that
    it does not contain, is FCLS with the starting endmembers.
    """

    terms = ("adversary",)
    independent = False
    reach = 0

    def __init__(self, *, bands: int, endmembers: int, positivity: str = "clamp") -> None:
        super().__init__()
        sizes = (bands, *(factor * endmembers for factor in _DEPTHS))
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [Conv(inputs, outputs, 1), nn.LeakyReLU(LEAK)]
        self.encoder = nn.Sequential(
            *layers, Conv(sizes[-2], endmembers, 1, bias=False), BatchNorm(endmembers)
        )
        self.threshold = nn.Parameter(torch.zeros(endmembers))
        narrow = max(math.ceil(bands / 4), endmembers + 2) + 3
        wide = math.ceil(1.2 * bands) + 5
        self.critic = nn.Sequential(
            nn.Linear(endmembers, narrow),
            nn.ReLU(),
            nn.Linear(narrow, wide),
            nn.ReLU(),
            nn.Linear(wide, 1),
        )
        self._begin(torch.rand(endmembers, bands), positivity)
        self.footprint = LIVE * sizes[1]

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        logits: Tensor = self.encoder(scene).float()
        amounts = (logits - self.threshold[:, None, None]).relu() + _NOTHING
        return amounts / total(amounts.unbind(1))[:, None]

    def encode_with_terms(self, scene: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The abundances, and the losses of encoder and critic."""
        abundances = self.encode(scene)
        found = abundances.movedim(1, -1).flatten(0, -2)
        with torch.no_grad():
            pixels = scene.movedim(1, 0).flatten(1).float()
            prior = fcls.solve(pixels, self.start).abundances.T.to(found)
        fixed = {name: value.detach() for name, value in self.critic.named_parameters()}
        passing = _judged(functional_call(self.critic, fixed, found), 1)
        telling = _judged(self.critic(found.detach()), 0) + _judged(self.critic(prior), 1)
        return abundances, {"adversary": passing + telling}


def _judged(verdicts: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(verdicts, torch.full_like(verdicts, truth))


build = AaeNet
