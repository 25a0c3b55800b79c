"""MiSiCNet: a convolutional encoder with a skip, and a loss that keeps the simplex small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import LIVE
from hsisr_models.exact import softmax
from hsisr_models.unmix._layers import BatchNorm, ReflectConv
from hsisr_models.unmix._mixing import LinearMixing

SOURCE = "Rasti, Koirala, Scheunders and Chanussot, IEEE TGRS 60, 2022: MiSiCNet"

_LEAK = 0.1


class MiSiCNet(LinearMixing):
    """Features of 3x3 and of 1x1 convolutions are joined, and two more 3x3 convolutions unmix them.

    The published network turns fixed noise into the abundances of one scene (a deep image prior);
    this one sees the scene in place of the noise, so it takes any scene of any size. It has none of
    the biases that batch normalisation cancels, and the layer that the published code defines but
    never runs. Endmembers have no upper bound: the scale of a scene is not known to be reflectance.
    The minimum-simplex term of its loss is `centre`.
    """

    independent = False

    def __init__(
        self,
        *,
        bands: int,
        endmembers: int,
        width: int = 256,
        skip: int = 4,
        positivity: str = "clamp",
    ) -> None:
        super().__init__()
        self.features = _layer(bands, width, 3)
        self.skip = _layer(bands, skip, 1)
        self.joined = _layer(width + skip, width, 3)
        self.head = nn.Sequential(
            ReflectConv(width, endmembers, 3, bias=False), BatchNorm(endmembers)
        )
        self.reach = 3
        self._begin(torch.rand(endmembers, bands), positivity)
        self.footprint = LIVE * width

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        both = torch.cat((self.features(scene), self.skip(scene)), 1)
        logits: Tensor = self.head(self.joined(both))
        return softmax(logits.float())


def _layer(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        ReflectConv(inputs, outputs, kernel, bias=False), BatchNorm(outputs), nn.LeakyReLU(_LEAK)
    )


build = MiSiCNet
