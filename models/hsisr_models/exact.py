"""Arithmetic by which a pixel's value does not depend on the size of the image around it.

torch picks its CPU kernels by the size of an image and ends a row of pixels with other ones than
it began with. They round differently, so a tile would differ from the whole scene in its last bits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution of (N, C, h, w) with an odd kernel (D, C, k, k), zeros beyond the border.

    Exact in float32 on a CPU; elsewhere torch's own.
    """
    padding = [size // 2 for size in weight.shape[2:]]
    if not _is_plain(features):
        return F.conv2d(features, weight, bias, padding=padding)
    if features.shape[1] == 1:
        # a single channel has no channels-last form of its own, and gets other kernels
        features, weight = (F.pad(x, (0, 0, 0, 0, 0, 1)) for x in (features, weight))
    features = features.contiguous(memory_format=torch.channels_last)
    return torch.mkldnn_convolution(features, weight, bias, padding, (1, 1), (1, 1), 1)


def softmax(logits: Tensor) -> Tensor:
    """The soft-max over the channels of (N, C, h, w)."""
    last = logits.permute(0, 2, 3, 1).contiguous()
    return last.softmax(-1).permute(0, 3, 1, 2)


def products(matrix: Tensor, pixels: Tensor) -> Tensor:
    """The product (p, N) of (p, B) and pixels (B, N), in float64; exact on every device."""
    total = torch.zeros(len(matrix), pixels.shape[1], dtype=torch.float64, device=pixels.device)
    # a library's product sums up in another order where a block of pixels ends
    for weights, band in zip(matrix.double().unbind(1), pixels, strict=True):
        total += weights[:, None] * band.double()
    return total


def sigmoid(values: Tensor) -> Tensor:
    """The logistic function of any tensor; exact where no gradient is wanted."""
    if values.requires_grad or not _is_plain(values):
        return torch.sigmoid(values)
    # torch's own computes the last few values of a tensor otherwise, its exponential does not
    return values.neg().exp_().add_(1).reciprocal_()


def _is_plain(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and features.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    )
