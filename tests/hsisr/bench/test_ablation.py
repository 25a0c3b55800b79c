"""The variants of an ablation have the switches that their names say, and no others."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
import torch

from hsisr import recipe as recipes
from hsisr.bench.ablation import Ablation, Plan
from hsisr.bench.trial import Variant, own_recipe
from hsisr.checkpoints.building import build_network
from hsisr.checkpoints.checkpoint import Checkpoint
from hsisr.data.patches import PatchSet
from hsisr.errors import UsageError
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime
from hsisr.training.steps import SrStep, total_loss, untrained
from hsisr_models.relation import KINDS
from hsisr_models.sr import SHELF as NETWORKS
from tests.hsisr.trials import small

DEFAULT = [
    "off",
    "pool-0.001",
    "nearest-0.001",
    "hr-0.001",
    "deconv-0.001",
    "pool-0.02",
    "pool-0.2",
    "mam",
    "pool-0.001+mam",
    "random-pool-0.001+mam",
]


def named(recipe: Recipe, plan: Plan | None = None) -> dict[str, Variant]:
    return {one.name: one for one in Ablation(recipe, plan or Plan()).variants}


def test_kinds_and_weights_are_tried_around_those_of_the_recipe() -> None:
    assert list(named(small())) == DEFAULT


def test_all_kinds_can_be_tried_with_all_weights() -> None:
    plan = Plan(full=True)
    found = set(named(small(), plan))
    assert {f"{kind}-{beta:g}" for kind in KINDS for beta in plan.betas} < found
    assert len(found) == len(KINDS) * len(plan.betas) + 4


def test_the_first_that_is_asked_for_is_the_centre_where_the_recipe_is_not_among_them() -> None:
    found = named(small(), Plan(["hr", "nearest"], [0.5, 0.25]))
    wanted = ["off", "hr-0.5", "nearest-0.5", "hr-0.25", "mam", "hr-0.5+mam", "random-hr-0.5+mam"]
    assert list(found) == wanted
    assert found["random-hr-0.5+mam"].recipe == found["hr-0.5+mam"].recipe


@pytest.mark.parametrize("name", DEFAULT)
def test_a_variant_differs_in_its_switches_alone(
    name: str, prepared: PatchSet, unmix: Checkpoint, cpu: Runtime
) -> None:
    """By what is built and what is summed up, not by what the recipe says."""
    base, variant = small(), named(small())[name]
    control = untrained(prepared, variant.recipe, 0)
    through = {"none": None, "trained": unmix, "random": control}[variant.unmixing]
    torch.manual_seed(0)
    step = SrStep(prepared, variant.recipe, through, cpu.device)
    assert step.network.uses_abundances == ("mam" in name)
    scenes = [torch.from_numpy(np.array(block))[None] for block in prepared.blocks("test")[0]]
    _, terms = total_loss(step.outcome(*scenes), step.loss)
    has_loss = name not in ("off", "mam")
    assert set(terms) == {"l1", "sad", *(["abundance"] if has_loss else [])}
    if has_loss:
        kind, _, weight = name.removeprefix("random-").removesuffix("+mam").partition("-")
        assert (variant.recipe.sr.relation, step.loss["abundance"]) == (kind, float(weight))
    assert (variant.unmixing == "none") == (name == "off")
    assert (variant.unmixing == "random") == name.startswith("random-")
    same = replace(
        variant.recipe.sr,
        relation=base.sr.relation,
        loss=base.sr.loss,
        numbers={**variant.recipe.sr.numbers, "material": base.sr.numbers["material"]},
    )
    assert replace(variant.recipe, sr=same) == base


@pytest.mark.parametrize(
    ("network", "settings"), [("subspace_sr", []), ("unmixing_sr", ["sr.numbers.material=off"])]
)
def test_without_the_module_there_are_no_variants_of_it(network: str, settings: list[str]) -> None:
    found = named(own_recipe(network, settings), Plan(["pool"], [0.1]))
    assert list(found) == ["off", "pool-0.1", "random-pool-0.1"]


@pytest.mark.parametrize("network", [name for name in NETWORKS if name in recipes.names()])
def test_networks_of_others_are_taken_apart_by_their_own_recipes(network: str) -> None:
    recipe = own_recipe(network)
    found = named(recipe)
    assert list(found) == DEFAULT
    assert found["pool-0.001+mam"].recipe == recipe
    for name in ("pool-0.2", "mam", "pool-0.001+mam"):
        numbers = found[name].recipe.sr
        with torch.device("meta"):
            built = build_network(numbers, bands=31, scale=4, endmembers=3)
        assert built.uses_abundances == ("mam" in name)


@pytest.mark.parametrize(
    ("relations", "betas", "said"),
    [
        (["pooled"], [0.1], "no relation of abundances 'pooled'"),
        (["pool"], [0.0], "--beta 0 should be positive"),
        (["pool"], [-1.0], "--beta -1 should be positive"),
        (["pool"], [nan], "--beta nan should be positive"),
        (["pool"], [inf], "--beta inf should be positive"),
        ([], [0.1], "nothing to try"),
        (["pool"], [], "nothing to try"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    relations: list[str], betas: list[float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Plan(relations, betas)
