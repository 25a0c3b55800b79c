"""Layers that the learned methods of the literature are built from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import Conv
from hsisr_models.exact import linear

_EPSILON = 1e-5
"""Added to the variance in batch normalisation."""


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015); `momentum` is the share of the newest batch.

    In evaluation it works number by number, so a tile and the whole scene agree in every bit.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.momentum = momentum

    def forward(self, features: Tensor) -> Tensor:
        """Normalise every channel of (N, C, h, w) over the batch, or by what batches were like."""
        if self.training:
            running = (self.mean, self.variance, self.weight, self.bias)
            return F.batch_norm(features.float(), *running, True, self.momentum, _EPSILON)
        gain = self.weight * (self.variance + _EPSILON).rsqrt()
        shift = self.bias - self.mean * gain
        return features * gain[:, None, None] + shift[:, None, None]


class Linear(nn.Linear):
    """A dense layer that gives the same bits wherever in memory its weights lie."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        found = linear(vectors, self.weight)
        return found if self.bias is None else found + self.bias


class ReflectConv(Conv):
    """A convolution that keeps the size, with the image's mirror image beyond its border."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h, w)."""
        reach = self.reach
        whole = super().forward(reflected(features, reach))
        return whole[..., reach : whole.shape[2] - reach, reach : whole.shape[3] - reach]


def reflected(features: Tensor, reach: int) -> Tensor:
    """Images (N, C, h, w) with `reach` pixels more on each side, ... 2 1 | 0 1 2 | 1 0 ..."""
    rows, cols = (
        _mirrored(torch.arange(-reach, size + reach, device=features.device), size)
        for size in features.shape[2:]
    )
    return features.index_select(2, rows).index_select(3, cols)


def _mirrored(index: Tensor, size: int) -> Tensor:
    # of a single pixel there is no other to mirror
    period = max(2 * size - 2, 1)
    index = index % period
    return torch.minimum(index, period - index)
