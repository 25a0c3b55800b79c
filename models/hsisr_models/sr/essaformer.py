"""ESSAformer: up to the fine grid and down again, with attention of linear cost at every turn.

For comparison, with the published layers. Two things differ. At scale 3, where theirs cannot go
down again, the coarse features that 9 does not divide are made one too many and cut. Once
attention is frozen to a scene, its statistics are those of the scene's samples; as they are means
over pixels, that is all that a tile needs to be the whole.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Attention, ChannelNorm, Conv, stages
from hsisr_models.exact import convolve
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Area, Image, Renderer
from hsisr_models.resampling import (
    Enlarged,
    Reduced,
    seen_before_enlarging,
    seen_before_reducing,
)

SOURCE = "Zhang et al., ESSAformer, ICCV 2023; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_PASSES = 3
_LEAK, _DROPPED = 0.2, 0.2
_TINY = 1e-7


class ESSAformer(SrNetwork):
    """The network of Zhang et al. for a fixed number of bands.

    The same weights go up three times and down twice. Most of the work is done on the fine grid.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 256,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale, factors = scale, stages(scale)
        self.stem = Conv(bands, width, 3)
        self.enlarge = nn.Sequential(*(Enlarged(width, factor) for factor in factors))
        self.reduce = nn.Sequential(*(Reduced(width, factor) for factor in reversed(factors)))
        self.fine, self.coarse = _Block(width, _PASSES), _Block(width, _PASSES - 1)
        self.material = MaterialPlugIn(width, endmembers, material)
        self.head = Conv(width, bands, 3)
        self.reach = _reach(factors)
        self.uses_abundances = self.material.is_on
        self.abundance_reach = self.material.reach(1, scale)
        self.footprint = 3 * LIVE * width * scale**2

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        coarse = self.stem(scene)
        fine = self.fine(self.enlarge(coarse), 0)
        for turn in range(_PASSES - 1):
            coarse = self.coarse(self.reduce(fine) + coarse, turn)
            fine = self.fine(self.enlarge(coarse) + fine, turn + 1)
        sharp = self.material(Image.of(fine), abundances).through(self.head, reach=1)
        return sharp.through(Tensor.float).renderer(self.scale)


class _Block(nn.Module):
    """Attention, convolutions that see it beside the features, and a connection around both.

    It is run `uses` times, and pools anew each time.
    """

    def __init__(self, channels: int, uses: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.split = Conv(channels, 3 * channels, 1)
        self.contexts = nn.ModuleList(_Context() for _ in range(uses))
        self.out = Conv(channels, channels, 1)
        self.drop = nn.Dropout2d(_DROPPED)
        self.fuse = nn.Sequential(
            Conv(2 * channels, 2 * channels, 1),
            nn.LeakyReLU(_LEAK),
            nn.Dropout2d(_DROPPED),
            Conv(2 * channels, 2 * channels, 3),
            nn.LeakyReLU(_LEAK),
            nn.Dropout2d(_DROPPED),
            Conv(2 * channels, channels, 1),
        )

    def forward(self, features: Tensor, use: int) -> Tensor:
        """(N, C, h, w) to the same shape."""
        query, key, value = self.split(self.norm(features)).chunk(3, 1)
        context = self.contexts[use](_unit(_shares(query)), _shares(key), value)
        attended = self.drop(self.out(value + context))
        return features + cast(Tensor, self.fuse(torch.cat((attended, features), 1)))


class _Context(Attention):
    """What the queries of all pixels find in keys and values, pooled to one matrix."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, C, h, w) each to the same shape."""
        if self.frozen is not None:
            return convolve(query, self.frozen)
        found = _matrices(key.flatten(2), value.flatten(2)) @ query.flatten(2)
        return found.reshape(query.shape)

    @torch.no_grad()
    def survey(self, *inputs: Tensor) -> None:
        """Freeze the matrix to that of all pixels of (N, C, h, w)."""
        _, *pooled = inputs
        key, value = (x.transpose(0, 1).flatten(1)[None] for x in pooled)
        self.frozen = _matrices(key, value)[0, :, :, None, None]


def _matrices(key: Tensor, value: Tensor) -> Tensor:
    """What queries are multiplied by, (N, C, C), of keys and values (N, C, pixels).

    Published as a product of keys of length one along the pixels, divided by the root of their
    number, which is a quotient of means.
    """
    with torch.autocast(key.device.type, enabled=False):
        key, value = key.float(), value.float()
        lengths = key.square().mean(2).sqrt().clamp_min(_TINY)
        return value @ key.mT / key.shape[2] / lengths[:, None]


def _shares(features: Tensor) -> Tensor:
    """The squared differences from a pixel's mean, in parts of their sum."""
    last = features.permute(0, 2, 3, 1)
    channels = last.shape[3]
    # a layer norm adds to the mean of the squares what is published as added to their sum
    normed = F.layer_norm(last, (channels,), eps=_TINY / channels)
    return (normed.square() / channels).permute(0, 3, 1, 2)


def _unit(features: Tensor) -> Tensor:
    """The channels of every pixel as a vector of length one."""
    return F.normalize(features.permute(0, 2, 3, 1), dim=3).permute(0, 3, 1, 2)


def _reach(factors: list[int]) -> int:
    """Backwards from the pixels within one of the scene: how far beyond it they see."""
    seen = 1
    for turn in range(_PASSES):
        seen = seen_before_enlarging(seen + 1, factors)
        if turn < _PASSES - 1:
            seen = seen_before_reducing(seen + 1, factors)
    return seen + 1


build = ESSAformer
