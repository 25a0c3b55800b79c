"""Simplex volume maximisation: each endmember is the pixel farthest from those before it.

The volume of a simplex is that of a face times the height above it, so the pixel that makes it
largest is the one farthest from the affine hull of the vertices so far.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import extremes, require_enough

SOURCE = "Thurau, Kersting and Bauckhage, CIKM 2010; with exact distances"


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B), each of them one of the pixels (N, B).

    The first is the one farthest from the mean; nothing is random. Raises `ValueError` if there
    are fewer pixels or bands than endmembers.
    """
    del seed
    require_enough(pixels, endmembers)
    points = pixels.double()
    first = int((points - points.mean(0)).norm(dim=1).argmax())
    others = extremes(points - points[first], endmembers - 1, progress)
    return pixels[[first, *others]].float()
