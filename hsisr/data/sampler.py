"""Training batches from the blocks of a prepared folder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import Block
from hsisr.data.patches import PatchSet
from hsisr.errors import InputError
from hsisr.scene import gaps
from hsisr.window import Window


class Sampler:
    """Draws training batches of aligned patches; batch k depends on the seed and k alone.

    So a resumed run sees what an uninterrupted one would have seen. Patches lie wholly inside a
    block, hold no missing values, and are flipped and rotated at random (the 8 symmetries of the
    square, under which the degradations are symmetric).
    """

    def __init__(self, patches: PatchSet, *, patch: int, batch: int, seed: int) -> None:
        self._scale, self._batch, self._seed = patches.scale, batch, seed
        self._gain = 1 / patches.peak
        self._blocks = patches.blocks("train")
        self.patch = min(patch, *(min(low.shape[1:]) for low, _ in self._blocks))
        self._places = [
            (index, int(row), int(col))
            for index, (low, high) in enumerate(self._blocks)
            for row, col in corners(low, high, self.patch, self._scale)
        ]
        if not self._places:
            raise InputError(
                f"no patch of {self.patch} x {self.patch} low-resolution pixels is without "
                "missing values",
                where=patches.folder,
                hint="train on smaller ones: --set sr.training.patch=8",
            )

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Batch number `step`: low (N, B, p, p) and high (N, B, np, np), normalised."""
        rng = np.random.default_rng((self._seed, step))
        chosen = rng.choice(len(self._places), self._batch, len(self._places) < self._batch)
        turns = rng.integers(0, 8, self._batch)
        pairs = [
            self._patch(self._places[i], int(turn)) for i, turn in zip(chosen, turns, strict=True)
        ]
        low, high = (torch.stack(side) for side in zip(*pairs, strict=True))
        return low * self._gain, high * self._gain

    def _patch(self, place: tuple[int, int, int], turn: int) -> tuple[Tensor, Tensor]:
        block, row, col = place
        window = Window(row, col, self.patch, self.patch)
        low, high = self._blocks[block]
        return (
            turned(low[:, *window.slices], turn),
            turned(high[:, *window.zoomed(self._scale).slices], turn),
        )


def turned(patch: Block, turn: int) -> Tensor:
    """One of the 8 symmetries of the square."""
    turned = np.rot90(patch, turn % 4, (1, 2))
    return torch.from_numpy(np.array(turned[:, :, ::-1] if turn >= 4 else turned, order="C"))


def corners(low: Block, high: Block, patch: int, scale: int) -> NDArray[np.int64]:
    """Every (row, column) at which a patch of a block fits and nothing is missing (n, 2)."""
    complete = np.isfinite(low).all(0) & _complete_below(high, scale)
    if min(complete.shape) < patch:
        return np.empty((0, 2), np.int64)
    fits = np.lib.stride_tricks.sliding_window_view(complete, (patch, patch)).all((2, 3))
    return np.argwhere(fits)


def _complete_below(high: Block, scale: int) -> NDArray[np.bool_]:
    """Which low-resolution pixels have no missing value under them."""
    return np.asarray(~gaps.pooled(np.isnan(high), scale).any(0))
