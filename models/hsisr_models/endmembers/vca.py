"""Vertex component analysis: extreme pixels along random directions are taken for pure."""

from __future__ import annotations

from collections.abc import Callable
from math import log10

import torch
from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import require_enough
from hsisr_models.subspace import principal_axes

SOURCE = "Nascimento and Bioucas-Dias, IEEE TGRS 43(4), 2005"

_DRAWS = 10
_TINY = torch.finfo(torch.float64).tiny


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B) of pixels (N, B).

    They are projected in perspective, so that brightness does not matter, where the signal is more
    than 15 + 10 log10(p) dB above the noise, else on their affine hull; endmembers are projected
    pixels. The best of ten seeded runs by the volume of the found simplex. Raises `ValueError`
    if there are fewer pixels or bands than endmembers.
    """
    require_enough(pixels, endmembers)
    pixels = pixels.double()
    is_clear = _decibels(pixels, endmembers) > 15 + 10 * log10(endmembers)
    points, denoised = (_perspective if is_clear else _affine)(pixels, endmembers)
    generator = torch.Generator().manual_seed(seed)
    runs = []
    for draw in range(_DRAWS):
        runs.append(_vertices(points, generator))
        progress((draw + 1) / _DRAWS)
    best = max(runs, key=lambda chosen: float(torch.linalg.det(points[chosen]).abs()))
    return denoised[best].float()


def _decibels(pixels: Tensor, endmembers: int) -> float:
    """How far the signal is above the noise, which is what lies outside of the leading axes."""
    mean, axes = principal_axes(pixels, endmembers)
    energy = float(pixels.square().sum(1).mean())
    within = float(((pixels - mean) @ axes).square().sum(1).mean() + mean.square().sum())
    signal = within - endmembers / pixels.shape[1] * energy
    return 10 * log10(max(signal, _TINY) / max(energy - within, _TINY))


def _perspective(pixels: Tensor, endmembers: int) -> tuple[Tensor, Tensor]:
    """Points (N, p) on the plane that pixels reach when all are equally bright; pixels denoised."""
    _, axes = torch.linalg.eigh(pixels.T @ pixels)
    axes = axes[:, -endmembers:]
    seen = pixels @ axes
    bright = seen @ seen.mean(0)
    # what is black, or points away from all others, lies on no such plane
    far = 1e-6 * bright.amax().clamp_min(_TINY)
    points = torch.where((bright > far)[:, None], seen / bright.clamp_min(far)[:, None], 0.0)
    return points, seen @ axes.T


def _affine(pixels: Tensor, endmembers: int) -> tuple[Tensor, Tensor]:
    """Points (N, p) of the affine hull, with a constant last coordinate; pixels denoised."""
    mean, axes = principal_axes(pixels, endmembers - 1)
    seen = (pixels - mean) @ axes
    radius = seen.norm(dim=1).max().clamp_min(_TINY)
    return torch.cat((seen, radius.expand(len(pixels), 1)), 1), seen @ axes.T + mean


def _vertices(points: Tensor, generator: torch.Generator) -> Tensor:
    """One run: the extreme pixel along random directions orthogonal to the vertices so far."""
    size = points.shape[1]
    basis = torch.zeros(size, size, dtype=points.dtype)
    basis[-1, 0] = 1
    chosen = []
    for index in range(size):
        direction = torch.randn(size, 1, dtype=points.dtype, generator=generator)
        direction -= basis @ torch.linalg.pinv(basis) @ direction
        found = int((points @ direction).abs().argmax())
        chosen.append(found)
        basis[:, index] = points[found]
    return torch.tensor(chosen)
