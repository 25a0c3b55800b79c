"""SubspaceSR: one network for every sensor, at work in the scene's own spectral subspace.

A scene's leading principal components are its tokens, images of one kind whatever the number and
place of the bands. Weights are shared over tokens, so the network has none that belongs to a band.
"""

from __future__ import annotations

from functools import partial
from operator import add
from typing import cast

import torch
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Conv, SubpixelConv, zero
from hsisr_models.exact import convolve
from hsisr_models.imaging import enlarged
from hsisr_models.networks import TokenNetwork
from hsisr_models.rendering import Area, Image, Renderer, added, all_of, everything, grown, weighted
from hsisr_models.subspace import Moments, Subspace

SOURCE = "hsisr; blocks after Yu, arXiv:2407.06525, III-C; tokens by principal components"
SCALES = (2, 3, 4, 5, 6, 7, 8)
_FAINT = 1e-4
_HALF_OPEN = 0.5


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
        width: int = 64,
        depth: int = 8,
    ) -> None:
        del bands, endmembers  # any
        super().__init__()
        self.scale, self.tokens = scale, tokens
        self.subspace = None
        self.stem = Conv(1, width, 3, bias=False)
        self.strength = nn.Linear(1, width)
        self.body = nn.ModuleList(TokenBlock(width) for _ in range(depth))
        self.head = SubpixelConv(width, 1, scale, bias=False)
        zero(self.head)
        # of the stem, two convolutions in each block, and the head
        self.reach = 1 + 2 * depth + self.head.reach
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
        around = grown(kept, self.head.reach, deep.size)
        features = deep.joined(shallow, add).window(*around)
        fine = Image.part(features, around, deep.size)
        fine = fine.through(self.head, reach=self.head.reach, factor=self.scale)
        return fine.through(lambda each: each.float().reshape(count, many, *each.shape[2:]))


class TokenBlock(nn.Module):
    """A residual block whose gates see the token itself and the weighted mean over all tokens.

    The counterpart of the GRAM: its channel attention pools over the tokens of a pixel, not over
    the pixels of an image, so it is local. Tokens come in units of their spread, and need no
    normalisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = Conv(channels, channels, 3, bias=False)
        self.own = Conv(channels, channels, 1)
        self.shared = Conv(channels, channels, 1, bias=False)
        self.narrow = Conv(channels, channels, 3, bias=False)
        nn.init.constant_(cast(Tensor, self.own.bias), _HALF_OPEN)

    def forward(self, features: Tensor, shares: Tensor, *, inner: bool = False) -> Tensor:
        """Features (N k, C, h, w) of tokens with `shares` (N, k) to the same shape.

        Without the outer two rows and columns where only `inner` pixels are wanted.
        """
        hidden = convolve(features, self.widen.weight, inner=inner)
        gated = weighted(hidden, partial(self._gates, shares=shares), 2)
        refined = convolve(gated, self.narrow.weight, inner=inner)
        return refined.add_(features[..., 2:-2, 2:-2] if inner else features)

    def _gates(self, hidden: Tensor, shares: Tensor) -> Tensor:
        """Between closed, 0, and open, 1; a sigmoid costs more and gains nothing."""
        strength = hidden.abs()
        common = self.shared(_pooled(strength, shares))
        own = self.own(strength).reshape(*shares.shape, *common.shape[1:])
        own += common[:, None]
        return own.clamp_(0, 1).flatten(0, 1)


def _pooled(features: Tensor, shares: Tensor) -> Tensor:
    """The mean over tokens, weighted; one after the other, so that a pixel's value is exact."""
    tokens = features.reshape(*shares.shape, *features.shape[1:]).unbind(1)
    parts = shares.to(features.dtype)[:, :, None, None, None].unbind(1)
    pooled = tokens[0] * parts[0]
    for token, part in zip(tokens[1:], parts[1:], strict=True):
        pooled = torch.addcmul(pooled, token, part)
    return pooled


def _subspace_of(scene: Tensor, tokens: int) -> Subspace:
    moments = Moments(scene.shape[1])
    moments.add(scene.transpose(0, 1).flatten(1).cpu())
    return moments.subspace(tokens).to(scene.device)


build = SubspaceSR
