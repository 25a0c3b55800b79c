"""SSPSR: a branch shared by groups of neighbouring bands, then a trunk over all of them.

For comparison, with the published layers. One thing differs once attention is frozen to a scene:
the groups share what the branch's attention has seen, their mean.
"""

from __future__ import annotations

import math
from fractions import Fraction
from operator import add

import torch
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, ChannelAttention, Conv, attention_layers, stages
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import SrNetwork
from hsisr_models.rendering import Area, Image, Renderer

SOURCE = "Jiang, Sun, Liu, Ma, SSPSR, IEEE TCI 6, 2020; layers of the authors' code"
SCALES = (2, 4, 8)
_RESIDUAL = 0.1


class SSPSR(SrNetwork):
    """The network of Jiang et al. for a fixed number of bands.

    `group` bands, `overlap` of which belong to the group before too, go through the branch
    together, up to half of the scale. What groups say of the same band is averaged. Raises
    `ValueError` for groups that are nothing but overlap.
    """

    abundance_reach = 0
    uses_abundances = False

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 256,
        depth: int = 3,
        reduction: int = 16,
        group: int = 8,
        overlap: int = 2,
    ) -> None:
        del endmembers  # none are used
        super().__init__()
        self.scale, factors = scale, stages(scale // 2)
        self.groups = _groups(bands, group, overlap)
        together = len(self.groups[0])
        self.branch = nn.Sequential(
            Conv(together, width, 3),
            _Body(width, depth, reduction),
            *(_Enlarged(width, factor) for factor in factors),
            Conv(width, together, 3),
        )
        self.trunk = nn.Sequential(Conv(bands, width, 3), _Body(width, depth, reduction))
        self.last = _Enlarged(width, 2)
        self.lift = Conv(bands, width, 3)
        self.head = Conv(width, bands, 3)
        self.reach = _reach(depth, factors)
        self.footprint = LIVE * width * (scale // 2) ** 2

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances are ignored."""
        del abundances, kept
        smooth = enlarged(scene.float(), self.scale).through(self.lift, reach=1)
        fine = Image.of(self.trunk(self._grouped(scene))).through(self.last, reach=1, factor=2)
        sharp = fine.joined(smooth, add).through(self.head, reach=1)
        return sharp.through(Tensor.float).renderer(self.scale)

    def _grouped(self, scene: Tensor) -> Tensor:
        """The mean of what the branch makes of every group, (N, B, n/2 h, n/2 w)."""
        parts = torch.cat([scene[:, group.start : group.stop] for group in self.groups])
        frozen = all(layer.frozen is not None for layer in attention_layers(self.branch))
        # attention that is to be frozen has to see all groups at once, else one by one is smaller
        pieces = torch.split(parts, len(scene) if frozen else len(parts))
        made = torch.cat([self.branch(piece) for piece in pieces]).float()
        counts = [sum(band in group for group in self.groups) for band in range(scene.shape[1])]
        total = scene.new_zeros(*scene.shape[:2], *made.shape[2:])
        for group, values in zip(self.groups, torch.split(made, len(scene)), strict=True):
            total[:, group.start : group.stop] += values
        return total / scene.new_tensor(counts)[:, None, None]


class _Body(nn.Module):
    """Spatial-spectral blocks, and a connection around them."""

    def __init__(self, channels: int, depth: int, reduction: int) -> None:
        super().__init__()
        blocks = (SpatialSpectralBlock(channels, reduction) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        refined: Tensor = self.blocks(features)
        return features + refined


class SpatialSpectralBlock(nn.Module):
    """A residual block in space, then one across channels with attention."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            Conv(channels, channels, 3), nn.ReLU(), Conv(channels, channels, 3)
        )
        self.spectral = nn.Sequential(
            Conv(channels, channels, 1),
            nn.ReLU(),
            Conv(channels, channels, 1),
            ChannelAttention(channels, reduction),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        features = features + _RESIDUAL * self.spatial(features)
        spectral: Tensor = self.spectral(features)
        return features + _RESIDUAL * spectral


class _Enlarged(nn.Sequential):
    """A convolution and a pixel shuffle."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(Conv(channels, channels * factor**2, 3), nn.PixelShuffle(factor))


def _groups(bands: int, group: int, overlap: int) -> list[range]:
    """Ranges of `group` bands that cover all; the last one is moved back to end with them."""
    if overlap >= group:
        raise ValueError(f"groups of {group} bands cannot overlap by {overlap}")
    last = max(bands - group, 0)
    starts = [*range(0, last, group - overlap), last]
    return [range(start, min(start + group, bands)) for start in starts]


def _reach(depth: int, factors: list[int]) -> int:
    """Of the branch's head, body and tail, the trunk's head and body, and the last two."""
    zoom, total = 1, Fraction(1 + 2 * depth)
    for factor in factors:
        total += Fraction(1, zoom)
        zoom *= factor
    total += Fraction(3 + 2 * depth, zoom) + Fraction(1, 2 * zoom)
    return max(math.ceil(total), BICUBIC_REACH + math.ceil(Fraction(2, 2 * zoom)))


build = SSPSR
