"""The variants of an ablation have the switches that their names say, and no others."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from hsisr.ablation import Ablation, Plan, commutations, conclusions
from hsisr.budget import Budget
from hsisr.checkpoint import Checkpoint, save
from hsisr.commutation import commutation
from hsisr.errors import UsageError
from hsisr.fit import MODEL
from hsisr.patches import PatchSet
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime
from hsisr.standings import Standing
from hsisr.steps import SrStep, total_loss, untrained
from hsisr.trial import Cell, Terms, Variant, own_recipe
from hsisr_models.relation import KINDS
from tests.hsisr.training import small

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


@pytest.mark.parametrize("network", ["mcnet", "sspsr", "rfsr", "essaformer"])
def test_networks_of_others_are_taken_apart_by_their_own_recipes(network: str) -> None:
    recipe = own_recipe(network)
    found = named(recipe)
    assert list(found) == DEFAULT
    assert found["pool-0.001+mam"].recipe == recipe
    assert found["pool-0.2"].recipe.sr.numbers["material"] == "off"


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


def row(name: str, *values: float) -> Standing:
    return Standing(name, {seed: {"psnr": value} for seed, value in enumerate(values)}, {})


def test_differences_are_paired_by_the_seed() -> None:
    """The seeds differ by far more than the variants do."""
    ablation = Ablation(small(), Plan(["pool"], [1e-3]))
    off, both = [30.0, 35.0, 33.0], [30.5, 35.3, 33.4]
    rows = [row("bicubic", 29.0), row("off", *off), row("pool-0.001+mam", *both)]
    table = ablation.differences("scene", rows)
    (entry,) = table.entries
    assert entry.name == "pool-0.001+mam − off"
    assert entry.values("psnr") == pytest.approx([0.5, 0.3, 0.4])
    assert entry.deviation("psnr") == pytest.approx(0.1)
    assert any("higher by more than one standard deviation" in note for note in table.notes)


def test_the_whole_is_held_against_its_control() -> None:
    ablation = Ablation(small(), Plan(["pool"], [1e-3]))
    rows = [row("off", 30.0), row("pool-0.001+mam", 30.5), row("random-pool-0.001+mam", 30.75)]
    found = {entry.name: entry.mean("psnr") for entry in ablation.differences("x", rows).entries}
    assert found == {
        "pool-0.001+mam − off": 0.5,
        "random-pool-0.001+mam − off": 0.75,
        "pool-0.001+mam − random-pool-0.001+mam": -0.25,
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.3, 0.1, 0.2), "higher by more than one standard deviation"),
        ((-0.3, -0.1, -0.2), "lower by more than one standard deviation"),
        ((0.3, -0.2, 0.1), "within one standard deviation of the seeds, which shows nothing"),
        ((0.002, 0.002, 0.002), "within one standard deviation of the seeds, which shows nothing"),
    ],
)
def test_what_a_difference_shows_is_said_in_words(values: tuple[float, ...], said: str) -> None:
    lines = conclusions([row("some", *values)])
    assert [line for line in lines if said in line] == [lines[0]]
    assert lines[0].endswith(": some")


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_how_often_chance_alone_goes_beyond_is_told(seeds: int) -> None:
    """By scipy's test of differences that lie exactly one standard deviation from zero."""
    values = np.arange(seeds, dtype=float)
    values += stdev(values) - values.mean()
    chance = ttest_1samp(values, 0).pvalue
    (line,) = conclusions([row("some", *values)])[1:]
    assert f"{chance:.0%} of the rows" in line
    assert f"with {seeds} seeds" in line


def test_one_seed_shows_nothing() -> None:
    assert "from one seed" in " ".join(conclusions([row("some", 3.0)]))


def test_the_networks_that_the_cells_were_trained_through_are_measured(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, tmp_path: Path
) -> None:
    terms = Terms(tmp_path, Budget(epochs=1), cpu)
    home = terms.home("scene", 2)
    home.mkdir()
    (home / "data").symlink_to(prepared.folder)
    found = {"trained": [unmix], "random": [untrained(prepared, small(), seed) for seed in (0, 1)]}
    variants = named(small())
    cells = []
    for name, kind in (("off", "none"), ("mam", "trained"), (DEFAULT[-1], "random")):
        for seed, network in enumerate(found.get(kind, [unmix])):
            cell = Cell("scene", 2, variants[name], seed)
            terms.place(cell).mkdir()
            save(terms.place(cell) / MODEL, network.card, {"unmixer": network.unmixer()})
            cells.append(cell)
    not_done = Cell("scene", 2, variants["mam"], 1)
    table = commutations("scene", [*cells, not_done], terms)
    for entry, networks in zip(table.entries, found.values(), strict=True):
        errors = [commutation(one.unmixer(), prepared, "test") for one in networks]
        assert entry.values("error") == pytest.approx([one.error for one in errors])
        assert entry.values("error / spread") == pytest.approx([one.relative for one in errors])
