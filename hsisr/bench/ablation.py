"""The variants of a recipe that tell what unmixing is worth, one switch changed in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import product
from math import isfinite

from hsisr.bench.trial import Variant
from hsisr.errors import UsageError, require_known
from hsisr.recipe import Recipe
from hsisr_models.relation import KINDS
from hsisr_models.sr import SHELF as NETWORKS

OFF = "off"
"""The variant without unmixing, by which all others are judged."""
MODULE = "mam"
"""The variant with the material-aware module alone."""
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
            require_known("relation of abundances", relation, KINDS)
        for beta in self.betas:
            if not (isfinite(beta) and beta > 0):
                raise UsageError(
                    f"--beta {beta:g} should be positive",
                    hint=f"without the loss on abundances is among the variants: {OFF}, {MODULE}",
                )
        if not self.relations or not self.betas:
            raise UsageError("nothing to try", hint="--relation pool --beta 1e-3")

    def centre(self, recipe: Recipe) -> tuple[str, float]:
        """The kind and the weight that others are tried around.

        They are the recipe's where it is among those that are asked for, else the first.
        """
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
    def pairs(self) -> list[tuple[str, str]]:
        """Which variants are compared: all with none, the whole with its control."""
        others = [(variant.name, OFF) for variant in self.variants if variant.name != OFF]
        return [*others, (self.whole, self.control)]

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


def _loss_name(relation: str, beta: float) -> str:
    return f"{relation}-{beta:g}"
