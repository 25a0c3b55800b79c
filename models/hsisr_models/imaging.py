"""Forward models: how materials mix into spectra, and how a coarser sensor sees a scene.

    Y = M A            mixing: a spectrum is the abundances' weighted sum of endmembers (Eq. 1)
    Y_LR = K Y_HR      degradation: K blurs and decimates every band alike (Eq. 2, read forwards)

K is separable: one matrix acts on the columns of an image, one on its rows. Each value of Y_LR is
a weighted mean over a window that lies symmetrically around its pixel; beyond its border a scene
continues as its mirror image.
"""

from __future__ import annotations

import math
from functools import cache, reduce
from operator import add
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hsisr_models.exact import convolve

OPERATORS = ("bicubic", "area", "gaussian")
"""The known degradations.

`bicubic` is MATLAB's imresize: the cubic of Keys (1981) with a = -0.5, widened by the scale.
`area` is the mean over n x n pixels. `gaussian` is a Gaussian point spread function whose
modulation transfer at the Nyquist frequency of the low resolution is `mtf`.
"""

_GAUSSIAN_TAILS = 5
"""Standard deviations after which a Gaussian is cut off (6e-7 of it lies beyond)."""
_CACHED = 1 << 19
"""Values that are up-scaled at a time on a CPU, so that intermediate ones stay in its cache."""


def mix(abundances: Tensor, endmembers: Tensor) -> Tensor:
    """The scene (N, B, h, w) made of `abundances` (N, p, h, w) of `endmembers` (p, B)."""
    with torch.autocast(abundances.device.type, enabled=False):
        if abundances.device.type == "cpu":
            return convolve(abundances, endmembers.T[:, :, None, None])
        return torch.einsum("nphw,pb->nbhw", abundances, endmembers)


def weights(size: int, scale: int, operator: str, *, mtf: float = 0.3) -> Tensor:
    """The matrix (size / scale, size), float64, that degrades a line of `size` pixels.

    Its rows sum to one. Raises `ValueError` for an unknown operator, a size that is not a
    multiple of the scale, or an `mtf` outside (0, 1).
    """
    if scale < 1 or size % scale:
        raise ValueError(f"{size} pixels cannot be divided by a scale of {scale}")
    window = _window(scale, operator, mtf)
    beyond = (len(window) - scale) // 2
    first = torch.arange(0, size, scale).unsqueeze(1) - beyond
    columns = _mirrored(first + torch.arange(len(window)), size)
    matrix = torch.zeros(size // scale, size, dtype=torch.float64)
    return matrix.scatter_add_(1, columns, window.expand(columns.shape))


def degrade(scene: Tensor, scale: int, operator: str, *, mtf: float = 0.3) -> Tensor:
    """The scene (N, B, H, W) as seen at 1/`scale` of its resolution, (N, B, H/scale, W/scale).

    A value whose window holds a NaN or an infinity is NaN, all others are unaffected. Raises as
    `weights`.
    """
    rows, cols = (weights(size, scale, operator, mtf=mtf).to(scene) for size in scene.shape[-2:])
    low = _both_ways(rows, scene, cols)
    if low.isfinite().all():
        return low
    # 0 * NaN is NaN: in a product of matrices one missing pixel would blot out the whole image
    missing = ~scene.isfinite()
    touched = _both_ways((rows != 0).to(scene), missing.to(scene), (cols != 0).to(scene)) > 0
    return _both_ways(rows, scene.masked_fill(missing, 0), cols).masked_fill(touched, math.nan)


def degrade_adjoint(low: Tensor, scale: int, operator: str, *, mtf: float = 0.3) -> Tensor:
    """The adjoint of `degrade`, (N, B, h, w) to (N, B, scale h, scale w).

    <degrade(x), y> = <x, degrade_adjoint(y)> for all x and y. Raises as `weights`.
    """
    rows, cols = (
        weights(size * scale, scale, operator, mtf=mtf).to(low) for size in low.shape[-2:]
    )
    return _both_ways(rows.T, low, cols.T)


def upscale_bicubic(scene: Tensor, scale: int) -> Tensor:
    """The scene (N, B, h, w) enlarged to (N, B, scale h, scale w) as by MATLAB's imresize.

    An output pixel is computed from the 5 x 5 pixels around its own in an order that does not
    depend on where it lies, so a cut-out that holds these gives the same value to the last bit.
    Computed in the scene's dtype. Raises `ValueError` for a scale below 1.
    """
    if scale < 1:
        raise ValueError(f"a scale of {scale} does not enlarge")
    return cast(Tensor, _UpscaleBicubic.apply(scene, scale))  # type: ignore[no-untyped-call]


def _both_ways(rows: Tensor, scene: Tensor, cols: Tensor) -> Tensor:
    with torch.autocast(scene.device.type, enabled=False):
        return rows @ scene @ cols.T


def _window(scale: int, operator: str, mtf: float) -> Tensor:
    """The weights of the pixels in and around a block of `scale` pixels, float64, sum 1."""
    if operator == "area":
        return torch.full((scale,), 1 / scale, dtype=torch.float64)
    if operator == "bicubic":
        kernel = _keys(_distances(scale, beyond=3 * scale // 2) / scale)
        return kernel / kernel.sum()
    if operator != "gaussian":
        raise ValueError(f"no degradation '{operator}'; known: {', '.join(OPERATORS)}")
    if not 0 < mtf < 1:
        raise ValueError(f"the transfer at the Nyquist frequency lies between 0 and 1, not {mtf}")
    # a Gaussian transfers exp(-2 (pi sigma f)^2); the Nyquist frequency is 1 / (2 scale)
    sigma = scale / math.pi * math.sqrt(-2 * math.log(mtf))
    distances = _distances(scale, beyond=math.ceil(_GAUSSIAN_TAILS * sigma))
    return torch.softmax(-((distances / sigma) ** 2) / 2, 0)


def _distances(scale: int, beyond: int) -> Tensor:
    """How far pixels lie from the centre of their block, `beyond` of them on either side of it."""
    return torch.arange(-beyond, scale + beyond, dtype=torch.float64) - (scale - 1) / 2


def _keys(x: Tensor) -> Tensor:
    """Cubic convolution (Keys 1981) with a = -0.5."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0))


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Indices of a line continued by its mirror image, ... 1 0 | 0 1 2 | 2 1 ..."""
    index = index % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)


class _UpscaleBicubic(torch.autograd.Function):
    """Written out because recording every product would cost many times the scene's memory."""

    @staticmethod
    def forward(ctx: Any, scene: Tensor, scale: int) -> Tensor:
        ctx.shape, ctx.scale = scene.shape, scale
        count, bands, height, width = scene.shape
        enlarged = scene.new_empty(count, bands, height * scale, width * scale)
        images, targets = scene.flatten(0, 1), enlarged.flatten(0, 1)
        on_cpu = scene.device.type == "cpu"
        share = max(1, _CACHED // targets[0].numel()) if on_cpu else len(images)
        for low, high in zip(torch.split(images, share), torch.split(targets, share), strict=True):
            high.copy_(_stretched(_stretched(low.mT, scale).mT, scale))
        return enlarged

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, cols = (
            _stretched(torch.eye(size, dtype=torch.float64)[None], ctx.scale)[0].to(gradient)
            for size in ctx.shape[-2:]
        )
        return _both_ways(rows.T, gradient, cols.T), None


def _stretched(images: Tensor, scale: int) -> Tensor:
    """Images (k, h, w) with `scale` rows for every one, (k, scale h, w)."""
    height = images.shape[1]
    rows = torch.arange(-2, height + 2, device=images.device)
    padded = images.index_select(1, _mirrored(rows, height))
    # products and sums by themselves, not fused: how they are fused may depend on the position
    phases = [
        reduce(add, (padded[:, 2 + shift : 2 + shift + height] * tap for shift, tap in taps))
        for taps in _phases(scale)
    ]
    return torch.stack(phases, 2).flatten(1, 2)


@cache
def _phases(scale: int) -> tuple[tuple[tuple[int, float], ...], ...]:
    """For each of `scale` new pixels in place of one: (neighbour, weight) where not zero."""
    neighbours = torch.arange(-2, 3, dtype=torch.float64)
    centres = ((phase + 0.5) / scale - 0.5 for phase in range(scale))
    taps = (_keys(centre - neighbours).tolist() for centre in centres)
    return tuple(tuple((shift - 2, tap) for shift, tap in enumerate(row) if tap) for row in taps)
