"""Automatic target generation: the brightest pixel, then the one least explained so far."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import extremes, require_enough

SOURCE = "Ren and Chang, IEEE TAES 39(4), 2003"


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B), each of them one of the pixels (N, B).

    The next is the one that is longest after projection on the orthogonal complement of those
    before; nothing is random. Raises `ValueError` if there are fewer pixels or bands than
    endmembers.
    """
    del seed
    require_enough(pixels, endmembers)
    return pixels[extremes(pixels.double(), endmembers, progress)].float()
