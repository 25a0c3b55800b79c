"""Training batches of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from hsisr.data.sampler import corners, turned
from hsisr.data.tokens import Example, TokenSet
from hsisr.errors import InputError
from hsisr.window import Window

_SMALLEST = 8
"""Low-resolution pixels; smaller patches would be all border."""


@dataclass(frozen=True)
class _Choice:
    """An example, and where patches can be cut from it."""

    example: Example
    patch: int
    corners: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Tokens it takes in a batch: the next power of two."""
        return 1 << (len(self.example.weights) - 1).bit_length()

    @property
    def kind(self) -> tuple[int, int]:
        """Examples of one kind can share a batch."""
        return self.size, self.patch

    @property
    def share(self) -> float:
        """How often it is drawn: more tokens teach more, and so, slowly, do more pixels."""
        return float(self.size**0.5 * self.example.low[0].size ** 0.25)


class TokenSampler:
    """Draws batches of aligned patches of tokens; batch k depends on the seed and k alone.

    A scene smaller than `patch` gives smaller patches. The examples of a batch are alike in that
    and in their number of tokens. A batch holds as many patches as make up the values of `batch`
    patches of the full size with all tokens.
    """

    def __init__(self, tokens: TokenSet, *, patch: int, batch: int, seed: int) -> None:
        self._scale, self._seed = tokens.scale, seed
        self._budget = batch * tokens.tokens * patch**2
        examples = tokens.examples("train")
        choices = [_choice(example, patch, tokens.scale) for example in examples]
        self._choices = [choice for choice in choices if len(choice.corners)]
        if not self._choices:
            raise InputError(
                f"no scene has {_SMALLEST} x {_SMALLEST} low-resolution pixels without missing "
                "values",
                where=tokens.folder,
                hint="larger scenes, or a smaller --scale",
            )

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Batch number `step`: low (N, k, p, p), high (N, k, np, np), weights (N, k)."""
        rng = np.random.default_rng((self._seed, step))
        first = self._chosen(self._choices, 1, rng)[0]
        alike = [choice for choice in self._choices if choice.kind == first.kind]
        count = max(1, self._budget // (first.size * first.patch**2))
        parts = [self._patch(choice, rng) for choice in self._chosen(alike, count, rng)]
        low, high, weights = (torch.stack(part) for part in zip(*parts, strict=True))
        return low, high, weights

    @staticmethod
    def _chosen(choices: list[_Choice], count: int, rng: np.random.Generator) -> list[_Choice]:
        shares = np.array([choice.share for choice in choices])
        return [choices[i] for i in rng.choice(len(choices), count, p=shares / shares.sum())]

    def _patch(self, choice: _Choice, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        row, col = rng.choice(choice.corners).tolist()
        window, turn = Window(row, col, choice.patch, choice.patch), int(rng.integers(8))
        example, absent = choice.example, choice.size - len(choice.example.weights)
        low = turned(example.low[:, *window.slices], turn)
        high = turned(example.high[:, *window.zoomed(self._scale).slices], turn)
        low, high = (pad(side, (0, 0, 0, 0, 0, absent)) for side in (low, high))
        return low, high, torch.from_numpy(np.pad(example.weights, (0, absent)))


def _choice(example: Example, patch: int, scale: int) -> _Choice:
    side = min(patch, *example.low.shape[1:])
    if side < min(patch, _SMALLEST) or not len(example.weights):
        return _Choice(example, side, np.empty((0, 2), np.int64))
    return _Choice(example, side, corners(example.low, example.high, side, scale))
