"""Fine-tuning on one scene: disjoint parts, honest gains, and a verdict that needs both."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from hsisr.checkpoints.checkpoint import Card, Checkpoint, Part, load, save
from hsisr.cube import ArrayCube
from hsisr.data.tokens import TokenSet
from hsisr.errors import InputError
from hsisr.training.adapt import Adapting, Verdict, prepare
from hsisr.window import Window
from hsisr_models.imaging import upscale_bicubic
from hsisr_models.sr.subspace_sr import SubspaceSR
from tests.contract.small import shaken
from tests.hsisr.made_up import mixed_scene
from tests.hsisr.trials import CPU

NUMBERS = {"tokens": 4, "width": 8, "depth": 1}


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    """A network of random weights, which can only become better."""
    torch.manual_seed(0)
    network = shaken(SubspaceSR(scale=2, **NUMBERS))
    card = Card("sr", bands=0, scale=2, peak=1.0, network=Part("subspace_sr", NUMBERS))
    save(tmp_path / "model.safetensors", card, {"network": network})
    return load(tmp_path / "model.safetensors")


@pytest.fixture
def cube(tmp_path: Path) -> ArrayCube:
    (tmp_path / "scene.img").touch()
    return ArrayCube(mixed_scene(6, 200, 120), tmp_path / "scene.img")


def psnr(model: Checkpoint, tokens: TokenSet, split: str) -> float:
    """By numpy, the mean over the parts."""
    values = []
    for example in tokens.examples(split):
        low = torch.from_numpy(np.array(example.low))[None]
        weights = torch.from_numpy(example.weights)[None]
        network = model.resolver().network
        assert isinstance(network, SubspaceSR)
        estimate = (upscale_bicubic(low, 2) + network.refine(low, weights))[0].numpy()
        error = (estimate - np.asarray(example.high)) * example.weights[:, None, None]
        values.append(-10 * np.log10((error.astype(np.float64) ** 2).sum(0).mean()))
    return float(np.mean(values))


def test_the_parts_of_the_scene_share_no_pixel(
    cube: ArrayCube, model: Checkpoint, tmp_path: Path
) -> None:
    tokens = prepare(cube, model, tmp_path / "work", "area")
    entries = tokens.manifest["examples"]
    assert {entry["split"] for entry in entries} == {"train", "validation", "test"}
    assert {entry["degradation"] for entry in entries} == {"area"}
    for one, other in combinations(entries, 2):
        a, b = Window(**one["window"]), Window(**other["window"])
        apart = a.row_stop <= b.row or b.row_stop <= a.row
        assert apart or a.col_stop <= b.col or b.col_stop <= a.col
        if one["split"] != other["split"]:
            gap = max(b.row - a.row_stop, a.row - b.row_stop, b.col - a.col_stop)
            assert gap >= 2


def test_the_gains_are_those_of_the_adapted_model(
    cube: ArrayCube, model: Checkpoint, tmp_path: Path
) -> None:
    tokens = prepare(cube, model, tmp_path / "work", "bicubic")
    work = Adapting(model, tokens, tmp_path / "work", minutes=0, runtime=CPU)
    steps = [report.step for report in work.reports()]
    found, verdict = work.verdict()
    assert steps == list(range(1, verdict.steps + 1))
    for split, gain in (("validation", verdict.selecting), ("test", verdict.judging)):
        expected = psnr(found, tokens, split) - psnr(model, tokens, split)
        assert gain == pytest.approx(expected, abs=1e-4)
    assert verdict.accepted
    assert found.card.parent == model.sha256
    assert found.card.data["scenes"][0]["file"] == "scene.img"


@pytest.mark.parametrize(
    ("selecting", "judging", "accepted"),
    [(0.3, 0.2, True), (0.3, 0.1, False), (0.1, 0.3, False), (-0.1, 0.3, False)],
)
def test_a_model_has_to_be_clearly_better_on_both_parts(
    selecting: float, judging: float, accepted: bool
) -> None:
    assert Verdict(selecting, judging, steps=1).accepted is accepted


@pytest.mark.parametrize("side", [20, 140])
def test_a_scene_too_small_to_judge_by_is_refused(
    model: Checkpoint, tmp_path: Path, side: int
) -> None:
    (tmp_path / "scene.img").touch()
    small = ArrayCube(mixed_scene(6, side, side), tmp_path / "scene.img")
    with pytest.raises(InputError, match="too small"):
        prepare(small, model, tmp_path / "work", "bicubic")
