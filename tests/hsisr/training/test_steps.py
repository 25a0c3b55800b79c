"""The two training steps: what is compared with what, what moves and what stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hsisr import recipe as recipes
from hsisr.checkpoints.checkpoint import Checkpoint, load, save
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.data.sampler import Sampler
from hsisr.errors import InputError, ModelError, UsageError
from hsisr.model import load_sr, load_unmix
from hsisr.runtime import Runtime
from hsisr.training.steps import SrStep, UnmixStep, score, total_loss, untrained
from hsisr_models.contract import Outcome
from hsisr_models.imaging import mix, upscale_bicubic
from hsisr_models.unmix import SHELF as METHODS
from tests.hsisr.trials import STEPS, advance, reports, small


@pytest.fixture
def batch(prepared: PatchSet) -> tuple[Tensor, Tensor]:
    return Sampler(prepared, patch=5, batch=3, seed=0).draw(0)


def alive(step: SrStep) -> SrStep:
    """The same with random numbers added to all weights."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in step.trainable.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    return step


def test_unmixing_reconstructs_the_low_resolution(
    prepared: PatchSet, batch: tuple[Tensor, Tensor]
) -> None:
    step = UnmixStep(prepared, small(), seed=0)
    low, high = batch
    outcome = step.outcome(low, high)
    assert outcome.truth is low
    assert outcome.abundances is not None
    assert outcome.endmembers is not None
    torch.testing.assert_close(outcome.estimate, mix(outcome.abundances, outcome.endmembers))
    torch.testing.assert_close(outcome.abundances.sum(1), torch.ones(3, 5, 5))


def test_the_high_resolution_can_be_unmixed_instead(
    prepared: PatchSet, batch: tuple[Tensor, Tensor]
) -> None:
    low, high = batch
    step = UnmixStep(prepared, small(), seed=0, resolution="high")
    outcome = step.outcome(low, high)
    assert outcome.truth is high
    assert outcome.abundances is not None
    assert outcome.abundances.shape == (3, 3, 10, 10)
    assert step.identity != UnmixStep(prepared, small(), seed=0).identity
    block = np.array(prepared.blocks("validation")[0][1]) / prepared.peak
    scene = torch.from_numpy(block)
    with torch.no_grad():
        step.network.eval()
        estimate = step.network.decode(step.network.encode(scene[None]))[0]
        expected = score([(scene, estimate)], ("rmse",), ratio=1)["rmse"]
        assert step.validate()["rmse"] == pytest.approx(expected, rel=1e-5)


def test_terms_of_a_network_are_weighed_like_all_others(
    prepared: PatchSet, batch: tuple[Tensor, Tensor]
) -> None:
    recipe = recipes.load("msnet", ["unmix.endmembers=3"])
    step = UnmixStep(prepared, recipe, seed=0)
    with torch.no_grad():
        step.network.eval()
        outcome = step.outcome(*batch)
        total, values = total_loss(outcome, recipe.unmix.loss)
    assert values["edge"] == pytest.approx(float(outcome.own["edge"]))
    expected = sum(weight * values[name] for name, weight in recipe.unmix.loss.items())
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_the_start_of_the_endmembers_is_kept_for_the_anchor(prepared: PatchSet) -> None:
    step = UnmixStep(prepared, small(), seed=0)
    begun = step.network.endmembers.detach().clone()
    with torch.no_grad():
        dict(step.network.named_parameters())["weights"].mul_(1.5)
        scene = torch.rand(1, 5, 6, 6)
        outcome = step.outcome(scene, scene)
    assert outcome.start is not None
    torch.testing.assert_close(outcome.start, begun)
    assert total_loss(outcome, {"anchor": 1.0})[1]["anchor"] > 0.01


def test_vertices_of_the_data_begin_the_unmixing(prepared: PatchSet) -> None:
    """Every endmember is near some pixel; with `random` it need not be."""
    pixels = np.concatenate([low.reshape(5, -1).T for low, _ in prepared.blocks("train")])
    pixels = pixels / prepared.peak

    def farthest(initialise: str) -> float:
        torch.manual_seed(0)
        step = UnmixStep(prepared, small("default", f"unmix.initialise={initialise}"), seed=0)
        spectra = step.network.endmembers.detach().numpy()
        distances = np.linalg.norm(spectra[:, None] - pixels[None], axis=2)
        return float(distances.min(1).max())

    assert farthest("vca") < 0.05
    assert farthest("random") > 0.05


def test_the_seed_decides_where_unmixing_begins(prepared: PatchSet) -> None:
    first, again = (UnmixStep(prepared, small(), seed=3).network.endmembers for _ in range(2))
    assert torch.equal(first, again)


def test_clamped_endmembers_are_brought_back(prepared: PatchSet) -> None:
    step = UnmixStep(prepared, small("default", "unmix.numbers.positivity=clamp"), seed=0)
    weights = dict(step.network.named_parameters())["weights"]
    with torch.no_grad():
        weights.sub_(10)
    step.after_step()
    assert (weights == 0).all()


def test_unmixing_learns(prepared: PatchSet, tmp_path: Path) -> None:
    told = advance(reports("unmix", prepared, tmp_path / "run"), STEPS)
    scores = [report.scores for report in told if report.scores]
    assert scores[-1]["loss"] < scores[0]["loss"]
    assert UnmixStep.merit(scores[-1]) > UnmixStep.merit(scores[0])


def test_sharpening_starts_from_bicubic(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    step = SrStep(prepared, small(), unmix, cpu.device)
    low, high = batch
    with torch.no_grad():
        outcome = step.outcome(low, high)
        assert step.validate() == pytest.approx(step.reference())
    assert outcome.truth is high
    torch.testing.assert_close(outcome.estimate, upscale_bicubic(low, 2))


@pytest.mark.parametrize("relation", ["pool", "nearest", "deconv", "hr"])
def test_the_abundances_of_both_resolutions_are_compared(
    prepared: PatchSet,
    unmix: Checkpoint,
    cpu: Runtime,
    batch: tuple[Tensor, Tensor],
    relation: str,
) -> None:
    step = alive(SrStep(prepared, small("default", f"sr.relation={relation}"), unmix, cpu.device))
    unmixer, (low, high) = unmix.unmixer(), batch
    with torch.no_grad():
        outcome = step.outcome(low, high)
        fine, coarse = unmixer(outcome.estimate), unmixer(low)
        pairs = {
            "pool": (avg_pool2d(fine, 2), coarse),
            "nearest": (fine, coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)),
            "hr": (fine, unmixer(high)),
        }
    assert outcome.abundances is not None
    assert outcome.expected is not None
    assert outcome.abundances.shape == outcome.expected.shape
    if relation in pairs:
        assert torch.equal(outcome.abundances, pairs[relation][0])
        assert torch.equal(outcome.expected, pairs[relation][1])
    torch.testing.assert_close(outcome.expected.sum(1), torch.ones_like(outcome.expected[:, 0]))


def test_gradients_flow_through_the_frozen_unmixer_and_leave_it_alone(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    step = alive(SrStep(prepared, small(), unmix, cpu.device))
    assert step._unmixer is not None
    before = {name: value.clone() for name, value in step._unmixer.state_dict().items()}
    optimiser = torch.optim.SGD(step.trainable.parameters(), lr=1.0)
    total, values = total_loss(step.outcome(*batch), {"abundance": 1.0})
    assert set(values) == {"abundance"}
    total.backward()
    head = dict(step.network.named_parameters())["head.weight"]
    assert head.grad is not None
    assert head.grad.abs().max() > 0
    optimiser.step()
    for name, value in step._unmixer.named_parameters():
        assert not value.requires_grad
        assert value.grad is None
        assert torch.equal(value, before[name])
    inside = {id(value) for value in step.trainable.parameters()}
    assert not inside & {id(value) for value in step._unmixer.parameters()}


def test_the_gradient_is_that_of_the_whole_chain(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    """Against a difference quotient: nothing in between is cut off."""
    step = alive(SrStep(prepared, small("default", "sr.relation=hr"), unmix, cpu.device))
    bias = dict(step.network.named_parameters())["head.bias"]

    def loss() -> Tensor:
        return total_loss(step.outcome(*batch), {"abundance": 1.0})[0]

    (gradient,) = torch.autograd.grad(loss(), bias)
    direction, size = gradient / gradient.norm(), 1e-3
    with torch.no_grad():
        bias.add_(size * direction)
        above = float(loss())
        bias.sub_(2 * size * direction)
        below = float(loss())
    assert (above - below) / (2 * size) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_a_weight_of_zero_skips_its_term(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    step = SrStep(prepared, small("default", "sr.loss.abundance=0"), unmix, cpu.device)
    outcome = step.outcome(*batch)
    assert outcome.abundances is None
    total, values = total_loss(outcome, step.loss | {"smoothness": 0.0})
    assert set(values) == {"l1", "sad"}
    expected = step.loss["l1"] * values["l1"] + step.loss["sad"] * values["sad"]
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


def test_without_unmixing_no_term_needs_abundances(
    prepared: PatchSet, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    step = SrStep(prepared, small(), None, cpu.device)
    assert "abundance" not in step.loss
    outcome = step.outcome(*batch)
    assert (outcome.abundances, outcome.endmembers, outcome.expected) == (None, None, None)
    assert not step.network.uses_abundances


def test_the_random_control_is_decided_by_its_seed_alone(
    prepared: PatchSet, unmix: Checkpoint
) -> None:
    torch.manual_seed(1)
    first = untrained(prepared, small(), seed=3)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn), "the caller's random numbers are left alone"
    again, other = (untrained(prepared, small(), seed=seed) for seed in (3, 4))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.tensors.keys() == unmix.tensors.keys()
    for name, value in first.tensors.items():
        assert torch.equal(value, again.tensors[name])
        assert value.shape == unmix.tensors[name].shape
    weights = [name for name in first.tensors if name.endswith(".weight") and "norm" not in name]
    assert weights
    for name in weights:
        if first.tensors[name].std() > 0:
            assert not torch.equal(first.tensors[name], other.tensors[name])
            assert not torch.equal(first.tensors[name], unmix.tensors[name])


@pytest.mark.parametrize("method", [name for name in METHODS if name in recipes.names()])
def test_every_method_of_unmixing_has_a_control(
    method: str, prepared: PatchSet, cpu: Runtime, batch: tuple[Tensor, Tensor]
) -> None:
    recipe = recipes.load(method, ["unmix.endmembers=3"])
    step = SrStep(prepared, recipe, untrained(prepared, recipe, seed=0), cpu.device)
    with torch.no_grad():
        maps = step.outcome(*batch).abundances
    assert maps is not None
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(1), torch.ones_like(maps[:, 0]))


def test_the_random_control_is_the_model_that_would_be_saved(
    prepared: PatchSet, tmp_path: Path
) -> None:
    control = untrained(prepared, small(), seed=0)
    path = tmp_path / MODEL
    save(path, control.card, {"unmixer": control.unmixer()})
    found = load(path)
    assert found.sha256 == control.sha256, "of the weights and of what the model says of itself"
    with pytest.raises(ModelError, match="random weights, as a control"):
        load_unmix(str(path))


def test_the_random_control_stays_as_it_is_and_is_part_of_the_model(
    prepared: PatchSet, tmp_path: Path, batch: tuple[Tensor, Tensor]
) -> None:
    control = untrained(prepared, small(), seed=0)
    before = {name: value.clone() for name, value in control.tensors.items()}
    advance(reports("sr", prepared, tmp_path / "run", unmix=control), STEPS)
    found = load(tmp_path / "run" / MODEL)
    for name, value in before.items():
        assert torch.equal(control.tensors[name], value)
        assert torch.equal(found.tensors[name], value)
    assert found.card.parent == control.sha256
    assert found.card.unmixes_at_random
    network = load_sr(str(tmp_path / "run"), 2).network
    assert network.unmixer is not None
    with torch.no_grad():
        assert network(batch[0]).shape == batch[1].shape
    with pytest.raises(ModelError, match="random weights, as a control"):
        load_unmix(str(tmp_path / "run" / MODEL))


def test_networks_begin_alike_with_the_control_and_without(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime
) -> None:
    def begun(choose: Callable[[], Checkpoint]) -> dict[str, Tensor]:
        torch.manual_seed(5)
        return SrStep(prepared, small(), choose(), cpu.device).network.state_dict()

    ours, control = begun(lambda: unmix), begun(lambda: untrained(prepared, small(), 5))
    assert all(torch.equal(value, control[name]) for name, value in ours.items())


@pytest.mark.parametrize("kind", ["sr", "sr without unmixing"])
def test_the_saved_model_is_what_was_validated(
    prepared: PatchSet, unmix: Checkpoint, tmp_path: Path, kind: str
) -> None:
    advance(reports(kind, prepared, tmp_path / "run", unmix=unmix), STEPS)
    found = load(tmp_path / "run" / MODEL)
    resolver = found.resolver()

    def pairs() -> list[tuple[Tensor, Tensor]]:
        blocks = [
            [torch.from_numpy(np.array(block)) / prepared.peak for block in pair]
            for pair in prepared.blocks("validation")
        ]
        with torch.no_grad():
            return [(high, resolver(low[None])[0]) for low, high in blocks]

    assert score(pairs(), ("psnr", "sam"), ratio=2) == pytest.approx(found.card.scores)
    card = found.card
    assert (card.kind, card.bands, card.scale, card.peak) == ("sr", 5, 2, prepared.peak)
    assert card.parent == (unmix.sha256 if kind == "sr" else None)
    assert card.degradation == "bicubic"
    assert card.recipe["sr"]["numbers"]["width"] == 8
    assert card.data["scenes"][0]["file"] == "scene.raw"
    if kind == "sr":
        for name, value in unmix.tensors.items():
            assert torch.equal(found.tensors[name], value)


def test_an_unmixer_of_other_bands_is_refused(
    patches: Callable[..., PatchSet], unmix: Checkpoint, cpu: Runtime
) -> None:
    other = patches(bands=6, rows=56, cols=20, seed=1)
    with pytest.raises(ModelError, match="trained for 5 bands, the scenes have 6"):
        SrStep(other, small(), unmix, cpu.device)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("sr.network=unmixing_rs", "no network 'unmixing_rs'"),
        ("sr.network=bicubic", "'bicubic' has no number '"),
        ("sr.numbers.widht=3", "'unmixing_sr' has no number 'widht'"),
        ("sr.numbers.width=wide", "cannot build 'unmixing_sr'"),
        ("sr.numbers.material=fiml", "no material-aware module 'fiml'"),
        ("sr.numbers.skip=none", "no skip connection 'none'"),
        ("sr.numbers.kernel=4", "a kernel of 4 has no middle"),
        ("sr.numbers.reduction=0", "'unmixing_sr' cannot be built with reduction = 0"),
        ("sr.numbers.depth=0", "'unmixing_sr' cannot be built with depth = 0"),
        ("sr.numbers.width=4097", "'unmixing_sr' cannot be built with width = 4097"),
        ("sr.relation=pooled", "no relation of abundances 'pooled'"),
        ("sr.loss.l2=1.0", "no loss term 'l2'"),
    ],
)
def test_a_mistake_in_the_recipe_of_sharpening_is_explained(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, mistake: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        SrStep(prepared, small("default", mistake), unmix, cpu.device)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("unmix.method=gram", "no unmixing method 'gram'"),
        ("unmix.numbers.depth=-1", "'gram_autoencoder' cannot be built with depth = -1"),
        ("unmix.numbers.dept=3", "'gram_autoencoder' has no number 'dept'"),
        ("unmix.numbers.positivity=exp", "no positivity 'exp'"),
        ("unmix.initialise=pca", "no initialisation 'pca'"),
        ("unmix.endmembers=9", "cannot start from 'vca': 9 endmembers from 160 pixels of 5 bands"),
        ("unmix.loss.l2=1.0", "no loss term 'l2'"),
        ("unmix.loss.edge=1.0", "no loss term 'edge'"),
        ("unmix.initialise=missing.csv", "No such file"),
    ],
)
def test_a_mistake_in_the_recipe_of_unmixing_is_explained(
    prepared: PatchSet, mistake: str, told: str
) -> None:
    with pytest.raises((UsageError, InputError), match=told):
        UnmixStep(prepared, small("default", mistake), seed=0)


def test_the_total_is_the_weighted_sum(rng: np.random.Generator) -> None:
    truth, estimate = (torch.from_numpy(rng.random((2, 4, 3, 3), np.float32)) for _ in range(2))
    spectra = torch.from_numpy(rng.random((3, 4), np.float32))
    total, values = total_loss(
        Outcome(truth, estimate, endmembers=spectra), {"l1": 2.0, "sad": 0.5, "smoothness": 0.25}
    )
    u, v = (x.numpy().astype(float) for x in (truth, estimate))
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    expected = {
        "l1": np.abs(u - v).mean(),
        "sad": np.arccos(cosine).mean(),
        "smoothness": np.abs(np.diff(spectra.numpy().astype(float))).sum(1).mean(),
    }
    assert values == pytest.approx(expected, rel=1e-5)
    weighted = 2 * expected["l1"] + 0.5 * expected["sad"] + 0.25 * expected["smoothness"]
    assert float(total) == pytest.approx(weighted, rel=1e-5)


def test_scores_are_means_over_the_blocks_that_hold_data() -> None:
    truth = torch.rand(3, 8, 8)
    blocks = [(truth, truth + 0.1), (truth, truth + 0.2)]
    found = score(blocks, ("psnr", "rmse"), ratio=2)
    assert found["psnr"] == pytest.approx((20 - 20 * math.log10(0.2)) / 2, rel=1e-4)
    assert found["rmse"] == pytest.approx(0.15, rel=1e-4)
    empty = torch.full_like(truth, math.nan)
    assert score([*blocks, (empty, truth)], ("psnr", "rmse"), ratio=2) == pytest.approx(found)


def test_holes_in_the_validation_blocks_do_not_count(
    patches: Callable[..., PatchSet], cpu: Runtime
) -> None:
    prepared = patches(bands=5, rows=56, cols=20)
    step = SrStep(prepared, small(), None, cpu.device)
    before = step.reference()
    for entry in prepared.manifest["blocks"]:
        if entry["split"] == "validation":
            for kind, scale in (("low", 1), ("high", 2)):
                block = np.load(prepared.folder / entry[kind])
                block[:, : 2 * scale, : 2 * scale] = np.nan
                np.save(prepared.folder / entry[kind], block)
    after = step.reference()
    assert all(math.isfinite(value) for value in after.values())
    assert after["psnr"] == pytest.approx(before["psnr"], abs=2)
    unmixing = UnmixStep(prepared, small(), seed=0)
    with torch.no_grad():
        assert all(math.isfinite(value) for value in unmixing.validate().values())


def test_the_recipe_in_the_card_is_the_one_that_ran(prepared: PatchSet, tmp_path: Path) -> None:
    changed = small("default", "unmix.loss.sad=0.3")
    advance(reports("unmix", prepared, tmp_path / "run", recipe=changed), STEPS)
    found = load(tmp_path / "run" / MODEL).card.recipe
    kept = recipes.from_dict(found)
    assert kept == changed
    assert replace(kept, name="x") != changed


def test_the_card_tells_how_the_unmixing_network_inside_was_trained(
    prepared: PatchSet, unmix: Checkpoint, tmp_path: Path
) -> None:
    """Not how the recipe of the second step would have trained one."""
    other = small("default", "unmix.loss.sad=0.3", "unmix.training.epochs=77")
    advance(reports("sr", prepared, tmp_path / "run", unmix=unmix, recipe=other), STEPS)
    told = load(tmp_path / "run" / MODEL).card.recipe
    assert told["unmix"] == unmix.card.recipe["unmix"]
    assert told["unmix"]["training"]["epochs"] != 77
    assert recipes.from_dict(told).sr == other.sr
