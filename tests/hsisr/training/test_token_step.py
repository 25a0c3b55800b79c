"""Training on tokens: what is learned, what is measured, and a model for scenes of any sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr import recipe as recipes
from hsisr.checkpoints.checkpoint import Checkpoint, load
from hsisr.checkpoints.header import MODEL
from hsisr.cube import ArrayCube, Spectrum
from hsisr.data.token_sampler import TokenSampler
from hsisr.data.tokens import Source, TokenSet, open_tokens, prepare_tokens
from hsisr.errors import ModelError, UsageError
from hsisr.model import load_sr
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.run import run
from hsisr.training.fit import Report, Work, fit
from hsisr.training.steps import total_loss
from hsisr.training.token_step import TokenStep
from hsisr_models.contract import Outcome
from hsisr_models.imaging import upscale_bicubic
from tests.contract.small import shaken
from tests.hsisr.made_up import Parts, mixed_scene, stored_tokens
from tests.hsisr.trials import CPU, advance, ending

_SCHEDULE = "epochs=2 steps=4 batch=2 patch=8 warm_up=2 halve_every=1 validate_every=1"


def small(*more: str, prefix: str = "sr.numbers.") -> Recipe:
    """A recipe of 8 steps with two validations, and other numbers."""
    schedule = [f"sr.training.{number}" for number in _SCHEDULE.split()]
    other = [prefix + number for number in more]
    return recipes.load("any", ["sr.numbers.width=8", "sr.numbers.depth=1", *schedule, *other])


def prepared(run: Path, scale: int = 2) -> TokenSet:
    """Two scenes of different sensors to train on, and one of a third to validate with."""
    run.mkdir(exist_ok=True)
    sources = []
    for bands, split in ((7, "train"), (3, "train"), (12, "validation")):
        file = run / f"{bands}.img"
        file.touch()
        cube = ArrayCube(mixed_scene(bands, 14 * scale, 12 * scale, seed=bands), file)
        sources.append(Source.whole(cube, split, scale))
    list(prepare_tokens(sources, run, scale=scale, operators=["bicubic"], tokens=8))
    return open_tokens(run)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenSet:
    """Prepared at scale 2; not to be changed."""
    return prepared(tmp_path_factory.mktemp("tokens"))


def task(
    data: TokenSet, recipe: Recipe | None = None, start: Checkpoint | None = None, seed: int = 0
) -> TokenStep:
    torch.manual_seed(seed)
    return TokenStep(data, recipe or small(), start)


def reports(
    data: TokenSet, folder: Path, *, recipe: Recipe | None = None, seed: int = 0
) -> Iterator[Report]:
    """A training; the seed is that of the weights it begins with."""
    recipe = recipe or small()
    numbers = recipe.sr.training
    batches = TokenSampler(data, patch=numbers.patch, batch=numbers.batch, seed=0)
    weights = recipe.sr.loss
    step = task(data, recipe, seed=seed)
    work = Work(step, partial(total_loss, weights=weights), batches, numbers)
    return fit(work, folder, CPU)


def saved(path: Path, data: TokenSet, recipe: Recipe | None = None) -> Checkpoint:
    """A model whose every weight is alive."""
    step = task(data, recipe)
    shaken(step.network)
    step.save(path, {"psnr": 1.0})
    return load(path)


def edges(tokens: int, rows: int, cols: int, phase: float) -> Parts:
    """Fields with sharp borders, and their means over 2 x 2 pixels."""
    down, across = np.mgrid[: 2 * rows, : 2 * cols] / 9
    fields = [np.sin(down * (1 + i / 3) + phase) + np.cos(across + i) for i in range(tokens)]
    high = np.sign(np.stack(fields)).astype(np.float32)
    low = high.reshape(tokens, rows, 2, cols, 2).mean((2, 4))
    return low, high, tuple(0.7**index for index in range(tokens))


def test_the_loss_falls_and_bicubic_is_beaten(tmp_path: Path) -> None:
    examples = {"train_a": edges(4, 24, 24, 0), "validation_b": edges(3, 20, 20, 2)}
    data = stored_tokens(tmp_path, 2, 8, examples)
    longer = small(
        *("epochs=80", "halve_every=99", "learning_rate=5e-3", "average=0.5"), prefix="sr.training."
    )
    step, numbers = task(data, longer), longer.sr.training
    batches = TokenSampler(data, patch=numbers.patch, batch=numbers.batch, seed=0)
    unseen = TokenSampler(data, patch=8, batch=4, seed=1).draw(0)

    def loss(outcome: Outcome) -> tuple[torch.Tensor, dict[str, float]]:
        return total_loss(outcome, longer.sr.loss)

    before = loss(step.outcome(*unseen))[0].item()
    *_, last = fit(Work(step, loss, batches, numbers), tmp_path / "sr", CPU)
    assert loss(step.outcome(*unseen))[0].item() < 0.85 * before
    assert last.scores is not None
    assert last.scores["psnr"] > step.reference()["psnr"] + 0.2


@pytest.mark.parametrize("name", ["any", "adapt"])
def test_the_recipes_for_tokens_train(tokens: TokenSet, tmp_path: Path, name: str) -> None:
    numbers = ("epochs=1", "steps=1", "batch=1", "patch=8")
    recipe = recipes.load(name, [f"sr.training.{number}" for number in numbers])
    (report,) = reports(tokens, tmp_path, recipe=recipe)
    assert report.best
    assert np.isfinite(report.losses["total"])
    network = load(tmp_path / MODEL).resolver().network
    assert sum(value.abs().sum() for value in network.head.parameters()) > 0


@pytest.mark.parametrize("stops", [(1, 7), (4, 4), (6, 2), (1,) * 8], ids=str)
def test_stopping_changes_no_bit(tokens: TokenSet, tmp_path: Path, stops: tuple[int, ...]) -> None:
    advance(reports(tokens, tmp_path / "whole"), 8)
    for seed, steps in enumerate(stops):
        # each time it begins with other weights, which the state replaces
        advance(reports(tokens, tmp_path / "parts", seed=seed), steps)
    assert ending(tmp_path / "parts") == ending(tmp_path / "whole")


def interpolated(block: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Cubic convolution (Keys 1981, a = -1/2) of (k, h, w), mirrored at the border."""

    def matrix(size: int) -> NDArray[np.float64]:
        result = np.zeros((size * scale, size))
        for row in range(size * scale):
            place = (row + 0.5) / scale - 0.5
            for near in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
                x = abs(place - near)
                tap = (1.5 * x - 2.5) * x**2 + 1 if x <= 1 else ((2.5 - 0.5 * x) * x - 4) * x + 2
                inside = near % (2 * size)
                result[row, min(inside, 2 * size - 1 - inside)] += tap
        return result

    down, across = (matrix(size) for size in block.shape[1:])
    return np.einsum("rh,khw,cw->krc", down, block, across)


def drawn(rng: np.random.Generator, tokens: int, rows: int, cols: int, scale: int) -> Parts:
    low = rng.normal(size=(tokens, rows, cols)).astype(np.float32)
    high = rng.normal(size=(tokens, rows * scale, cols * scale)).astype(np.float32)
    return low, high, tuple(0.5**index for index in range(tokens))


@pytest.mark.parametrize("scale", [2, 3])
def test_the_score_is_the_psnr_of_the_spectra(
    rng: np.random.Generator, tmp_path: Path, scale: int
) -> None:
    """In decibels below the first token's variance, averaged over the scenes.

    Of a large one, the corner of 256 x 256 low-resolution pixels counts.
    """
    examples = {
        "validation_a": drawn(rng, 4, 9, 7, scale),
        "validation_b": drawn(rng, 2, 258, 3, scale),
        "train_c": drawn(rng, 3, 9, 9, scale),
    }
    step = task(stored_tokens(tmp_path, scale, 8, examples))
    expected = []
    for name in ("validation_a", "validation_b"):
        low, high, weights = examples[name]
        low, high = low[:, :256], high[:, : 256 * scale]
        missed = high - interpolated(low.astype(np.float64), scale)
        squares = (missed * np.array(weights)[:, None, None]) ** 2
        expected.append(-10 * np.log10(squares.sum(0).mean()))
    assert step.reference()["psnr"] == pytest.approx(np.mean(expected), abs=1e-4)
    # the untrained network adds nothing
    assert step.validate() == step.reference()
    assert step.merit(step.validate()) == step.validate()["psnr"]
    shaken(step.network)
    assert step.validate()["psnr"] != pytest.approx(step.reference()["psnr"], abs=1e-2)


def test_a_perfect_network_would_leave_no_loss(tokens: TokenSet) -> None:
    """What is compared, weighed by the root of the tokens' spread, is what bicubic misses."""
    step = task(tokens)
    low, high, weights = TokenSampler(tokens, patch=8, batch=2, seed=0).draw(0)
    outcome = step.outcome(low, high, weights)
    missed = high - upscale_bicubic(low, 2)
    torch.testing.assert_close(outcome.truth, missed * weights.sqrt()[:, :, None, None])
    assert not outcome.estimate.any()


def test_tokens_that_are_not_there_cost_nothing(tokens: TokenSet) -> None:
    step = task(tokens)
    shaken(step.network)
    low, high, weights = (torch.rand(2, 4, *size) for size in ((6, 6), (12, 12), ()))
    weights[:, 2:] = 0
    outcome = step.outcome(low, high, weights)
    alone = step.outcome(low[:, :2], high[:, :2], weights[:, :2])
    assert not outcome.truth[:, 2:].any()
    assert not outcome.estimate[:, 2:].any()
    torch.testing.assert_close(outcome.estimate[:, :2], alone.estimate)
    torch.testing.assert_close(outcome.truth[:, :2], alone.truth)


@pytest.mark.parametrize("bands", [1, 3, 12, 130])
def test_the_model_fits_scenes_of_any_sensor(
    tokens: TokenSet, tmp_path: Path, cube: Callable[..., ArrayCube], cpu: Runtime, bands: int
) -> None:
    saved(tmp_path / MODEL, tokens)
    model = load_sr(str(tmp_path / MODEL), None)
    centres = tuple(3000.0 - 5 * band for band in range(bands))
    scene = cube(13, 11, bands=bands, spectrum=Spectrum(centres))
    model.require_fit(scene.spec)
    assert (model.scale, model.tokens) == (2, 8)
    seen = survey(scene, model.tokens)
    ((_, output),) = run(scene, model.operation(seen, cpu), seen, tile=100, runtime=cpu)
    smooth = upscale_bicubic(torch.from_numpy(scene.read(scene.spec.window))[None], 2)[0].numpy()
    assert output.shape == (bands, 26, 22)
    assert np.isfinite(output).all()
    assert np.abs(output - smooth).max() > 1


def test_the_model_tells_where_it_comes_from(tokens: TokenSet, tmp_path: Path) -> None:
    card = saved(tmp_path / MODEL, tokens).card
    assert (card.kind, card.bands, card.scale, card.peak) == ("sr", 0, 2, 1.0)
    assert card.unmixer is None
    assert card.parent is None
    assert card.degradation == "bicubic"
    assert card.scores == {"psnr": 1.0}
    assert card.recipe["sr"]["numbers"] == {"tokens": 8, "width": 8, "depth": 1}
    assert [entry["file"] for entry in card.data["scenes"]] == ["7.img", "3.img", "12.img"]
    start = load(tmp_path / MODEL)
    task(tokens, start=start).save(tmp_path / "child.safetensors", {})
    assert load(tmp_path / "child.safetensors").card.parent == start.sha256


def test_a_training_can_begin_with_a_model_of_another_scale(
    tokens: TokenSet, tmp_path: Path
) -> None:
    """Layers of the same name and shape are taken over, the others begin as they would."""
    start = saved(tmp_path / MODEL, tokens)
    other = prepared(tmp_path / "run", 4)
    begun, fresh = (
        task(other, start=given, seed=3).network.state_dict() for given in (start, None)
    )
    taken = set()
    for name, value in begun.items():
        known = start.tensors.get(f"network.{name}")
        if known is not None and known.shape == value.shape:
            assert torch.equal(value, known)
            taken.add(name)
        else:
            assert torch.equal(value, fresh[name])
    assert {name for name in begun if name.startswith(("stem", "body", "strength"))} <= taken
    assert set(begun) - taken == {"head.weight"}


def test_a_model_of_the_same_form_is_taken_over_whole(tokens: TokenSet, tmp_path: Path) -> None:
    start = saved(tmp_path / MODEL, tokens)
    begun = task(tokens, start=start, seed=3)
    for name, value in begun.network.state_dict().items():
        assert torch.equal(value, start.tensors[f"network.{name}"])
    # a training that began elsewhere is another training
    assert begun.identity != task(tokens).identity


def test_a_model_that_shares_no_layer_is_refused(
    tokens: TokenSet, unmix: Checkpoint, tmp_path: Path
) -> None:
    wide = saved(tmp_path / MODEL, tokens, small("width=12"))
    for start in (wide, unmix):
        with pytest.raises(ModelError, match="shares no layer") as caught:
            task(tokens, start=start)
        assert caught.value.where == str(start.path)


def test_a_network_that_works_on_spectra_is_refused(tokens: TokenSet) -> None:
    with pytest.raises(UsageError, match="'unmixing_sr' works on spectra") as caught:
        task(tokens, recipes.load("tiny"))
    assert "--network subspace_sr" in str(caught.value.hint)
