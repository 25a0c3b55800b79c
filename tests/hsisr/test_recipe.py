"""Every recipe that comes with hsisr can be trained with, and every mistake is explained."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import hsisr_models
from hsisr import recipe as recipes
from hsisr.checkpoints.building import build_network
from hsisr.checkpoints.checkpoint import load
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.data.sampler import Sampler
from hsisr.errors import UsageError
from hsisr.recipe import Training
from hsisr.runtime import Runtime
from hsisr.training.fit import Work, fit
from hsisr.training.steps import SrStep, UnmixStep, total_loss

FOLDER = Path(hsisr_models.__file__).parent / "recipes"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.toml"))]


def one_step(training: Training) -> Training:
    return Training(**{**vars(training), "epochs": 1, "steps": 1, "batch": 2, "patch": 5})


def test_the_recipes_are_the_files_of_their_folder() -> None:
    assert recipes.names() == NAMES
    assert {"default", "paper", "tiny"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_steps_of_a_recipe_build_and_train(
    name: str, tmp_path: Path, patches: Callable[..., PatchSet], cpu: Runtime
) -> None:
    recipe, prepared = recipes.load(name), patches()
    torch.manual_seed(0)
    build_network(recipe.sr, bands=prepared.bands, scale=prepared.scale, endmembers=0)
    if recipe.sr.numbers.get("width", 0) > 64:
        # a step of millions of weights takes seconds
        recipe = recipes.load(name, ["sr.numbers.width=24"])
    unmix = UnmixStep(prepared, recipe, seed=0)
    steps = [(unmix, recipe.unmix.loss, recipe.unmix.training, tmp_path / "unmix")]
    for task, weights, training, folder in steps:
        training = one_step(training)
        batches = Sampler(prepared, patch=training.patch, batch=training.batch, seed=0)
        before = [value.clone() for value in task.trainable.parameters()]
        work = Work(task, partial(total_loss, weights=weights), batches, training)
        (report,) = fit(work, folder, cpu)
        assert all(math.isfinite(value) for value in report.losses.values())
        assert set(report.losses) == {"total", *weights}
        after = list(task.trainable.parameters())
        assert all(bool(value.isfinite().all()) for value in after)
        assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
        assert report.best
        if task is unmix:
            found = load(folder / MODEL)
            task = SrStep(prepared, recipe, found, cpu.device)
            steps.append((task, task.loss, recipe.sr.training, tmp_path / "sr"))
    resolver = load(tmp_path / "sr" / MODEL).resolver()
    local = None not in (resolver.network.reach, unmix.network.reach)
    assert (resolver.reach is not None) == local


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_recipe_is_in_its_file(name: str) -> None:
    """Nothing comes from a default in the code; a step that is left out is that of `default`."""
    tables = tomllib.loads((FOLDER / "default.toml").read_text())
    tables |= tomllib.loads((FOLDER / f"{name}.toml").read_text())
    assert recipes.load(name).to_dict() == recipes.from_dict({"name": name, **tables}).to_dict()
    for part, builder in (("sr", "network"), ("unmix", "method")):
        kept = recipes.load(name).to_dict()[part]
        assert kept["numbers"] == tables[part]["numbers"]
        assert kept[builder] == tables[part][builder]


def test_the_paper_recipe_is_the_paper() -> None:
    paper = recipes.load("paper")
    assert paper.sr.numbers["depth"] == 9
    assert paper.sr.loss == {"l1": 1.0, "sad": 0.1, "abundance": 0.2}
    assert paper.unmix.loss == {"l1": 1.0, "sad": 0.1, "smoothness": 1e-3}
    assert paper.unmix.initialise == "random"
    for training in (paper.unmix.training, paper.sr.training):
        assert (training.learning_rate, training.halve_every) == (5e-4, 40)
        assert training.betas == (0.9, 0.99)
        assert training.patch == 16


def test_numbers_can_be_overridden() -> None:
    changed = recipes.load(
        "default",
        [
            "sr.training.batch=3",
            "unmix.loss.sad = 0",
            "sr.numbers.skip=feature",
            "sr.relation='hr'",
        ],
    )
    assert changed.sr.training.batch == 3
    assert changed.unmix.loss["sad"] == 0
    assert changed.sr.numbers["skip"] == "feature"
    assert changed.sr.relation == "hr"
    assert changed.sr.training.patch == recipes.load("default").sr.training.patch


def test_the_order_of_terms_in_a_file_changes_nothing() -> None:
    """A model tells its recipe in alphabetical order, and has to be made again by it."""
    given = recipes.load("default")
    turned = given.to_dict()
    turned["sr"]["loss"] = dict(reversed(given.sr.loss.items()))
    turned["sr"]["numbers"] = dict(reversed(given.sr.numbers.items()))
    again = recipes.from_dict(turned)
    assert len(given.sr.loss) > 1
    assert list(again.sr.loss) == list(given.sr.loss)
    assert list(again.sr.numbers) == list(given.sr.numbers)


def test_a_recipe_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "default.toml").read_text())
    mine = recipes.load(str(path))
    assert mine.name == "mine"
    assert mine.sr == recipes.load("default").sr


def test_a_step_that_a_recipe_leaves_out_is_that_of_default(tmp_path: Path) -> None:
    text = (FOLDER / "any.toml").read_text()
    assert "[unmix" not in text
    found = recipes.load("any", ["unmix.endmembers=9"])
    default = recipes.load("default")
    assert found.unmix == replace(default.unmix, endmembers=9)
    assert found.sr != default.sr
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert recipes.load(str(path)).sr == recipes.load("any").sr
    # a step is not patched together from two recipes
    path.write_text("[sr]\nnetwork = 'subspace_sr'")
    with pytest.raises(UsageError, match="lacks relation, numbers, loss, training"):
        recipes.load(str(path))


@pytest.mark.parametrize(
    ("override", "what", "hint"),
    [
        ("sr.training.bach=3", "unknown key 'bach'", "did you mean 'batch'"),
        ("sr.training.batch", "sets nothing", "--set"),
        ("=3", "sets nothing", "--set"),
        ("flavour=1", "sets nothing", "--set"),
        ("name.x=3", "should be str", None),
        ("flavour.x=1", "unknown key 'flavour'", None),
        ("sr.network.x=3", "not a key", None),
        ("sr.training.batch=big", "should be int", None),
        ("sr.training.batch=2.5", "should be int", None),
        ("sr.training.batch=true", "should be int", None),
        ("sr.training.batch=0", "should be positive", None),
        ("sr.training.learning_rate=-1", "should be positive", None),
        ("sr.training.learning_rate=inf", "should be positive", None),
        ("sr.training.learning_rate=nan", "should be positive", None),
        ("sr.training.average=1.0", "from 0 to below 1", None),
        ("sr.training.betas=[0.9]", "betas", None),
        ("sr.training.betas=[0.9, 1.5]", "from 0 to below 1", None),
        ("sr.training=3", "should be a table", None),
        ("sr.loss.l1=much", "should be float", None),
        ("unmix.endmembers=many", "should be int", None),
    ],
)
def test_a_mistake_is_explained(override: str, what: str, hint: str | None) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        recipes.load("default", [override])
    assert hint is None or hint in str(caught.value.hint)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("rate", [1e35, 3.4e35, 3.5e35, 3.4e37, 3.5e37, 3.4e38, 3.5e38, 1e300])
def test_the_learning_rate_is_one_that_torch_can_step_by(rate: float, beta: float) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    overrides = [f"sr.training.learning_rate={rate}", f"sr.training.betas=[{beta}, 0.999]"]
    try:
        torch.optim.Adam([weight], lr=rate, betas=(beta, 0.999)).step()
    except RuntimeError:
        with pytest.raises(UsageError, match="beyond single precision"):
            recipes.load("default", overrides)
    else:
        assert recipes.load("default", overrides).sr.training.learning_rate == rate


def test_an_unknown_recipe_names_the_known_ones(tmp_path: Path) -> None:
    for name in ("defualt", str(tmp_path / "none.toml"), "../default", ""):
        with pytest.raises(UsageError) as caught:
            recipes.load(name)
        assert ", ".join(NAMES) in str(caught.value.hint)


def test_a_step_in_part_is_refused_with_what_changes_a_number(tmp_path: Path) -> None:
    path = tmp_path / "part.toml"
    path.write_text("[sr.training]\nepochs = 3\n")
    with pytest.raises(UsageError, match="lacks network, relation, numbers, loss") as caught:
        recipes.load(str(path))
    assert "--set" in str(caught.value.hint)


def test_a_broken_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    for text in ("[sr", "sr = 3", "[unmix]\nmethod = 'x'", "\x00"):
        path.write_text(text)
        with pytest.raises(UsageError):
            recipes.load(str(path))


def test_a_file_that_is_not_text_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError):
        recipes.load(str(path))
