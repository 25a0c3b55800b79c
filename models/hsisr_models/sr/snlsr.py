"""SNLSR: abundances by a network, sharpened by attention in space and across features, mixed again.

For comparison, with the published layers. Two things differ. The published up-sampling, twice by
half of the scale, comes out at scale 4 only; here the second is by the last factor of the scale,
the first by the others. The pooling of the spatial attention, made for images of 15 pixels and
more, covers all of a smaller one.

That pooling starts at the corner of an image and is stretched to its size, so a tile is not the
whole whatever its halo.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Conv, stages
from hsisr_models.imaging import upscale_bicubic
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Image, pieces
from hsisr_models.resampling import Enlarged

SOURCE = "Hu, Wang, Jiang, Zhang, Ma, SNLSR, IEEE TIP 33, 2024; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_STRIDE, _POOLED, _APART = 2, 7, 3
_CACHED = 1 << 19


class SNLSR(SrNetwork):
    """The network of Hu et al. for a fixed number of bands.

    `materials` is how many endmembers it has itself, `depth` how many blocks each of two stages
    has. The abundances it starts from are shares of a whole; those it mixes the difference from
    bicubic interpolation of are not.
    """

    reach = None

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 64,
        depth: int = 3,
        materials: int = 30,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale = scale
        *first, last = stages(scale)
        widths = [8 * materials, 4 * materials, 2 * materials]
        self.decompose = nn.Sequential(
            *_gated(bands, widths[0]),
            *_gated(widths[0], widths[1]),
            *_gated(widths[1], widths[2]),
            Conv(widths[2], materials, 1),
            nn.ReLU(),
            nn.Softmax(1),
        )
        self.sharpen = nn.Sequential(
            Conv(materials, width, 3),
            _Stage(width, depth, first),
            _Stage(width, depth, [last]),
        )
        self.material = MaterialPlugIn(width, endmembers, material)
        self.tell = Conv(width, materials, 3)
        self.mix = Conv(materials, bands, 1, bias=False)
        self.uses_abundances = self.material.is_on
        self.abundance_reach = self.material.reach(1, scale)
        self.footprint = LIVE * width * scale**2

    def forward(self, scene: Tensor, abundances: Tensor | None = None) -> Tensor:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        features = Image.of(self.sharpen(self.decompose(scene)))
        steered = self.material(features, abundances).whole()
        fine = self.mix(self.tell(steered))
        return upscale_bicubic(scene.float(), self.scale) + fine


def _gated(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return Conv(inputs, outputs, 3), _SpatialGate(), nn.Tanh()


class _SpatialGate(nn.Module):
    """Weighs the pixels by the mean and the largest of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = Conv(2, 1, 7)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        seen = torch.cat((features.mean(1, keepdim=True), features.amax(1, keepdim=True)), 1)
        return features * self.weigh(seen).sigmoid()


class _Stage(nn.Module):
    """Blocks that are told of all before them, and a finer grid."""

    def __init__(self, channels: int, depth: int, factors: list[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(depth))
        self.narrow = nn.ModuleList(
            Conv(known * channels, channels, 1) for known in range(2, depth + 1)
        )
        self.enlarge = nn.Sequential(
            Conv((depth + 1) * channels, channels, 1),
            *(Enlarged(channels, factor) for factor in factors),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C, n h, n w), n being the product of the factors."""
        first, *others = self.blocks
        known = [features, first(features)]
        for narrow, block in zip(self.narrow, others, strict=True):
            known.append(block(narrow(torch.cat(known, 1))))
        return cast(Tensor, self.enlarge(torch.cat(known, 1)))


class _Block(nn.Module):
    """Both attentions; what each of them changes is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial, self.spectral = _SpatialAttention(channels), _SpectralAttention(channels)
        self.across = Conv(channels, channels, 1)
        self.within = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        spectral = self.across(self.spectral(features) - features)
        spatial: Tensor = self.within(self.spatial(features) - features)
        return features + spectral + spatial


class _SpatialAttention(nn.Module):
    """Weighs channels and pixels by what a coarse copy of the image shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = max(channels // 4, 4)
        self.reduce, self.keep = Conv(channels, few, 1), Conv(few, few, 1)
        self.halve = nn.Conv2d(few, few, 3, stride=_STRIDE)
        self.look = nn.Sequential(
            Conv(few, few, 3), nn.ReLU(), Conv(few, few, 3), nn.ReLU(), Conv(few, few, 3)
        )
        self.expand = Conv(few, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        few, size = self.reduce(features), features.shape[2:]
        height, width = (max(3 - length, 0) for length in size)
        half = self.halve(F.pad(few, (0, width, 0, height)))
        pooled = F.max_pool2d(half, [min(_POOLED, length) for length in half.shape[2:]], _APART)
        seen = F.interpolate(self.look(pooled), size, mode="bilinear", align_corners=False)
        weights: Tensor = self.expand(seen + self.keep(few)).sigmoid()
        return features * weights


class _SpectralAttention(nn.Module):
    """Attention among the channels of every pixel, after two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            Conv(channels, channels, 3), nn.ReLU(), Conv(channels, channels, 3)
        )
        self.query, self.key, self.value = (
            Conv(channels, channels, 1, bias=False) for _ in range(3)
        )
        self.out = Conv(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        features = self.embed(features)
        # every pixel has as many weights as pairs of channels
        few = max(_CACHED // features.shape[1], 1)
        parts = (
            pieces(layer(features).flatten(2).mT, 1, few)
            for layer in (self.query, self.key, self.value)
        )
        mixed = torch.cat([_attended(*part) for part in zip(*parts, strict=True)], 1)
        return features + self.out(mixed.mT.reshape(features.shape))


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Of pixels (N, k, C) each."""
    query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
    weights = (query[..., :, None] * key[..., None, :]).softmax(-1)
    return (weights @ value[..., None])[..., 0]


build = SNLSR
