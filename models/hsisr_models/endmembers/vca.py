"""Vertex component analysis: the pixels that span the largest simplex are taken for pure."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import require_enough
from hsisr_models.subspace import principal_axes

SOURCE = "Nascimento and Bioucas-Dias, IEEE TGRS 43(4), 2005"


def extract(
    pixels: Tensor,
    endmembers: int,
    *,
    seed: int,
    progress: Callable[[float], None] = unwatched,
    draws: int = 10,
) -> Tensor:
    """Endmembers (p, B) of pixels (N, B).

    The best of `draws` seeded runs by the volume of the found simplex. Pixels are denoised by
    projection on the subspace. Raises `ValueError` if there are fewer pixels or bands than
    endmembers.
    """
    require_enough(pixels, endmembers)
    count, pixels = len(pixels), pixels.double()
    mean, axes = principal_axes(pixels, endmembers - 1)
    # on the affine hull, with a constant last coordinate: the projection for noisy scenes
    projected = (pixels - mean) @ axes
    radius = projected.norm(dim=1).max().clamp_min(torch.finfo(torch.float64).tiny)
    points = torch.cat((projected, radius.expand(count, 1)), 1)
    generator = torch.Generator().manual_seed(seed)
    runs = []
    for draw in range(draws):
        runs.append(_vertices(points, generator))
        progress((draw + 1) / draws)
    best = max(runs, key=lambda chosen: float(torch.linalg.det(points[chosen]).abs()))
    return (projected[best] @ axes.T + mean).float()


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
