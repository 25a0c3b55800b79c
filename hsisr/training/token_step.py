"""Training a network that works on tokens, as a task for `fit`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.building import build_network
from hsisr.checkpoints.checkpoint import Card, Checkpoint, Part
from hsisr.data.tokens import Example, TokenSet
from hsisr.errors import ModelError, UsageError
from hsisr.recipe import Recipe
from hsisr.training.steps import Scores
from hsisr_models.contract import Outcome
from hsisr_models.imaging import upscale_bicubic
from hsisr_models.networks import TokenNetwork

_WIDEST = 256
"""Low-resolution pixels of an example, along each side, that validation looks at."""


class TokenStep:
    """Predict what bicubic interpolation misses of each token.

    A token counts by the square root of its weight: by the weight itself the faint ones, which
    carry the differences between materials, would not be learned; alike, noise would be. `seed` is
    that of the caller's random numbers, for the model to tell.
    """

    def __init__(
        self,
        tokens: TokenSet,
        recipe: Recipe,
        start: Checkpoint | None = None,
        seed: int | None = None,
    ) -> None:
        self._tokens, self._recipe, self._start, self._seed = tokens, recipe, start, seed
        # one band, because layers for none cannot be made
        network = build_network(recipe.sr, bands=1, scale=tokens.scale, endmembers=0)
        if not isinstance(network, TokenNetwork):
            raise UsageError(
                f"'{recipe.sr.network}' works on spectra, the prepared data are tokens",
                hint="--network subspace_sr, or prepare without --tokens",
            )
        self.network = network
        if start is not None:
            self._take_over(start)
        self.trainable: nn.Module = self.network
        begun = start and start.sha256
        self.identity: Mapping[str, Any] = {**asdict(recipe.sr), "start": begun}

    def _take_over(self, start: Checkpoint) -> None:
        """Begin with the weights of another model; layers of another shape stay as they are."""
        own = self.network.state_dict()
        known = {name.removeprefix("network."): value for name, value in start.tensors.items()}
        fitting = {k: v for k, v in known.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise ModelError("shares no layer with the recipe's network", where=start.path)
        self.network.load_state_dict({**own, **fitting})

    def outcome(self, low: Tensor, high: Tensor, weights: Tensor) -> Outcome:
        """Tokens (N, k, h, w), (N, k, nh, nw) and their weights (N, k)."""
        share = weights.sqrt()[:, :, None, None]
        missed = high - upscale_bicubic(low, self._tokens.scale)
        return Outcome(truth=missed * share, estimate=self.network.refine(low, weights) * share)

    def after_step(self) -> None:
        """Nothing to keep in bounds."""

    def validate(self) -> Scores:
        """PSNR over the spectra's differences from their mean, averaged over the scenes.

        The peak is the scene's standard deviation along its first axis.
        """
        return {"psnr": self.score("validation")}

    def score(self, split: str) -> float:
        """The PSNR of `validate` on any split."""
        return self._psnr(split, self.network)

    @staticmethod
    def merit(scores: Scores) -> float:
        """What the best weights are chosen by; higher is better."""
        return scores["psnr"]

    def reference(self) -> Scores:
        """The same for bicubic interpolation."""
        return {"psnr": self._psnr("validation", None)}

    @torch.no_grad()
    def _psnr(self, split: str, network: TokenNetwork | None) -> float:
        device = next(self.network.parameters()).device
        values = []
        for example in self._tokens.examples(split):
            low, high, weights = (part.to(device) for part in _tensors(example, self._tokens.scale))
            missed = high - upscale_bicubic(low, self._tokens.scale)
            if network is not None:
                missed = missed - network.refine(low, weights)
            values.append(_decibels(missed * weights[:, :, None, None]))
        return float(np.mean(values))

    def save(self, path: Path, scores: Scores) -> None:
        """Write the network as a model for any scene."""
        manifest = self._tokens.manifest
        card = Card(
            kind="sr",
            bands=0,
            scale=self._tokens.scale,
            peak=1.0,
            network=Part(self._recipe.sr.network, self._recipe.sr.numbers),
            degradation=manifest["degradation"],
            recipe=self._recipe.to_dict(),
            data={key: manifest[key] for key in ("scenes", "tokens")},
            scores=scores,
            parent=self._start.sha256 if self._start else None,
        )
        if self._seed is not None:
            card.data["seed"] = self._seed
        checkpoint.save(path, card, {"network": self.network})


def _tensors(example: Example, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """An example as a batch of one, cut to a bounded size."""
    low, high = example.low[:, :_WIDEST, :_WIDEST], example.high
    rows, cols = (side * scale for side in low.shape[1:])
    sides = (torch.from_numpy(np.array(part)) for part in (low, high[:, :rows, :cols]))
    low_tokens, high_tokens = (side.nan_to_num(0)[None] for side in sides)
    return low_tokens, high_tokens, torch.from_numpy(example.weights)[None]


def _decibels(error: Tensor) -> float:
    """Of errors (1, k, h, w) in units of the peak, summed over the tokens of a pixel."""
    return -10 * math.log10(float(error.square().sum(1).mean()))
