"""The two training steps of the paper (III-E), as tasks for `fit`.

Step I trains the unmixing network on low-resolution scenes. Step II trains the super-resolution
network *through* the frozen unmixing network: gradients flow through it, its weights do not move.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.building import build_network, build_relation, build_unmixing, explained
from hsisr.checkpoints.checkpoint import Card, Checkpoint, Part
from hsisr.cube import Block
from hsisr.data.patches import PatchSet
from hsisr.errors import ModelError, UsageError
from hsisr.recipe import Recipe
from hsisr.scene import gaps
from hsisr.training.initial import RANDOM, initial_endmembers
from hsisr.wording import counted
from hsisr_models.contract import Outcome
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.metrics import SHELF as METRICS
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import bicubic

RESOLUTIONS = ("low", "high")
"""The two prepared resolutions, either of which can be unmixed."""
Scores = dict[str, float]
_TOLD = ("scenes", "protocol", "shares", "gap", "peak_is")
"""Keys of the manifest that a model keeps."""
_CHOSEN = ("seed", "resolution")
"""Options of the unmixing network inside that a model keeps as well."""


class UnmixStep:
    """Step I: reconstruct a scene from its abundances (Eq. 8); in the paper that of low resolution.

    `resolution` is one of `RESOLUTIONS`.
    """

    def __init__(
        self, patches: PatchSet, recipe: Recipe, seed: int, resolution: str = "low"
    ) -> None:
        numbers = recipe.unmix
        self._patches, self._recipe, self._resolution = patches, recipe, resolution
        self._seed = seed
        self._which = RESOLUTIONS.index(resolution)
        self.network = build_unmixing(numbers, bands=patches.bands)
        if numbers.initialise != RANDOM:
            with explained(numbers.initialise, "start from"):
                spectra = initial_endmembers(patches, self._which, numbers, seed)
            self.network.set_endmembers(spectra.clamp_min(0))
        self.trainable: nn.Module = self.network
        settled = {"seed": seed, "resolution": resolution}
        self.identity: Mapping[str, Any] = {**asdict(numbers), **settled}

    def outcome(self, low: Tensor, high: Tensor) -> Outcome:
        """The reconstruction of one resolution; the other is not looked at."""
        scene = (low, high)[self._which]
        abundances, own = self.network.encode_with_terms(scene)
        return Outcome(
            truth=scene,
            estimate=self.network.decode(abundances),
            endmembers=self.network.endmembers,
            start=self.network.start,
            abundances=abundances,
            own=own,
        )

    def after_step(self) -> None:
        """Keep the endmembers non-negative, where the method leaves that to projection."""
        self.network.project()

    def validate(self) -> Scores:
        """Loss, error and spectral angle of the reconstruction on the validation blocks.

        `rarest` is the mean abundance of the least used endmember; a dead one has next to none.
        """
        device = self.network.endmembers.device
        blocks = [pair[self._which] for pair in self._patches.blocks("validation")]
        scenes = [_tensor(_without_holes(block), self._patches.peak).to(device) for block in blocks]
        outcomes = [self.outcome(scene, scene) for scene in scenes]
        losses = [float(total_loss(outcome, self._recipe.unmix.loss)[0]) for outcome in outcomes]
        pairs = (
            (_tensor(block, self._patches.peak)[0], outcome.estimate[0].cpu())
            for block, outcome in zip(blocks, outcomes, strict=True)
        )
        shares = torch.stack([_shares(outcome) for outcome in outcomes]).mean(0)
        return {
            "loss": float(np.mean(losses)),
            **score(pairs, ("rmse", "sam"), ratio=1),
            "rarest": float(shares.min()),
        }

    @staticmethod
    def merit(scores: Scores) -> float:
        """What the best weights are chosen by; higher is better."""
        return -scores["loss"]

    def reference(self) -> Scores:
        """Nothing to compare with."""
        return {}

    def save(self, path: Path, scores: Scores) -> None:
        """Write the network as a model."""
        checkpoint.save(path, self.card(scores), {"unmixer": self.network})

    def card(self, scores: Scores) -> Card:
        """What the model says of itself."""
        numbers = self._recipe.unmix
        card = Card(
            kind="unmix",
            bands=self._patches.bands,
            scale=1,
            peak=self._patches.peak,
            unmixer=Part(numbers.method, numbers.numbers),
            endmembers=numbers.endmembers,
            **_provenance(self._patches, self._recipe),
            scores=scores,
        )
        card.data.update(seed=self._seed, resolution=self._resolution)
        return card


def untrained(patches: PatchSet, recipe: Recipe, seed: int) -> Checkpoint:
    """The unmixing model of a recipe with random weights: the control to a trained one.

    If it helps as much, it is not unmixing that helps. Its endmembers are random too: step II
    never looks at them. The random numbers of the caller are left alone, so that networks built
    afterwards begin alike with and without it.
    """
    random = replace(recipe, unmix=replace(recipe.unmix, initialise=RANDOM))
    with torch.random.fork_rng(devices=()):
        # a seed of its own, or its weights would be those of the network it is the control of
        torch.manual_seed(crc32(f"unmixing {seed}".encode()))
        step = UnmixStep(patches, random, seed)
    card = step.card({})
    card.data["unmixing"] = checkpoint.RANDOM
    return checkpoint.unsaved(card, {"unmixer": step.network})


class SrStep:
    """Step II: sharpen, and let the frozen unmixing network judge the materials (Eq. 12).

    `seed` is that of the caller's random numbers, for the model to tell.
    """

    def __init__(
        self,
        patches: PatchSet,
        recipe: Recipe,
        unmix: Checkpoint | None,
        device: torch.device,
        seed: int | None = None,
    ) -> None:
        self._patches, self._unmix, self._seed = patches, unmix, seed
        self._recipe = recipe if unmix else _without_unmixing(recipe)
        numbers = self._recipe.sr
        if unmix and unmix.card.bands != patches.bands:
            raise ModelError(
                f"was trained for {counted(unmix.card.bands, 'band')}, "
                f"the scenes have {patches.bands}",
                where=unmix.path,
            )
        endmembers = unmix.card.endmembers if unmix else 0
        self.network = build_network(
            numbers, bands=patches.bands, scale=patches.scale, endmembers=endmembers
        )
        self._unmixer = unmix.unmixer().to(device) if unmix else None
        relation = build_relation(numbers, scale=patches.scale, endmembers=endmembers)
        self._relation = relation if unmix else None
        parts = {"network": self.network, "relation": self._relation}
        self.trainable: nn.Module = nn.ModuleDict({k: v for k, v in parts.items() if v is not None})
        judge = unmix and unmix.sha256
        self.identity: Mapping[str, Any] = {**asdict(numbers), "unmixing": judge}
        if not any(True for _ in self.trainable.parameters()):
            raise UsageError(f"'{numbers.network}' has nothing to train")

    @property
    def loss(self) -> dict[str, float]:
        """The weights of the loss terms; without an unmixing network none needs abundances."""
        return self._recipe.sr.loss

    def after_step(self) -> None:
        """Nothing to keep in bounds."""

    def outcome(self, low: Tensor, high: Tensor) -> Outcome:
        """The sharpened scene, the abundances of both resolutions, and another task's results."""
        found = self._sharpened(low, high)
        other = self.network.auxiliary(low, high) if self.loss.get("auxiliary") else None
        if other is None:
            return found
        truth, estimate = other
        return replace(found, auxiliary=estimate, auxiliary_truth=truth)

    def _sharpened(self, low: Tensor, high: Tensor) -> Outcome:
        if self._unmixer is None or self._relation is None:
            return Outcome(truth=high, estimate=self.network(low))
        with torch.no_grad():
            coarse = self._unmixer.encode(low)
        estimate = self.network(low, coarse)
        if not self._recipe.sr.loss.get("abundance"):
            return Outcome(truth=high, estimate=estimate)
        fine = self._unmixer.encode(estimate)
        with torch.no_grad():
            true = self._unmixer.encode(high) if self._recipe.sr.relation == "hr" else None
        abundances, expected = self._relation(fine, coarse, true)
        return Outcome(
            truth=high,
            estimate=estimate,
            endmembers=self._unmixer.endmembers,
            abundances=abundances,
            expected=expected,
        )

    def validate(self) -> Scores:
        """PSNR and spectral angle on the validation blocks."""
        return self._scores(SuperResolver(self.network, self._unmixer))

    @staticmethod
    def merit(scores: Scores) -> float:
        """What the best weights are chosen by; higher is better."""
        return scores["psnr"]

    def reference(self) -> Scores:
        """The same for bicubic interpolation."""
        return self._scores(bicubic.build(bands=self._patches.bands, scale=self._patches.scale))

    def _scores(self, resolve: nn.Module) -> Scores:
        device = next(self.network.parameters()).device
        pairs = (
            (
                _tensor(high, self._patches.peak)[0],
                resolve(_tensor(_without_holes(low), self._patches.peak).to(device))[0].cpu(),
            )
            for low, high in self._patches.blocks("validation")
        )
        return score(pairs, ("psnr", "sam"), ratio=self._patches.scale)

    def save(self, path: Path, scores: Scores) -> None:
        """Write both networks as one model."""
        numbers, unmix = self._recipe.sr, self._unmix
        card = Card(
            kind="sr",
            bands=self._patches.bands,
            scale=self._patches.scale,
            peak=self._patches.peak,
            network=Part(numbers.network, numbers.numbers),
            unmixer=unmix.card.unmixer if unmix else None,
            endmembers=unmix.card.endmembers if unmix else 0,
            **_provenance(self._patches, self._recipe, unmix),
            scores=scores,
            parent=unmix.sha256 if unmix else None,
        )
        if self._seed is not None:
            card.data["seed"] = self._seed
        if unmix and unmix.card.unmixes_at_random:
            card.data["unmixing"] = checkpoint.RANDOM
        elif unmix:
            inside = unmix.card.data
            card.data.update({f"unmixing_{key}": inside[key] for key in _CHOSEN if key in inside})
        parts = {"network": self.network, "unmixer": self._unmixer}
        checkpoint.save(path, card, {k: v for k, v in parts.items() if v is not None})


def total_loss(outcome: Outcome, weights: dict[str, float]) -> tuple[Tensor, Scores]:
    """The weighted sum of the loss terms, and each term's unweighted value."""
    total = outcome.estimate.new_zeros(())
    values = {}
    for name, weight in weights.items():
        if weight:
            own = outcome.own.get(name)
            term = LOSSES[name].loss(outcome) if own is None else own
            total = total + weight * term
            values[name] = float(term.detach())
    return total, values


def score(pairs: Iterable[tuple[Tensor, Tensor]], metrics: Sequence[str], ratio: int) -> Scores:
    """The mean over blocks of measures of (truth, estimate), both (B, h, w) and normalised.

    A block in which a measure is undefined, because it holds no data, does not count.
    """
    rows = []
    for truth, estimate in pairs:
        meters = {name: METRICS[name].meter(peak=1.0, ratio=ratio) for name in metrics}
        for meter in meters.values():
            meter.update(truth, estimate.float())
        rows.append({name: meter.result() for name, meter in meters.items()})
    values = {name: [row[name] for row in rows if not math.isnan(row[name])] for name in metrics}
    return {name: float(np.mean(some)) if some else math.nan for name, some in values.items()}


def _shares(outcome: Outcome) -> Tensor:
    """The mean abundance of every endmember (p,)."""
    assert outcome.abundances is not None
    return outcome.abundances.mean((0, 2, 3))


def _without_unmixing(recipe: Recipe) -> Recipe:
    loss = {name: weight for name, weight in recipe.sr.loss.items() if name != "abundance"}
    return replace(recipe, sr=replace(recipe.sr, loss=loss))


def _provenance(
    patches: PatchSet, recipe: Recipe, unmix: Checkpoint | None = None
) -> dict[str, Any]:
    """The provenance fields of a card; the recipe of `unmix` is that it was trained by."""
    manifest = patches.manifest
    known = {"unmix": unmix.card.recipe["unmix"]} if unmix and unmix.card.recipe else {}
    return {
        "wavelengths_nm": patches.spectrum and patches.spectrum.centres_nm,
        "degradation": manifest["degradation"],
        "recipe": recipe.to_dict() | known,
        # a published protocol has neither shares nor a gap
        "data": {key: manifest[key] for key in _TOLD if key in manifest},
    }


def _tensor(block: Block, peak: float) -> Tensor:
    return torch.from_numpy(np.array(block))[None] / peak


def _without_holes(block: Block) -> Block:
    return gaps.fill(block, gaps.band_means(block))
