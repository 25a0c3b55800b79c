"""SubspaceSR: one network for every sensor, at work in the scene's own spectral subspace.

A scene's leading principal components are its tokens, images of one kind whatever the number and
place of the bands. Weights are shared over tokens, so the network has none that belongs to a band.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial, reduce
from itertools import pairwise
from operator import add

from torch import Tensor, nn

from hsisr_models.blocks import LIVE, ChannelNorm, Conv, SubpixelConv, coarse_reach, stages, zero
from hsisr_models.exact import convolve, convolve_to_one, sigmoid_
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import TokenNetwork
from hsisr_models.rendering import (
    Area,
    Image,
    Renderer,
    added,
    all_of,
    everything,
    grown,
    pieces,
    weighted,
)
from hsisr_models.subspace import Moments, Subspace

SOURCE = "hsisr; blocks after Yu, arXiv:2407.06525, III-C; tokens by principal components"
SCALES = (2, 3, 4, 5, 6, 7, 8)
_FAINT = 1e-4
_NARROWEST = 16


class SubspaceSR(TokenNetwork):
    """Bicubic interpolation, and what the tokens of the scene let expect beyond it.

    The sign of a principal axis and, among equals, its rank are arbitrary. The network keeps to
    that by its form: with a token's sign its residual changes sign, and exchanged tokens exchange
    their residuals. Every linear layer is without bias and every nonlinearity is a gate, computed
    from magnitudes; what tokens tell each other passes through the gates.

    `tokens` is how many components are sharpened; the rest of the spectrum, mostly noise, is
    interpolated. `bands` and `endmembers` are ignored: any scene fits.
    """

    abundance_reach = 0
    uses_abundances = False

    def __init__(
        self,
        *,
        bands: int = 0,
        scale: int,
        endmembers: int = 0,
        tokens: int = 8,
        width: int = 48,
        depth: int = 8,
    ) -> None:
        del bands, endmembers  # any
        super().__init__()
        self.scale, self.tokens = scale, tokens
        self.subspace = None
        self.factors = stages(scale)
        # fine grids have many pixels: they get fewer channels
        halved = (width >> stage for stage in range(1, len(self.factors) + 1))
        widths = [width, *(max(value, min(width, _NARROWEST)) for value in halved)]
        self.stem = Conv(1, width, 3, bias=False)
        self.strength = nn.Linear(1, width)
        self.body = nn.ModuleList(TokenBlock(width) for _ in range(depth))
        self.stages = nn.ModuleList(
            GatedStage(*channels, factor)
            for channels, factor in zip(pairwise(widths), self.factors, strict=True)
        )
        self.head = Conv(widths[-1], 1, 3, bias=False)
        zero(self.head)
        self.reach = _reach(depth, self.factors)
        self.footprint = LIVE * width * tokens

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w) in any units; abundances are ignored.

        Works in `subspace`; where none is set, in that of the images themselves.
        """
        del abundances
        scene = scene.float()
        smooth = enlarged(scene, self.scale)
        subspace = self.subspace or _subspace_of(scene.detach(), self.tokens)
        if not len(subspace.spread):
            return smooth.renderer(self.scale)
        tokens = subspace.project(scene)
        weights = subspace.weights.expand(len(tokens), -1)
        residual = self._refined(tokens, weights, kept or all_of(scene))

        lifted = partial(added, made=subspace.lift)
        return smooth.joined(residual, lifted).renderer(self.scale)

    def refine(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Tokens (N, k, h, w) to what bicubic interpolation misses of them (N, k, nh, nw).

        `weights` (N, k) are the tokens' standard deviations relative to the first; 0 marks a token
        that is not there.
        """
        image = self._refined(tokens, weights, all_of(tokens))
        return everything(image.renderer(self.scale), tokens)

    def _refined(self, tokens: Tensor, weights: Tensor, kept: Area) -> Image:
        count, many, *size = tokens.shape
        shares = weights / weights.sum(1, keepdim=True)
        level = self.strength(weights.clamp_min(_FAINT).log().reshape(-1, 1))
        features = self.stem(tokens.reshape(count * many, 1, *size))
        features = features * (1 + level[:, :, None, None])
        shallow = deep = Image.of(features)
        for block in self.body:
            layer = partial(block, shares=shares)
            deep = deep.through(layer, reach=2, inner=partial(layer, inner=True))
        around = grown(kept, coarse_reach(self.factors, self.head.reach), deep.size)
        # the gates of the stages are of twice their input: so all that they work on is doubled
        parts = pieces(2 * deep.joined(shallow, add).window(*around), 0)
        images = Image.stacked(
            [self._fine(Image.part(features, around, deep.size)) for features in parts]
        )
        return images.through(lambda each: each.float().reshape(count, many, *each.shape[2:]) / 2)

    def _fine(self, fine: Image) -> Image:
        for stage, factor in zip(self.stages, self.factors, strict=True):
            fine = fine.through(stage, reach=1, factor=factor)
        last = self.factors[-1]
        return fine.through(
            partial(convolve_to_one, weight=self.head.weight, group=last), reach=last
        )


class TokenBlock(nn.Module):
    """A residual block whose gates see the token itself and the weighted mean over all tokens.

    The counterpart of the GRAM: its channel attention pools over the tokens of a pixel, not over
    the pixels of an image, so it is local.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, bias=False)
        self.widen = Conv(channels, channels, 3, bias=False)
        self.own = Conv(channels, channels, 1)
        self.shared = Conv(channels, channels, 1, bias=False)
        self.narrow = Conv(channels, channels, 3, bias=False)

    def forward(self, features: Tensor, shares: Tensor, *, inner: bool = False) -> Tensor:
        """Features (N k, C, h, w) of tokens with `shares` (N, k) to the same shape.

        Without the outer two rows and columns where only `inner` pixels are wanted.
        """
        weight = self.widen.weight * self.norm.weight[:, None, None]
        hidden = convolve(self.norm.standardized(features), weight, inner=inner)
        gated = weighted(hidden, partial(self._gates, shares=shares), 2)
        refined = convolve(gated, self.narrow.weight, inner=inner)
        return refined.add_(features[..., 2:-2, 2:-2] if inner else features)

    def _gates(self, hidden: Tensor, shares: Tensor) -> Tensor:
        strength = hidden.abs()
        common = self.shared(_pooled(strength, shares))
        own = self.own(strength).reshape(*shares.shape, *common.shape[1:])
        own += common[:, None]
        return sigmoid_(own).flatten(0, 1)


class GatedStage(nn.Module):
    """One stage of progressive up-sampling (paper III-D), odd in its input."""

    def __init__(self, channels: int, finer: int, factor: int) -> None:
        super().__init__()
        self.wide = SubpixelConv(channels, finer, factor, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, finer, factor h, factor w)."""
        return self.wide(features, partial(weighted, weights=lambda x: sigmoid_(x.abs()), dim=2))


def _pooled(features: Tensor, shares: Tensor) -> Tensor:
    """The mean over tokens, weighted; one after the other, so that a pixel's value is exact."""
    tokens = features.reshape(*shares.shape, *features.shape[1:]).unbind(1)
    parts = shares.to(features.dtype)[:, :, None, None, None].unbind(1)
    return reduce(add, (token * part for token, part in zip(tokens, parts, strict=True)))


def _subspace_of(scene: Tensor, tokens: int) -> Subspace:
    moments = Moments(scene.shape[1])
    moments.add(scene.transpose(0, 1).flatten(1).cpu())
    return moments.subspace(tokens).to(scene.device)


def _reach(depth: int, factors: list[int]) -> int:
    """Of the stem, two convolutions in each block, one before each stage, and the head."""
    zoom, total = 1, Fraction(1 + 2 * depth)
    for factor in factors:
        total += Fraction(1, zoom)
        zoom *= factor
    return max(math.ceil(total + Fraction(1, zoom)), BICUBIC_REACH)


build = SubspaceSR
