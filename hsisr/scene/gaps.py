"""Missing pixels: filling them before a network sees them, and finding them again on a finer grid.

One NaN would spread over everything a network can see, and a constant in its place would ring.
So holes are grown shut from their rim, a few pixels deep, and what is left gets the band's mean.
A filled pixel depends on its neighbourhood alone, so tiles and the whole scene agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Block

REACH = 4
"""How deep a hole is filled from its rim, in pixels; a tile needs as much more halo."""


def fill(block: Block, means: NDArray[np.float32], depth: int = REACH) -> Block:
    """A block (B, h, w) without NaN: holes closed `depth` pixels deep, then set to `means` (B,).

    It is the block itself where there are none.
    """
    if not np.isnan(block).any():
        return block
    filled = np.empty_like(block)
    # band by band: what is held in between is then small
    for target, band, mean in zip(filled, block, means, strict=True):
        target[:] = _closed(band, mean, depth)
    return filled


def _closed(band: NDArray[np.float32], mean: np.float32, depth: int) -> NDArray[np.float32]:
    for _ in range(depth):
        if not np.isnan(band).any():
            return band
        band = _grown_inwards(band)
    return np.where(np.isnan(band), mean, band)


def band_means(block: Block) -> NDArray[np.float32]:
    """The mean of what is there in each band (B,), 0 for an empty band."""
    there = np.isfinite(block)
    sums = np.where(there, block, 0).sum((1, 2), dtype=np.float64)
    return np.asarray(sums / np.maximum(there.sum((1, 2)), 1), np.float32)


def _grown_inwards(band: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every hole with its outermost ring of pixels set to the mean of their known neighbours."""
    there = np.isfinite(band)
    sums = _sum_of_neighbours(np.where(there, band, np.float32(0)))
    counts = _sum_of_neighbours(there.astype(np.float32))
    with np.errstate(invalid="ignore"):
        return np.where(there, band, sums / counts)


def _sum_of_neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, cols = values.shape
    padded = np.pad(values, 1)
    total = np.zeros_like(values)
    for row in range(3):
        for col in range(3):
            total += padded[row : row + rows, col : col + cols]
    return total


def zoomed(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    """A mask (..., h, w) on a grid `scale` times finer."""
    return mask.repeat(scale, -2).repeat(scale, -1)


def pooled(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    """A mask (..., h, w) on a grid `scale` times coarser: true where any pixel below is."""
    *rest, rows, cols = mask.shape
    blocks = mask.reshape(*rest, rows // scale, scale, cols // scale, scale)
    return np.asarray(blocks.any((-3, -1)))
