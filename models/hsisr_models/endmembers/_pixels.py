"""Parts that several extraction methods share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def require_enough(pixels: Tensor, endmembers: int) -> None:
    """Raise `ValueError` if there are fewer pixels (N, B) or bands than endmembers."""
    count, bands = pixels.shape
    if endmembers > min(count, bands):
        raise ValueError(f"{endmembers} endmembers from {count} pixels of {bands} bands")


def extremes(points: Tensor, count: int, progress: Callable[[float], None]) -> list[int]:
    """The longest of points (N, k), then the longest orthogonal to it, and so on: `count` rows."""
    left, found = points.clone(), list[int]()
    for _ in range(count):
        lengths = left.norm(dim=1)
        found.append(int(lengths.argmax()))
        away = left[found[-1]] / lengths.max().clamp_min(torch.finfo(left.dtype).tiny)
        left -= torch.outer(left @ away, away)
        progress(len(found) / count)
    return found
