"""Forward models: how materials mix into spectra, and how a coarser sensor sees a scene.

    Y = M A            mixing: a spectrum is the abundances' weighted sum of endmembers (Eq. 1)
    Y_LR = K Y_HR      degradation: K blurs and decimates every band alike (Eq. 2, read forwards)

K is separable: one matrix acts on the columns of an image, one on its rows. Each value of Y_LR is
a weighted mean over a window that lies symmetrically around its pixel; beyond its border a scene
continues as its mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial, reduce
from itertools import count
from operator import add
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from hsisr_models.exact import convolve, linear
from hsisr_models.rendering import Image, everything, grown, within

OPERATORS = ("bicubic", "area", "gaussian")
"""The known degradations.

`bicubic` is MATLAB's imresize: the cubic of Keys (1981) with a = -0.5, widened by the scale.
`area` is the mean over n x n pixels. `gaussian` is a Gaussian point spread function whose
modulation transfer at the Nyquist frequency of the low resolution is `mtf`.
"""

BICUBIC_REACH = 2
"""How many pixels around an enlarged pixel's own it depends on."""
_BLOCK = 8
"""Pixels of a line that are enlarged by one product."""
_GAUSSIAN_TAILS = 5
"""Standard deviations after which a Gaussian is cut off (6e-7 of it lies beyond)."""
_CACHED = 1 << 19
"""Values of a fine image worked on at a time on a CPU, so that what is between stays in cache."""
_MTF = 0.3
_INEXACT = 1e-4
"""What a filter may leave of the residual of a line, at most, in parts of its largest value."""

_Phases = tuple[tuple[tuple[int, float], ...], ...]
"""For each of the new pixels in place of one: (neighbour, weight) where not zero."""


def mix(abundances: Tensor, endmembers: Tensor) -> Tensor:
    """The scene (N, B, h, w) made of `abundances` (N, p, h, w) of `endmembers` (p, B)."""
    with torch.autocast(abundances.device.type, enabled=False):
        if abundances.device.type == "cpu":
            return convolve(abundances, endmembers.T[:, :, None, None])
        return torch.einsum("nphw,pb->nbhw", abundances, endmembers)


def weights(size: int, scale: int, operator: str, *, mtf: float = _MTF) -> Tensor:
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


def degrade(scene: Tensor, scale: int, operator: str, *, mtf: float = _MTF) -> Tensor:
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


def degrade_adjoint(low: Tensor, scale: int, operator: str, *, mtf: float = _MTF) -> Tensor:
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
    return everything(enlarged(scene, scale).renderer(scale), scene)


def enlarged(scene: Tensor, scale: int) -> Image:
    """As `upscale_bicubic`, of which windows are computed by themselves."""
    if scale < 1:
        raise ValueError(f"a scale of {scale} does not enlarge")

    def render(rows: slice, cols: slice) -> Tensor:
        seen = grown((rows, cols), BICUBIC_REACH, scene.shape[2:])
        fine = _UpscaleBicubic.apply(scene[..., *seen], scale, *within((rows, cols), seen))  # type: ignore[no-untyped-call]
        return cast(Tensor, fine)

    return Image.rendered(render, scene, scale)


def back_project(
    estimate: Tensor, scene: Tensor, scale: int, operator: str, *, out: Tensor | None = None
) -> Tensor:
    """The image (N, B, scale h, scale w) nearest to `estimate` that degrades to `scene`.

        estimate + K^T (K K^T)^-1 (scene - K estimate)

    A projection: whatever degrades to the scene, the truth for one, is no farther from the result
    than from the estimate. On a mirrored scene K K^T is a convolution; its inverse is cut off, so
    that the result misses the scene by up to 2e-4 of the estimate's worst miss. An output pixel is
    computed from the `projection_reach` pixels around its own, on which it depends to the last bit
    as by `upscale_bicubic`. It is written to `out`, which may be the estimate. Raises as `weights`.
    """
    window = tuple(_window(scale, operator, _MTF).tolist())
    thin = partial(_thinned, scale=scale, window=window)
    undo = partial(_stretched, phases=_inverse(scale, operator))
    spread = partial(_stretched, phases=_adjoint(scale, operator))
    result = estimate.new_empty(estimate.shape) if out is None else out
    bands = estimate.flatten(0, 1), scene.flatten(0, 1), result.view(-1, *result.shape[2:])
    images = (torch.split(x, _share(result)) for x in bands)
    for fine, coarse, target in zip(*images, strict=True):
        residual = coarse - _along_both(fine, thin)
        target.copy_(fine + _along_both(_along_both(residual, undo), spread))
    return result


def projection_reach(scale: int, operator: str) -> int:
    """How many low-resolution pixels around an output pixel `back_project` depends on."""
    # a residual is seen by K^T, filtered, and was itself seen by K
    return 2 * _farthest(_adjoint(scale, operator)) + _farthest(_inverse(scale, operator))


def _both_ways(rows: Tensor, scene: Tensor, cols: Tensor) -> Tensor:
    with torch.autocast(scene.device.type, enabled=False):
        return rows @ scene @ cols.T


def _along_both(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """What changes the rows of images (k, h, w), done to their columns first."""
    return change(change(images.mT).mT)


def _share(fine: Tensor) -> int:
    """How many of the images (N, B, h, w) to work on at a time."""
    on_cpu = fine.device.type == "cpu"
    return max(1, _CACHED // fine[0, 0].numel()) if on_cpu else fine.shape[0] * fine.shape[1]


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
    def forward(ctx: Any, scene: Tensor, scale: int, rows: slice, cols: slice) -> Tensor:
        ctx.window, ctx.scale, ctx.size = (rows, cols), scale, scene.shape[2:]
        sides = (scale * (part.stop - part.start) for part in (rows, cols))
        fine = scene.new_empty(*scene.shape[:2], *sides)
        images = (torch.split(x.flatten(0, 1), _share(fine)) for x in (scene, fine))
        block = _block(scale).to(scene)
        for low, high in zip(*images, strict=True):
            if low.sum().isfinite():
                high.copy_(_enlarged(low, rows, cols, block))
                continue
            # 0 * NaN is NaN: in a product one missing pixel would blot out its whole block
            missing = ~low.isfinite()
            high.copy_(_enlarged(low.masked_fill(missing, 0), rows, cols, block))
            touched = _enlarged(missing.to(low), rows, cols, (block != 0).to(low))
            high.masked_fill_(touched > 0, math.nan)
        return fine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        rows, cols = (
            _lines(torch.eye(size).to(gradient), part, _block(ctx.scale).to(gradient))
            for size, part in zip(ctx.size, ctx.window, strict=True)
        )
        return _both_ways(rows, gradient, cols), None, None, None


def _enlarged(images: Tensor, rows: slice, cols: slice, block: Tensor) -> Tensor:
    """A window of images (k, h, w) with finer pixels as `block` makes them of `_BLOCK` others."""
    return _lines(_lines(images.mT, rows, block).mT, cols, block)


def _lines(lines: Tensor, part: slice, block: Tensor) -> Tensor:
    length = part.stop - part.start
    first, last = part.start - BICUBIC_REACH, part.start + length + -length % _BLOCK + BICUBIC_REACH
    if first >= 0 and last <= lines.shape[-1]:
        seen = lines[..., first:last]
    else:
        index = torch.arange(first, last, device=lines.device)
        seen = lines.index_select(-1, _mirrored(index, lines.shape[-1]))
    fine = linear(seen.unfold(-1, _BLOCK + 2 * BICUBIC_REACH, _BLOCK), block).flatten(-2)
    return fine[..., : len(block) // _BLOCK * length]


@cache
def _block(scale: int) -> Tensor:
    """The matrix that enlarges `_BLOCK` pixels, given these and their neighbours."""
    impulses = torch.eye(_BLOCK + 2 * BICUBIC_REACH, dtype=torch.float64)
    return _stretched(impulses[None], _cubic(scale))[0, scale * BICUBIC_REACH :][: scale * _BLOCK]


def _stretched(images: Tensor, phases: _Phases) -> Tensor:
    """Images (k, h, w) with a row for each phase in place of every one, (k, phases h, w)."""
    height, reach = images.shape[1], _farthest(phases)
    padded = _padded(images, reach)
    # products and sums by themselves, not fused: how they are fused may depend on the position
    rows = [
        reduce(add, (padded[:, reach + shift :][:, :height] * tap for shift, tap in taps))
        for taps in phases
    ]
    return torch.stack(rows, 2).flatten(1, 2)


def _thinned(images: Tensor, scale: int, window: tuple[float, ...]) -> Tensor:
    """Images (k, scale h, w) with the weighted mean of rows in place of `scale` of them."""
    height = images.shape[1]
    padded = _padded(images, (len(window) - scale) // 2)
    return reduce(
        add, (padded[:, i : i + height : scale] * tap for i, tap in enumerate(window) if tap)
    )


def _padded(images: Tensor, by: int) -> Tensor:
    """Images (k, h, w) with `by` more rows above and below, in mirror image."""
    rows = torch.arange(-by, images.shape[1] + by, device=images.device)
    return images.index_select(1, _mirrored(rows, images.shape[1]))


def _farthest(phases: _Phases) -> int:
    return max(abs(shift) for taps in phases for shift, _ in taps)


@cache
def _cubic(scale: int) -> _Phases:
    """Interpolation by the cubic of Keys."""
    neighbours = torch.arange(-2, 3, dtype=torch.float64)
    centres = ((phase + 0.5) / scale - 0.5 for phase in range(scale))
    return _phases([_keys(centre - neighbours) for centre in centres])


@cache
def _adjoint(scale: int, operator: str) -> _Phases:
    """K^T: a pixel is spread with the weights by which it was gathered."""
    window = _window(scale, operator, _MTF)
    beyond = (len(window) - scale) // 2
    margin = -beyond % scale
    blocks = F.pad(window, (margin, margin)).reshape(-1, scale)
    # the pixel at neighbour +1 sees this one where this one lies in its own view: at -1
    return _phases(list(blocks.flip(0).T))


@cache
def _inverse(scale: int, operator: str) -> _Phases:
    """(K K^T)^-1, the shortest filter that is good to `_INEXACT`."""
    window = _window(scale, operator, _MTF)
    lags = (len(window) - 1) // scale
    later = F.pad(window, (0, lags * scale))
    gram = torch.stack([window @ later[lag * scale :][: len(window)] for lag in range(lags + 1)])
    filters = (_undoing(gram, reach) for reach in count())
    return _phases([next(taps for taps, left in filters if left <= _INEXACT)])


def _undoing(gram: Tensor, reach: int) -> tuple[Tensor, float]:
    """The filter of so many neighbours that comes nearest to undoing a symmetric one.

    `gram` are the taps of that from its middle on. Also returns what is left of an impulse, as a
    sum of magnitudes.
    """
    whole = reach + len(gram) - 1
    lags = (torch.arange(-whole, whole + 1)[:, None] - torch.arange(-reach, reach + 1)).abs()
    together = F.pad(gram, (0, 2 * whole))[lags]
    impulse = (lags[:, reach] == 0).to(gram)
    taps = torch.linalg.lstsq(together, impulse[:, None]).solution[:, 0]
    return taps, float((together @ taps - impulse).abs().sum())


def _phases(taps: list[Tensor]) -> _Phases:
    """From the weights of the neighbours of each phase, the middle one being the pixel itself."""
    return tuple(
        tuple((i - len(row) // 2, tap) for i, tap in enumerate(row.tolist()) if tap) for row in taps
    )
