"""N-FINDR: the pixels whose simplex cannot be made larger by exchanging one of them.

Putting a pixel in place of a vertex multiplies the volume by the pixel's barycentric coordinate for
that vertex, so one matrix product gives the volumes after every possible exchange.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import extremes, require_enough
from hsisr_models.subspace import principal_axes

SOURCE = "Winter, Proc. SPIE 3753, 1999; started as Plaza and Chang, Proc. SPIE 5806, 2005"

_SWEEPS = 3
"""For every endmember; in each, every vertex may be exchanged once."""
_LARGER = 1e-9
"""By what share a volume has to grow to be larger."""


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B), each of them one of the pixels (N, B).

    Starts at those of `atgp` and exchanges the vertex that gains most; nothing is random. Raises
    `ValueError` if there are fewer pixels or bands than endmembers.
    """
    del seed
    require_enough(pixels, endmembers)
    points = _projected(pixels.double(), endmembers)
    return pixels[corners(points, progress)].float()


def corners(points: Tensor, progress: Callable[[float], None] = unwatched) -> Tensor:
    """Which of points (N, p), the last coordinate of which is constant, are the vertices (p,)."""
    size = points.shape[1]
    chosen = torch.tensor(extremes(points, size, unwatched))
    exchanges = _SWEEPS * size**2
    for done in range(exchanges):
        progress(done / exchanges)
        gains = (points @ torch.linalg.pinv(points[chosen])).abs()
        if gains.max() <= 1 + _LARGER:
            break
        pixel, vertex = divmod(int(gains.argmax()), size)
        chosen[vertex] = pixel
    progress(1.0)
    return chosen


def _projected(pixels: Tensor, endmembers: int) -> Tensor:
    """Pixels (N, B) in the space of a simplex, with a constant last coordinate (N, p)."""
    mean, axes = principal_axes(pixels, endmembers - 1)
    points = (pixels - mean) @ axes
    radius = points.norm(dim=1).max().clamp_min(torch.finfo(points.dtype).tiny)
    return torch.cat((points, radius.expand(len(points), 1)), 1)
