"""What unmixing is worth to a network: trainings that differ in one switch, and what that shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import product
from math import isfinite, sqrt

from scipy.stats import t

from hsisr.checkpoint import load
from hsisr.commutation import Commutation, commutation
from hsisr.errors import UsageError
from hsisr.fit import MODEL
from hsisr.patches import open_patches
from hsisr.recipe import Recipe
from hsisr.scoreboard import Entry, Table
from hsisr.standings import Standing, difference
from hsisr.trial import Cell, Terms, Variant
from hsisr_models.relation import KINDS
from hsisr_models.sr import SHELF as NETWORKS

OFF = "off"
"""The variant without unmixing, by which all others are judged."""
MODULE = "mam"
"""The variant with the material-aware module alone."""
_ROUNDED = 0.005
"""Differences in dB that a table rounds to nothing."""
_SAID = {
    "nothing": "within one standard deviation of the seeds, which shows nothing",
    "higher": "higher by more than one standard deviation of the seeds",
    "lower": "lower by more than one standard deviation of the seeds",
}
BETAS = (1e-3, 0.02, 0.2)
"""Weights of the loss on abundances: of the paper's Eq. 12, one between, of its section IV-A."""


@dataclass(frozen=True)
class Plan:
    """Which kinds and weights of the loss on abundances are tried; raises `UsageError`."""

    relations: Sequence[str] = KINDS
    betas: Sequence[float] = BETAS
    full: bool = False
    """Whether every kind is tried with every weight."""

    def __post_init__(self) -> None:
        for relation in self.relations:
            if relation not in KINDS:
                raise UsageError(
                    f"no relation of abundances '{relation}'", hint=f"one of {', '.join(KINDS)}"
                )
        for beta in self.betas:
            if not (isfinite(beta) and beta > 0):
                raise UsageError(
                    f"--beta {beta:g} should be positive",
                    hint=f"without the loss on abundances is among the variants: {OFF}, {MODULE}",
                )
        if not self.relations or not self.betas:
            raise UsageError("nothing to try", hint="--relation pool --beta 1e-3")

    def centre(self, recipe: Recipe) -> tuple[str, float]:
        """The kind and the weight that others are tried around: the recipe's, if it is asked for,
        else the first."""
        relation, beta = recipe.sr.relation, recipe.sr.loss.get("abundance", 0.0)
        return (
            relation if relation in self.relations else self.relations[0],
            beta if beta in self.betas else self.betas[0],
        )

    def losses(self, recipe: Recipe) -> list[tuple[str, float]]:
        """All kinds with the weight of the centre and all weights with its kind, or all pairs."""
        if self.full:
            return list(product(self.relations, self.betas))
        relation, beta = self.centre(recipe)
        pairs = [(kind, beta) for kind in self.relations]
        return list(dict.fromkeys([*pairs, *((relation, weight) for weight in self.betas)]))


@dataclass(frozen=True)
class Ablation:
    """The variants of a recipe, by the switches that tell them apart."""

    recipe: Recipe
    plan: Plan

    @property
    def whole(self) -> str:
        """The variant with all that the paper adds."""
        name = _loss_name(*self.plan.centre(self.recipe))
        return f"{name}+{MODULE}" if self.has_module else name

    @property
    def control(self) -> str:
        """The same through an unmixing network with random weights."""
        return f"random-{self.whole}"

    @property
    def has_module(self) -> bool:
        """Whether the network has the material-aware module, and the recipe leaves it on."""
        numbers = self.recipe.sr
        # one that is not known is told of by those who train it
        if numbers.network not in NETWORKS or numbers.numbers.get("material") == "off":
            return False
        return "material" in signature(NETWORKS[numbers.network].build).parameters

    @property
    def variants(self) -> list[Variant]:
        """Without unmixing; with the loss alone; with the module alone; with both; the control."""
        pairs, centre = self.plan.losses(self.recipe), self.plan.centre(self.recipe)
        whole = self._with(*centre)
        found = [Variant(OFF, self.recipe, "none")]
        found += [Variant(_loss_name(*pair), self._bare(*pair), "trained") for pair in pairs]
        if self.has_module:
            found.append(Variant(MODULE, self._with(centre[0], 0.0), "trained"))
            found.append(Variant(self.whole, whole, "trained"))
        return [*found, Variant(self.control, whole, "random")]

    def _with(self, relation: str, beta: float) -> Recipe:
        numbers = self.recipe.sr
        loss = {**numbers.loss, "abundance": beta}
        return replace(self.recipe, sr=replace(numbers, relation=relation, loss=loss))

    def _bare(self, relation: str, beta: float) -> Recipe:
        """The same without the material-aware module."""
        recipe = self._with(relation, beta)
        if not self.has_module:
            return recipe
        numbers = {**recipe.sr.numbers, "material": "off"}
        return replace(recipe, sr=replace(recipe.sr, numbers=numbers))

    @property
    def legend(self) -> list[str]:
        """What the names of the variants mean."""
        relation, beta = self.plan.centre(self.recipe)
        lines = [
            f"{OFF}: without unmixing; {_loss_name(relation, beta)}: with the loss on abundances, "
            f"its kind and weight (Eq. 11 and 12), alone",
            f"{self.control}: as {self.whole}, but the unmixing network has random weights",
        ]
        if self.has_module:
            lines.insert(1, f"{MODULE}: with the material-aware module alone; {self.whole}: both")
        return lines

    def differences(self, title: str, rows: Sequence[Standing]) -> Table:
        """Every variant minus that without unmixing, then the whole minus its control."""
        by_name = {row.name: row for row in rows}
        asked = [(variant.name, OFF) for variant in self.variants if variant.name != OFF] + [
            (self.whole, self.control)
        ]
        found = [
            difference(f"{one} − {other}", by_name[one], by_name[other])
            for one, other in asked
            if one in by_name and other in by_name
        ]
        changes = [row for row in found if row]
        return Table(
            f"{title}: differences",
            [Entry(row.name, row.measures, row.facts) for row in changes],
            ["paired by the seed", *conclusions(changes)],
        )


def _loss_name(relation: str, beta: float) -> str:
    return f"{relation}-{beta:g}"


def conclusions(changes: Sequence[Standing], measure: str = "psnr") -> list[str]:
    """What differences show and what they do not, in words.

    Within one standard deviation of the seeds, or rounded to nothing in the table, a difference
    shows nothing. Of those beyond it some are there by chance; how many is told, by Student's t of
    paired differences.
    """
    counted = [row for row in changes if row.deviation(measure) is not None]
    if not counted:
        return ["from one seed it cannot be told whether a difference is more than chance"]
    kinds: dict[str, list[str]] = {kind: [] for kind in _SAID}
    for row in counted:
        mean, deviation = row.mean(measure), row.deviation(measure) or 0.0
        shows = abs(mean) > max(deviation, _ROUNDED)
        kinds[("higher" if mean > 0 else "lower") if shows else "nothing"].append(row.name)
    seeds = min(len(row.scores) for row in counted)
    chance = 2 * t.sf(sqrt(seeds), seeds - 1)
    return [
        *(f"{measure.upper()} {_SAID[kind]}: {', '.join(n)}" for kind, n in kinds.items() if n),
        f"if nothing made a difference, {chance:.0%} of the rows would be beyond it by chance, "
        f"with {seeds} seeds",
    ]


def commutations(title: str, cells: Sequence[Cell], terms: Terms) -> Table:
    """How well the unmixing networks of trained cells change places with the degradation.

    The cells share a data set and a scale, and all of a seed share a network of each kind.
    """
    found: dict[str, dict[int, Commutation]] = {"trained": {}, "random": {}}
    for cell in cells:
        path = terms.place(cell) / MODEL
        known = found.get(cell.variant.unmixing)
        if known is not None and cell.seed not in known and path.exists():
            patches = open_patches(terms.home(cell.dataset, cell.scale))
            known[cell.seed] = commutation(load(path).unmixer(), patches, "test")
    rows = [Entry(f"{name} unmixing", _errors(some.values()), {}) for name, some in found.items()]
    notes = [
        "error: mean of |pool(Enc(HR)) − Enc(LR)| over endmembers and pixels of the test blocks",
        "spread: mean of |Enc(LR) − its mean over pixels|, the error of maps that show nothing",
    ]
    return Table(f"{title}: commutation of unmixing and degradation", rows, notes)


def _errors(found: Collection[Commutation]) -> dict[str, list[float]]:
    return {
        "error": [one.error for one in found],
        "spread": [one.spread for one in found],
        "error / spread": [one.relative for one in found],
    }
