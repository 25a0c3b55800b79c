"""Groups of neighbouring bands, and the parts of SSPSR that the networks after it share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from operator import add

import torch
from torch import Tensor, nn

from hsisr_models.blocks import ChannelAttention, Conv, attention_layers
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Image
from hsisr_models.resampling import Enlarged

_RESIDUAL = 0.1


def groups(bands: int, group: int, overlap: int) -> list[range]:
    """Ranges of `group` bands that cover all; the last one is moved back to end with them.

    Raises `ValueError` for groups that are nothing but overlap.
    """
    if overlap >= group:
        raise ValueError(f"groups of {group} bands cannot overlap by {overlap}")
    last = max(bands - group, 0)
    starts = [*range(0, last, group - overlap), last]
    return [range(start, min(start + group, bands)) for start in starts]


def mean_of_groups(parts: Sequence[Tensor], of: Sequence[range]) -> Tensor:
    """What groups (N, bands of one group, h, w) say of all bands (N, B, h, w), averaged."""
    bands = of[-1].stop
    counts = [sum(band in group for group in of) for band in range(bands)]
    total = parts[0].new_zeros(len(parts[0]), bands, *parts[0].shape[2:])
    for group, values in zip(of, parts, strict=True):
        total[:, group.start : group.stop] += values
    return total / total.new_tensor(counts)[:, None, None]


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


class SpatialSpectralBody(nn.Module):
    """Spatial-spectral blocks, and a connection around them."""

    def __init__(self, channels: int, depth: int, reduction: int) -> None:
        super().__init__()
        blocks = (SpatialSpectralBlock(channels, reduction) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        refined: Tensor = self.blocks(features)
        return features + refined


class Branch(nn.Sequential):
    """Takes the bands of one group to grids finer by `factors`."""

    def __init__(
        self, bands: int, width: int, depth: int, reduction: int, factors: Sequence[int]
    ) -> None:
        super().__init__(
            Conv(bands, width, 3),
            SpatialSpectralBody(width, depth, reduction),
            *(Enlarged(width, factor) for factor in factors),
            Conv(width, bands, 3),
        )


class Trunk(nn.Module):
    """Takes all bands to the last, `factor` times finer grid, the bicubic scene beside them."""

    def __init__(
        self,
        bands: int,
        width: int,
        depth: int,
        reduction: int,
        factor: int,
        *,
        endmembers: int = 0,
        material: str = "off",
    ) -> None:
        super().__init__()
        self.factor = factor
        self.body = nn.Sequential(
            Conv(bands, width, 3), SpatialSpectralBody(width, depth, reduction)
        )
        self.last = Enlarged(width, factor)
        self.material = MaterialPlugIn(width, endmembers, material)
        self.lift = Conv(bands, width, 3)
        self.head = Conv(width, bands, 3)

    def image(
        self, refined: Tensor, scene: Tensor, scale: int, abundances: Tensor | None = None
    ) -> Image:
        """Of what branches made (N, B, h, w) of a scene (N, B, h / z, w / z)."""
        smooth = enlarged(scene.float(), scale).through(self.lift, reach=1)
        fine = Image.of(self.body(refined)).through(self.last, reach=1, factor=self.factor)
        fine = self.material(fine, abundances)
        sharp = fine.joined(smooth, add).through(self.head, reach=1)
        return sharp.through(Tensor.float)


def branched(branch: nn.Module, scene: Tensor, of: Sequence[range]) -> Tensor:
    """The mean of what a branch makes of every group of a scene (N, B, h, w)."""
    parts = torch.cat([scene[:, group.start : group.stop] for group in of])
    frozen = all(layer.frozen is not None for layer in attention_layers(branch))
    # attention that is to be frozen has to see all groups at once, else one by one is smaller
    pieces = torch.split(parts, len(scene) if frozen else len(parts))
    made = torch.cat([branch(piece) for piece in pieces]).float()
    return mean_of_groups(torch.split(made, len(scene)), of)


def reach_of(depth: int, factors: Sequence[int], last: int) -> int:
    """Of the branch's head, body and tail, the trunk's head and body, and the last two."""
    zoom, total = 1, Fraction(1 + 2 * depth)
    for factor in factors:
        total += Fraction(1, zoom)
        zoom *= factor
    total += Fraction(3 + 2 * depth, zoom) + Fraction(1, last * zoom)
    return max(math.ceil(total), BICUBIC_REACH + math.ceil(Fraction(2, last * zoom)))
