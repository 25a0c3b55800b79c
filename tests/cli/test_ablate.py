from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.cli.conftest import ROOT
from tests.hsisr.made_up import mixed_scene

QUICK = (
    "unmix.initialise=vca unmix.endmembers=3 unmix.numbers.width=8 unmix.training.epochs=1 "
    "unmix.training.steps=2 unmix.training.patch=4 sr.training.steps=2 sr.training.patch=4"
)
SMALL = "sr.numbers.width=8 sr.numbers.depth=1"
LEAST = ("--relation", "pool", "--beta", "0.02")


def settings(text):
    return [part for number in text.split() for part in ("--set", number)]


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.npy"
    np.save(path, mixed_scene(5, 48, 16).transpose(1, 2, 0))
    return path


@pytest.fixture
def ablate(scene, tmp_path, hsisr):
    def run(*more, numbers=f"{QUICK} {SMALL}"):
        rest = ("-o", tmp_path / "out", "--scale", 2, "--threads", 1, "--precision", "fp32")
        return hsisr("ablate", "--data", scene, *rest, *settings(numbers), *more)

    return run


def test_everything_is_tried_and_what_is_done_is_found_again(ablate, tmp_path):
    ended = ablate(*LEAST, "--epochs", 1, "--seeds", 2, "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["schema"] == "hsisr/ablate/1"
    scores, differences, encoders = told["tables"]
    assert any("PSNR on the validation blocks" in note for note in scores["notes"])
    rows = {entry["name"]: entry for entry in scores["entries"]}
    whole, control = "pool-0.02+mam", "random-pool-0.02+mam"
    assert list(rows) == ["bicubic", "off", "pool-0.02", "mam", whole, control]
    trained = [rows[name]["measures"]["psnr"]["values"] for name in list(rows)[1:]]
    changes = {e["name"]: e["measures"]["psnr"]["values"] for e in differences["entries"]}
    assert len(changes) == 5
    assert changes[f"{whole} − off"] == pytest.approx(np.subtract(trained[3], trained[0]))
    assert changes[f"{whole} − {control}"] == pytest.approx(np.subtract(trained[3], trained[4]))
    for entry in encoders["entries"]:
        assert len(entry["measures"]["error"]["values"]) == 2
    with (tmp_path / "out" / "table.csv").open(newline="") as handle:
        names = [
            line["name"] for line in csv.DictReader(handle) if line["table"] == "scene, scale 2"
        ]
    assert len(names) == 1 + 5 * 2
    assert (tmp_path / "out" / "scene_x2.png").read_bytes().startswith(b"\x89PNG")
    # the same once more is no work
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.*")}
    again = ablate(*LEAST, "--epochs", 1, "--seeds", 2)
    assert again.code == 0
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.*")}
    assert "standard deviation of the seeds" in again.out


def test_it_is_trained_and_scored_as_the_protocol_says(ablate, tmp_path):
    known = (ROOT / "models/hsisr_models/recipes/protocols/scenes.toml").read_text()
    changed = known.replace('metrics = "sspsr"', 'metrics = "wald"\npatch = 6')
    assert changed != known
    (tmp_path / "own.toml").write_text(changed)
    numbers = f"{QUICK} {SMALL} sr.numbers.material=off".replace("sr.training.patch=4", "")
    more = ("--seeds", 2, "--protocol", tmp_path / "own.toml", "--json")
    ended = ablate(*LEAST, "--epochs", 1, *more, numbers=numbers)
    assert ended.code == 0
    assert "metrics wald" in json.loads(ended.out)["tables"][0]["notes"][0]
    cell = json.loads((tmp_path / "out" / "scene_x2" / "off_seed0" / "result.json").read_text())
    assert cell["about"]["metrics"] == "wald"
    assert cell["about"]["recipe"]["training"]["patch"] == 6


def test_a_network_for_any_sensor_is_refused(ablate):
    ended = ablate(*LEAST, "--epochs", 1, "--network", "subspace_sr", numbers=QUICK)
    assert ended.code == 2
    assert "any sensor" in ended.first


def test_a_network_that_does_without_abundances_is_trained_by_the_loss_alone(ablate):
    numbers = f"{QUICK} {SMALL} sr.numbers.material=off"
    ended = ablate(*LEAST, "--epochs", 1, "--seeds", 1, numbers=numbers)
    assert ended.code == 0
    assert "3 trainings: off, pool-0.02, random-pool-0.02" in ended.err
    assert "from one seed it cannot be told" in ended.out


def test_what_would_be_trained_is_told_without_training(ablate, tmp_path):
    ended = ablate("--epochs", 1, "--dry-run", "--full")
    assert ended.code == 0
    assert "48 trainings: off, pool-0.001, pool-0.02, pool-0.2, nearest-0.001" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_taken_apart_around_its_own_numbers(ablate):
    ended = ablate("--epochs", 1, "--dry-run", "--recipe", "paper")
    assert ended.code == 0
    names = "off, pool-0.2, nearest-0.2, hr-0.2, deconv-0.2, nearest-0.001, nearest-0.02, mam, "
    assert f"30 trainings: {names}nearest-0.2+mam, random-nearest-0.2+mam" in ended.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--network", "unmixing"], "no network 'unmixing' to train"),
        (["--network", "sspsr", "--scale", 5], "'sspsr' is not made for scale 5"),
        (["--set", "sr.numbers.widht=8"], "widht"),
        (["--network", "subspace_sr"], "any sensor"),
    ],
)
def test_a_rehearsal_refuses_what_the_training_would(hsisr, tmp_path, more, said):
    path = tmp_path / "large.npy"
    np.save(path, mixed_scene(5, 100, 24).transpose(1, 2, 0))
    rest = ("-o", tmp_path / "out", "--epochs", 1, "--dry-run")
    ended = hsisr("ablate", "--data", path, *rest, *more)
    assert ended.code == 2
    assert said in ended.first
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--epochs", 1, "--relation", "pooled"], "no relation of abundances 'pooled'"),
        (["--epochs", 1, "--beta", "much"], "--beta 'much' is no number"),
        (["--epochs", 1, "--beta", "0"], "--beta 0 should be positive"),
        (["--epochs", 1, "--beta", ","], "nothing to try"),
        (["--epochs", 1, "--minutes", 1], "either --epochs or --minutes"),
        ([], "either --epochs or --minutes"),
        (["--epochs", 1, "--network", "bicubic"], "no network 'bicubic' to train"),
        (["--epochs", 1, "--network", "mcnet", "--recipe", "paper"], "both --network and --recipe"),
        (["--epochs", 1, "--recipe", "paperr"], "no recipe 'paperr'"),
        (["--epochs", 1, "--network", "unmixing"], "no network 'unmixing' to train"),
    ],
)
def test_options_that_make_no_sense_are_refused(ablate, tmp_path, more, said):
    ended = ablate(*more, numbers="")
    assert ended.code == 2
    assert said in ended.first
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_data_that_is_not_there_is_told(hsisr, tmp_path):
    ended = hsisr("ablate", "--data", tmp_path / "none", "-o", tmp_path / "out", "--epochs", 1)
    assert ended.code == 3
