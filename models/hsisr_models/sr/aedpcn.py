"""aeDPCN: an autoencoder to abundances, which dilated projection and correction sharpen.

For comparison. Neither code nor a list of layers is public: what is here is derived anew from what
the abstract says. Pixels are encoded to shares of a whole and decoded by mixing endmembers. In
between, convolutions of growing reach project the coarse features onto the fine grid; each
correction projects back, and sends up again what the coarse features have and that lacks. The
authors train the autoencoder first; here it is trained along, by `auxiliary`, the reconstruction
of the fine scene.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Conv, stages, zero
from hsisr_models.exact import softmax
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Area, Image, Renderer
from hsisr_models.resampling import (
    Enlarged,
    Reduced,
    seen_before_enlarging,
    seen_before_reducing,
)

SOURCE = "Wang, Ma, Jiang, Zhang, aeDPCN, Neural Networks, 2022; layers derived from the abstract"
SCALES = (2, 3, 4, 5, 6, 7, 8)
_DILATIONS = (1, 2, 3)


class AeDPCN(SrNetwork):
    """An abundance-domain network after Wang et al., for a fixed number of bands.

    `materials` is how many endmembers it has itself, `depth` how many dilated blocks come before
    the fine grid, `corrections` how often what it made is projected back.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 64,
        depth: int = 4,
        materials: int = 30,
        corrections: int = 2,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale, factors = scale, stages(scale)
        self.encoder = nn.Sequential(
            Conv(bands, 2 * width, 1), nn.ReLU(), Conv(2 * width, materials, 1)
        )
        self.decoder = Conv(materials, bands, 1, bias=False)
        self.stem = Conv(materials, width, 3)
        self.body = nn.Sequential(*(_DilatedBlock(width) for _ in range(depth)))
        self.enlarge = _enlarging(width, factors)
        self.corrections = nn.ModuleList(_Correction(width, factors) for _ in range(corrections))
        self.material = MaterialPlugIn(width, endmembers, material)
        self.head = Conv(width, materials, 3)
        zero(self.head)
        self.reach = _reach(depth, corrections, factors)
        self.uses_abundances = self.material.is_on
        self.abundance_reach = self.material.reach(1, scale)
        self.footprint = LIVE * width * scale**2

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        shares = self.encode(scene)
        coarse = self.body(self.stem(shares))
        fine = self.enlarge(coarse)
        for correct in self.corrections:
            fine = correct(fine, coarse)
        finer = enlarged(shares, self.scale)
        steered = self.material(Image.of(fine), abundances)
        sharp = steered.through(self.head, reach=1).joined(finer, torch.add)
        return sharp.through(self._decoded).renderer(self.scale)

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        return softmax(self.encoder(scene).float())

    def auxiliary(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The fine scene, and what is left of it by the autoencoder."""
        del low
        return high, self._decoded(self.encode(high))

    def _decoded(self, shares: Tensor) -> Tensor:
        # in full precision, like everything else that a skip connection goes through
        with torch.autocast(shares.device.type, enabled=False):
            return self.decoder(shares.float())


class _DilatedBlock(nn.Module):
    """A residual block of convolutions with a growing reach."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second, third = (
            Conv(channels, channels, 3, dilation=dilation) for dilation in _DILATIONS
        )
        self.refine = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        refined: Tensor = self.refine(features)
        return features + refined


class _Correction(nn.Module):
    """Projects fine features back, and sends up what they lack."""

    def __init__(self, channels: int, factors: list[int]) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*(Reduced(channels, factor) for factor in reversed(factors)))
        self.refine = _DilatedBlock(channels)
        self.enlarge = _enlarging(channels, factors)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(N, C, nh, nw), beside (N, C, h, w), to the same shape."""
        lacking: Tensor = self.enlarge(self.refine(coarse - self.reduce(fine)))
        return fine + lacking


def _enlarging(channels: int, factors: list[int]) -> nn.Sequential:
    return nn.Sequential(*(Enlarged(channels, factor) for factor in factors))


def _reach(depth: int, corrections: int, factors: list[int]) -> int:
    """Backwards from the pixels within one of the scene: how far beyond it they see."""
    block, seen = sum(_DILATIONS), 1
    for _ in range(corrections):
        back = seen_before_enlarging(seen, factors) + block
        seen = max(seen, seen_before_reducing(back, factors))
    seen = seen_before_enlarging(seen, factors) + depth * block + 1
    return max(seen, BICUBIC_REACH)


build = AeDPCN
