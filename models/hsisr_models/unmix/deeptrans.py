"""DeepTrans-HSU: a token for every endmember attends to all patches of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, Conv
from hsisr_models.exact import softmax
from hsisr_models.unmix._layers import BatchNorm, Linear
from hsisr_models.unmix._mixing import LinearMixing

SOURCE = "Ghosh, Roy, Koirala, Rasti and Scheunders, IEEE TGRS 60, 2022: DeepTrans-HSU"

_LEAK = 0.01
_WIDTHS = (128, 64)
_MOMENTA = (0.9, 0.9, 0.5)


class DeepTrans(LinearMixing):
    """1x1 convolutions, patches as tokens, two layers of attention by a class token alone.

    The published network holds `token` weights for every pixel of its one scene, with which the
    class token is multiplied to the abundances, and one position for every patch. To take any size
    this one computes the weights of a pixel from its features by a 1x1 convolution, has no
    positions, and repeats the border up to whole patches. It has none of the biases that batch
    normalisation cancels, none of the published layers that never run, and no upper bound of the
    endmembers. Raises `ValueError` where `token * endmembers` is no multiple of `patch` squared
    or of `heads`.
    """

    independent = False
    reach = None

    def __init__(
        self,
        *,
        bands: int,
        endmembers: int,
        token: int = 200,
        patch: int = 5,
        layers: int = 2,
        heads: int = 8,
        hidden: int = 12,
        dropout: float = 0.25,
        skipping: float = 0.15,
        positivity: str = "clamp",
    ) -> None:
        super().__init__()
        size, wide, narrow = token * endmembers, *_WIDTHS
        if size % patch**2 or size % heads:
            raise ValueError(
                f"tokens of {token} x {endmembers} numbers do not divide into patches of {patch} x "
                f"{patch} pixels and {heads} heads"
            )
        self.features = nn.Sequential(
            _conv(bands, wide),
            BatchNorm(wide, _MOMENTA[0]),
            nn.Dropout(dropout),
            nn.LeakyReLU(_LEAK),
            _conv(wide, narrow),
            BatchNorm(narrow, _MOMENTA[1]),
            nn.LeakyReLU(_LEAK),
        )
        self.embed = nn.Sequential(
            _conv(narrow, size // patch**2), BatchNorm(size // patch**2, _MOMENTA[2])
        )
        self.summary = nn.Parameter(torch.randn(1, 1, size))
        self.attention = nn.ModuleList(_Layer(size, heads, hidden, skipping) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.read = _conv(narrow, token)
        self.smooth = Conv(endmembers, endmembers, 3)
        nn.init.kaiming_normal_(self.smooth.weight)
        self.patch = patch
        self._begin(torch.rand(endmembers, bands), positivity)
        self.footprint = LIVE * wide + token

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        features = self.features(scene)
        tokens = _patches(self.embed(features), self.patch)
        tokens = torch.cat((self.summary.expand(len(scene), -1, -1), tokens), 1)
        for layer in self.attention:
            tokens = layer(tokens, self.norm)
        materials = tokens[:, 0].reshape(len(scene), len(self.weights), -1)
        pixels = self.read(features)
        logits = torch.einsum("npk, nkhw -> nphw", materials, pixels) / pixels.shape[1]
        return softmax(self.smooth(logits).float())


class _Layer(nn.Module):
    """Attention of the first token to all (Chen et al. 2021, CrossViT), then a small perceptron.

    In training its attention is left out with the chance `skipping`.
    """

    def __init__(self, size: int, heads: int, hidden: int, skipping: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.query, self.key, self.value = (Linear(size, size, bias=False) for _ in range(3))
        self.project = Linear(size, size)
        self.skip = nn.Dropout3d(skipping)
        self.think = nn.Sequential(Linear(size, hidden), nn.GELU(), Linear(hidden, size))

    def forward(self, tokens: Tensor, others: nn.Module) -> Tensor:
        """Tokens (N, 1 + n, size), of which all but the first go through `others`."""
        seen = self.norms[0](tokens)
        found = self.project(self._attend(seen))
        found = self.skip(found[:, :, None, None])[:, :, 0, 0]
        tokens = torch.cat((seen[:, :1] + found, others(tokens[:, 1:])), 1)
        change: Tensor = self.think(self.norms[1](tokens))
        return tokens + change

    def _attend(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            part(seen).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part, seen in (
                (self.query, tokens[:, :1]),
                (self.key, tokens),
                (self.value, tokens),
            )
        )
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def _conv(inputs: int, outputs: int) -> Conv:
    layer = Conv(inputs, outputs, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def _patches(images: Tensor, side: int) -> Tensor:
    """Images (N, C, h, w) as tokens (N, n, side side C), the border repeated to whole patches."""
    right, below = (-size % side for size in images.shape[:1:-1])
    whole = F.pad(images, (0, right, 0, below), mode="replicate")
    blocks = whole.unfold(2, side, side).unfold(3, side, side)
    return blocks.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


build = DeepTrans
