"""RFSR: groups of bands one after the other, each told what was made of the one before.

For comparison, with the layers published for Chikusei. Three things differ. Bands that do not fill
the last group are joined by zeros, as the authors do for another scene only. Scale 3, which theirs
fails at, enlarges by one pixel shuffle. Once attention is frozen to a scene, every step has what it
sees itself.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, AttentionAgain, ChannelAttention, Conv, stages
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Area, Image, Renderer, piecewise
from hsisr_models.resampling import Enlarged

SOURCE = "Wang, Ma, Jiang, RFSR, IEEE TGRS 60, 2022; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_REGULARISERS = 3
_CACHED = 1 << 19


class RFSR(SrNetwork):
    """The network of Wang et al. for a fixed number of bands.

    It goes through `group` bands at a time, with the features and the sharp bands of the step
    before beside them; at the end, neighbouring bands are made to agree.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 64,
        depth: int = 6,
        reduction: int = 16,
        group: int = 16,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale, factors = scale, stages(scale)
        self.width, self.group = width, min(group, bands)
        steps = math.ceil(bands / self.group)
        self.stem = Conv(width + self.group * (scale**2 + 1), width, 3)
        self.body = nn.ModuleList(_AttentionBlock(width, reduction, steps) for _ in range(depth))
        self.enlarge = nn.Sequential(*(Enlarged(width, factor) for factor in factors))
        self.material = MaterialPlugIn(width, endmembers, material)
        self.head = Conv(width, self.group, 3)
        self.carry = Conv(width, width, 3) if steps > 1 else None
        self.regularisers = nn.ModuleList(_Regulariser(bands) for _ in range(_REGULARISERS))
        self.uses_abundances = self.material.is_on
        self.reach, steered = _reaches(steps, depth, factors)
        self.abundance_reach = steered if self.uses_abundances else 0
        self.footprint = LIVE * width + scale**2 * (2 * width + bands)

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        sharp = Image.of(self._recurrent(scene.float(), abundances))
        for regulariser in self.regularisers:
            sharp = sharp.through(regulariser, reach=1)
        return sharp.renderer(self.scale)

    def _recurrent(self, scene: Tensor, abundances: Tensor | None) -> Tensor:
        """All groups (N, B, nh, nw), one after the other."""
        count, bands, *size = scene.shape
        hidden = scene.new_zeros(count, self.width, *size)
        before = scene.new_zeros(count, self.group * self.scale**2, *size)
        made = []
        filled = F.pad(scene, (0, 0, 0, 0, 0, -bands % self.group))
        for step, low in enumerate(torch.split(filled, self.group, 1)):
            features = self.stem(torch.cat((hidden, before, low), 1)).relu()
            for block in self.body:
                features = block(features, step)
            replicated = F.interpolate(low, scale_factor=self.scale, mode="nearest")
            fine = self.material(Image.of(self.enlarge(features)), abundances).whole()
            made.append(replicated + self.head(fine))
            if self.carry:
                hidden, before = self.carry(features), F.pixel_unshuffle(made[-1], self.scale)
        return torch.cat(made, 1)[:, :bands]


class _AttentionBlock(nn.Module):
    """A residual block with channel attention, run in every step."""

    def __init__(self, channels: int, reduction: int, steps: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            Conv(channels, channels, 3), nn.ReLU(), Conv(channels, channels, 3)
        )
        first = ChannelAttention(channels, reduction)
        self.attend = nn.ModuleList([first, *(AttentionAgain(first) for _ in range(steps - 1))])

    def forward(self, features: Tensor, step: int) -> Tensor:
        """(N, C, h, w) to the same shape."""
        refined: Tensor = self.attend[step](self.convolve(features))
        return features + refined


class _Regulariser(nn.Module):
    """A residual block of one channel: 3 x 1 x 1 along the bands, then 1 x 3 x 3 within them.

    In between it has as many channels as there are bands.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.along = Conv(3, bands, 1)
        self.within = Conv(bands, 1, 3)

    def forward(self, sharp: Tensor) -> Tensor:
        """(N, B, h, w) to the same shape."""
        padded = F.pad(sharp, (0, 0, 0, 0, 1, 1))
        triples = torch.stack((padded[:, :-2], sharp, padded[:, 2:]), 2).flatten(0, 1)
        mixed = piecewise(self._mixed, triples, 3 * _CACHED // self.within.in_channels)
        return sharp + mixed.reshape(sharp.shape)

    def _mixed(self, triples: Tensor) -> Tensor:
        mixed: Tensor = self.within(self.along(triples).relu())
        return mixed


def _reaches(steps: int, depth: int, factors: list[int]) -> tuple[int, int]:
    """How far the scene and the abundances reach, in low-resolution pixels.

    Of the stem and the body in each step, and of the sharp bands that the next one is told of: a
    convolution before each stage of up-sampling, the material-aware module and the head thereafter.
    At the end the regularisers.
    """
    zoom, rise = 1, Fraction(0)
    for factor in factors:
        rise += Fraction(1, zoom)
        zoom *= factor
    last, told = Fraction(_REGULARISERS + 1, zoom), Fraction(1, zoom)
    each = 1 + 2 * depth
    before = (steps - 1) * (each + math.ceil(rise + told))
    scene = before + each + math.ceil(rise + last)
    here = math.ceil(last + Fraction(1, zoom))
    if steps == 1:
        return scene, here
    first = before - math.ceil(rise + told) + math.ceil(rise + last) + math.ceil(2 * told)
    return scene, max(here, first)


build = RFSR
