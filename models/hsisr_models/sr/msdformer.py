"""MSDformer: groups of bands seen at three distances, then a transformer across channels.

For comparison, with the published layers but for two. The first of the convolutions after the
transformer's blocks, which theirs has but does not run, is run. A third query, key and value per
block that theirs computes but does not use is left out: 0.23 of 15.53 million weights.

Attention is among channels, so what it pools is one small matrix for each head. Once it is frozen
to a scene neither the queries nor their deformable convolution are needed.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Attention, ChannelAttention, ChannelNorm, Conv, stages, zero
from hsisr_models.exact import convolve, gelu_
from hsisr_models.groups import groups, mean_of_groups
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Area, Image, Renderer
from hsisr_models.resampling import Enlarged

SOURCE = "Chen, Zhang, Zhang, MSDformer, IEEE TGRS 61, 2023; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_DILATIONS = (1, 3, 5)
_RESIDUAL = 0.1
_WIDER = 4
_TAPS = 9


class MSDformer(SrNetwork):
    """The network of Chen et al. for a fixed number of bands.

    `group` bands, `overlap` of which belong to the group before too, are looked at together; what
    groups say of the same band is averaged. `heads` divides `width`.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 240,
        depth: int = 4,
        heads: int = 6,
        reduction: int = 16,
        group: int = 8,
        overlap: int = 2,
        material: str = "film",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} channels cannot be shared out among {heads} heads")
        self.scale, self.factors = scale, stages(scale)
        self.groups = groups(bands, group, overlap)
        together = len(self.groups[0])
        self.look = _DilatedBlock(together, width)
        self.spectral = nn.ModuleList(_Spectral(width, together, reduction) for _ in self.groups)
        self.join = Conv(bands, width, 1)
        self.body = nn.Sequential(*(_Transformer(width, heads) for _ in range(depth)))
        self.enlarge = nn.ModuleList(Enlarged(width, factor) for factor in self.factors)
        self.material = MaterialPlugIn(width, endmembers, material)
        self.lift = Conv(bands, width, 3)
        self.head = Conv(width, bands, 3)
        self.reach = _reach(depth, self.factors)
        self.uses_abundances = self.material.is_on
        self.abundance_reach = self.material.reach(1, scale)
        self.footprint = (LIVE + 2 * _WIDER) * width

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        made = [
            spectral(self.look(scene[:, group.start : group.stop])).float()
            for group, spectral in zip(self.groups, self.spectral, strict=True)
        ]
        shallow = self.join(mean_of_groups(made, self.groups))
        fine = Image.of(shallow + self.body(shallow))
        for stage, factor in zip(self.enlarge, self.factors, strict=True):
            fine = fine.through(stage, reach=1, factor=factor)
        fine = self.material(fine, abundances)
        smooth = enlarged(scene.float(), self.scale).through(self.lift, reach=1)
        sharp = fine.joined(smooth, add).through(self.head, reach=1)
        return sharp.through(Tensor.float).renderer(self.scale)


class _DilatedBlock(nn.Module):
    """Convolutions of three reaches side by side, and a residual block."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.near_and_far = nn.ModuleList(
            Conv(bands, channels, 3, dilation=dilation) for dilation in _DILATIONS
        )
        self.activate = nn.PReLU()
        self.refine = nn.Sequential(
            Conv(channels, channels, 3), nn.ReLU(), Conv(channels, channels, 3)
        )

    def forward(self, bands: Tensor) -> Tensor:
        """Bands of a group (N, b, h, w) to features (N, C, h, w)."""
        first, second, third = (self.activate(layer(bands)) for layer in self.near_and_far)
        seen: Tensor = first + second + third
        refined: Tensor = self.refine(seen)
        return seen + _RESIDUAL * refined


class _Spectral(nn.Module):
    """Attention to the channels of one group, and its bands again."""

    def __init__(self, channels: int, bands: int, reduction: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            Conv(channels, channels, 1),
            nn.ReLU(),
            Conv(channels, channels, 1),
            ChannelAttention(channels, reduction),
        )
        self.tell = Conv(channels, bands, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to (N, b, h, w)."""
        return self.tell(features + _RESIDUAL * self.refine(features))


class _Transformer(nn.Module):
    """Attention across channels, a perceptron for each pixel, and a convolution."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(ChannelNorm(channels), _CrossAttention(channels, heads))
        self.norm = ChannelNorm(channels)
        self.widen = Conv(channels, _WIDER * channels, 1)
        self.narrow = Conv(_WIDER * channels, channels, 1)
        self.convolve = Conv(channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        features = features + self.attend(features)
        features = features + self.narrow(gelu_(self.widen(self.norm(features))))
        return self.convolve(features)


class _CrossAttention(Attention):
    """Channels attend to channels of their head, by how alike they are over the image."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = _DeformableConv(channels)
        self.key, self.value = (Conv(channels, channels, 1, bias=False) for _ in range(2))
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.out = Conv(channels, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        value = self.value(features)
        if self.frozen is not None:
            return self.out(convolve(value, self.frozen))
        weights = self._weights(self.query(features), self.key(features))
        mixed = weights @ value.reshape(len(value), self.heads, -1, value[0, 0].numel())
        return self.out(mixed.reshape(value.shape))

    @torch.no_grad()
    def survey(self, *inputs: Tensor) -> None:
        """Freeze the weights to those of all pixels of (N, C, h, w)."""
        (features,) = inputs
        query, key = (
            layer(features).transpose(0, 1)[None].flatten(3) for layer in (self.query, self.key)
        )
        (blocks,) = self._weights(query, key)
        self.frozen = _block_diagonal(blocks)[:, :, None, None]

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """(N, heads, C / heads, C / heads), of (N, C, any two axes of pixels)."""
        with torch.autocast(query.device.type, enabled=False):
            query, key = (
                F.normalize(
                    x.float().reshape(len(x), self.heads, x.shape[1] // self.heads, -1), dim=3
                )
                for x in (query, key)
            )
            return (query @ key.mT * self.temperature).softmax(3)


def _block_diagonal(blocks: Tensor) -> Tensor:
    """The matrix (k n, k n) with blocks (k, n, n) along its diagonal."""
    count, size, _ = blocks.shape
    apart = torch.eye(count).to(blocks)
    return (apart[:, None, :, None] * blocks[:, :, None]).reshape(count * size, count * size)


class _DeformableConv(nn.Module):
    """A 3 x 3 convolution that learns where to look for each of its pixels (Dai et al. 2017).

    Beyond the border there are zeros; between pixels it interpolates.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.aim = Conv(channels, 2 * _TAPS, 3)
        zero(self.aim)
        self.weigh = Conv(channels, channels, 3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            down, across = self.aim(features).chunk(2, 1)
            total = torch.zeros_like(features)
            for tap, (row, col) in enumerate(product(range(3), range(3))):
                places = _places(down[:, tap] + row - 1, across[:, tap] + col - 1)
                seen = F.grid_sample(features, places, align_corners=False)
                total = total + convolve(seen, self.weigh.weight[:, :, row, col, None, None])
            return total


def _places(down: Tensor, across: Tensor) -> Tensor:
    """Where to look, (N, h, w, 2) in -1 ... 1, from how far away (N, h, w) from each pixel."""
    height, width = down.shape[1:]
    rows = torch.arange(height, device=down.device)[:, None] + down
    cols = torch.arange(width, device=down.device) + across
    return torch.stack(((2 * cols + 1) / width - 1, (2 * rows + 1) / height - 1), 3)


def _reach(depth: int, factors: list[int]) -> int:
    """Of the widest convolution, the residual block, one for each block, and those thereafter."""
    zoom, total = 1, Fraction(max(_DILATIONS) + 2 + depth)
    for factor in factors:
        total += Fraction(1, zoom)
        zoom *= factor
    smooth = BICUBIC_REACH + math.ceil(Fraction(2, zoom))
    return max(math.ceil(total + Fraction(1, zoom)), smooth)


build = MSDformer
