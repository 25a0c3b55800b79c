"""What every extraction asks of its pixels."""

from __future__ import annotations

from torch import Tensor


def require_enough(pixels: Tensor, endmembers: int) -> None:
    """Raise `ValueError` if there are fewer pixels (N, B) or bands than endmembers."""
    count, bands = pixels.shape
    if endmembers > min(count, bands):
        raise ValueError(f"{endmembers} endmembers from {count} pixels of {bands} bands")
