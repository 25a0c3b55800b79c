"""Arithmetic by which a pixel's value does not depend on the size of the image around it.

torch picks its CPU kernels by the size of an image and ends a row of pixels with other ones than
it began with. They round differently, so a tile would differ from the whole scene in its last bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

_PIECE = 1 << 14
"""So many values torch does not share out among threads."""
_WIDE = 64
"""By matrix instructions (AMX) images with fewer columns, or without padding, are summed up in
another order."""
_VECTORS = 64
"""So many values, and multiples of them, torch computes with vector instructions alone."""


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    inner: bool = False,
) -> Tensor:
    """The convolution of (N, C, h, w) with an odd kernel (D, C, k, k), zeros beyond the border.

    Of `inner` pixels only, those that see nothing beyond it, the image becomes that much smaller.
    The kernel's weights lie `dilation` pixels apart. Under autocast in its precision. Exact on a
    CPU in float32, and in bfloat16 where the CPU has instructions for it and no gradient is wanted;
    elsewhere torch's own.
    """
    around = [dilation * (size // 2) for size in weight.shape[2:]]
    padding, apart = [0, 0] if inner else around, (dilation, dilation)
    dtype = _dtype(features)
    if not _is_exact(features.device, dtype):
        return F.conv2d(features, weight, bias, padding=padding, dilation=apart)
    if features.shape[1] == 1:
        # a single channel has no channels-last form of its own, and gets other kernels
        features, weight = (F.pad(x, (0, 0, 0, 0, 0, 1)) for x in (features, weight))
    (rows, cols), by_matrices = features.shape[2:], _is_by_matrices(dtype)
    if by_matrices:
        # by zeros, which is what lies beyond the border anyway
        features = F.pad(features, (0, _WIDE - cols)) if cols < _WIDE else features
        padding = around
    features = features.to(dtype, memory_format=torch.channels_last)
    bias = None if bias is None else bias.to(dtype)
    result = torch.mkldnn_convolution(features, weight.to(dtype), bias, padding, (1, 1), apart, 1)
    if not by_matrices:
        return result
    top, left = around if inner else (0, 0)
    return result[..., top : rows - top, left : cols - left]


def linear(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Vectors (..., k) times a matrix (m, k), (..., m).

    On a CPU exact as `convolve`: neither a vector's place nor that of a row of the matrix matters.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        if vectors.device.type != "cpu":
            return vectors @ matrix.T
        line = vectors.reshape(1, 1, -1, vectors.shape[-1]).permute(0, 3, 1, 2)
        found = convolve(line, matrix[:, :, None, None]).permute(0, 2, 3, 1)
        return found.reshape(*vectors.shape[:-1], len(matrix))


def softmax(logits: Tensor) -> Tensor:
    """The soft-max over the channels of (N, C, h, w)."""
    last = logits.permute(0, 2, 3, 1).contiguous()
    return last.softmax(-1).permute(0, 3, 1, 2)


def total(values: Iterable[Tensor]) -> Tensor:
    """The sum, from the first to the last whatever their size."""
    return reduce(add, values)


def products(matrix: Tensor, pixels: Tensor) -> Tensor:
    """The product (p, N) of (p, B) and pixels (B, N), in float64; exact on every device."""
    total = torch.zeros(len(matrix), pixels.shape[1], dtype=torch.float64, device=pixels.device)
    # a library's product sums up in another order where a block of pixels ends
    for weights, band in zip(matrix.double().unbind(1), pixels, strict=True):
        total += weights[:, None] * band.double()
    return total


def gelu_(values: Tensor) -> Tensor:
    """The Gaussian error linear unit of values nobody else needs (Hendrycks and Gimpel 2016).

    Computed in their place where no gradient is wanted; exact on a CPU then.
    """
    if values.requires_grad:
        return F.gelu(values)
    change_ = torch.ops.aten.gelu_
    if values.device.type != "cpu":
        return cast(Tensor, change_(values))
    values = values if _is_dense(values) else values.contiguous()
    flat = values.as_strided((values.numel(),), (1,))
    full = len(flat) // _VECTORS * _VECTORS
    for first in range(0, full, _piece(full)):
        change_(flat[first : min(first + _piece(full), full)])
    if len(flat) > full:
        # what is left after the last full vectors torch would compute by another exponential
        rest = flat[full:]
        rest.copy_(change_(F.pad(rest, (0, _VECTORS)))[: len(rest)])
    return values


def atan2(y: Tensor, x: Tensor) -> Tensor:
    """The angle of points (x, y) in radians, exact on a CPU."""
    if y.device.type != "cpu":
        return torch.atan2(y, x)
    padded = (F.pad(values.flatten(), (0, -values.numel() % _VECTORS)) for values in (y, x))
    pieces = zip(*(torch.split(x, _piece(len(x))) for x in padded), strict=True)
    return torch.cat([torch.atan2(*piece) for piece in pieces])[: y.numel()].reshape(y.shape)


def _piece(count: int) -> int:
    """How many of so many values may be computed at once: where threads end, torch's shares do."""
    return _PIECE if torch.get_num_threads() > 1 else max(count, 1)


def _is_dense(values: Tensor) -> bool:
    return bool(torch.ops.aten.is_non_overlapping_and_dense(values))


def _dtype(features: Tensor) -> torch.dtype:
    kind = features.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype


def _is_by_matrices(dtype: torch.dtype) -> bool:
    """Whether sums depend on the image unless care is taken; in training nobody compares them."""
    by_matrices = dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()
    return by_matrices and not torch.is_grad_enabled()


def _is_exact(device: torch.device, dtype: torch.dtype) -> bool:
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    reduced = dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32 or bool(reduced)
