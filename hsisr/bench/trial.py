"""A comparison on equal terms: its data sets, variants of networks, and results.

A cell of the comparison is one variant, trained on one data set at one scale from one seed; it has
a folder of its own, in which its training and, in the end, its result are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from hsisr import recipe as recipes
from hsisr.bench.budget import Budget
from hsisr.bench.records import plain, read
from hsisr.data.patches import PatchSet
from hsisr.evaluate import DEFAULT
from hsisr.files import write_json
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime

RESULT = "result.json"
_SCHEMA = "hsisr/cell/1"


class Dataset(Protocol):
    """Data that networks are trained and tested on, at one scale."""

    @property
    def name(self) -> str:
        """Unique among those of a comparison, and fit for the name of a folder."""

    def identity(self) -> Mapping[str, Any]:
        """Everything that what is prepared depends on; raises `InputError`."""

    def prepare(self, run: Path) -> Iterator[tuple[int, int]]:
        """Write it to `run`/data, yielding (parts done, parts in all); raises `InputError`."""


@dataclass(frozen=True)
class Variant:
    """One way to train a network, a row of the table."""

    name: str
    recipe: Recipe
    unmixing: str
    """`none`, or through an unmixing network: `trained` before, or `random`, the control."""


def own_recipe(network: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe by which a network is published; without one, that by which `default` is trained.

    `settings` are as for `recipe.load`. Raises `UsageError`.
    """
    name = network if network in recipes.names() else "default"
    found = recipes.load(name, settings)
    if found.sr.network == network:
        return found
    keys = {setting.partition("=")[0].strip() for setting in settings}
    numbers = {k: v for k, v in found.sr.numbers.items() if f"sr.numbers.{k}" in keys}
    return replace(found, sr=replace(found.sr, network=network, numbers=numbers))


@dataclass(frozen=True)
class Cell:
    """One training and its test."""

    dataset: str
    scale: int
    variant: Variant
    seed: int

    @property
    def label(self) -> str:
        """Which one, in a few words."""
        return f"{self.dataset} x{self.scale} {self.variant.name} seed {self.seed}"


@dataclass(frozen=True)
class Terms:
    """What holds for all cells alike."""

    folder: Path
    budget: Budget
    runtime: Runtime
    overwrite: bool = False
    """Whether everything is done anew."""
    metrics: str = DEFAULT
    """The preset of the measures."""

    def home(self, dataset: str, scale: int) -> Path:
        """Where everything about a data set at one scale lies."""
        return self.folder / f"{dataset}_x{scale}"

    def place(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.home(cell.dataset, cell.scale) / f"{cell.variant.name}_seed{cell.seed}"

    def plan(self, cell: Cell) -> Path:
        """The file that says how long a variant is trained, from whatever seed."""
        return self.home(cell.dataset, cell.scale) / f"{cell.variant.name}_plan.json"

    def unmixing(self, cell: Cell) -> Path:
        """The folder of the unmixing network that all cells of a seed are trained through."""
        return self.home(cell.dataset, cell.scale) / f"unmix_seed{cell.seed}"

    @property
    def machine(self) -> dict[str, Any]:
        """On what networks are trained, as far as it matters."""
        return {"device": self.runtime.device.type, "reduced": self.runtime.is_reduced}

    def planned(self, variant: Variant, patches: PatchSet) -> dict[str, Any]:
        """Everything that the length of a variant's training depends on."""
        about = {
            "data": patches.digest,
            "budget": asdict(self.budget),
            # what a time is worth in steps depends on them
            "threads": torch.get_num_threads() if self.budget.minutes else None,
            "unmixing": variant.unmixing,
            "recipe": asdict(variant.recipe.sr),
            "unmix": asdict(variant.recipe.unmix) if variant.unmixing != "none" else None,
            **self.machine,
        }
        result: dict[str, Any] = plain(about)
        return result

    def unmixed(self, cell: Cell, patches: PatchSet) -> dict[str, Any]:
        """Everything that the training of an unmixing network depends on."""
        unmix = asdict(cell.variant.recipe.unmix)
        about = {"data": patches.digest, "unmix": unmix, "seed": cell.seed, **self.machine}
        result: dict[str, Any] = plain(about)
        return result

    def begun(self, cell: Cell, patches: PatchSet) -> dict[str, Any]:
        """Everything that the training of a cell depends on."""
        return {**self.planned(cell.variant, patches), "seed": cell.seed}

    def about(self, cell: Cell, patches: PatchSet) -> dict[str, Any]:
        """Everything that the result of a cell depends on."""
        return {**self.begun(cell, patches), "metrics": self.metrics}


@dataclass(frozen=True)
class Result:
    """What a cell, or a model that others are compared with, has come to."""

    dataset: str
    scale: int
    variant: str
    seed: int | None
    measures: Mapping[str, float]
    facts: Mapping[str, float | None]

    def keep(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write it, with everything that it depends on."""
        write_json(path, {"schema": _SCHEMA, **asdict(self), "about": about})

    @classmethod
    def kept(cls, path: Path, about: Mapping[str, Any]) -> Result | None:
        """The result in a file; None if there is none, or one of other terms."""
        found = read(path)
        if found is None or found.get("schema") != _SCHEMA or found.get("about") != about:
            return None
        return cls(**{key: found[key] for key in cls.__dataclass_fields__})
