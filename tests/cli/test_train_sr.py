from __future__ import annotations

import csv
import re
import shutil

import numpy as np
import pytest

from hsisr.checkpoints import checkpoint
from hsisr.cli import main
from tests.cli.conftest import mixed, stored


def test_it_writes_a_model_and_its_history(run_copy, hsisr):
    ended = hsisr("train-sr", run_copy, "--epochs", "2", "--overwrite")
    assert ended.code == 0
    with (run_copy / "sr" / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {"loss_l1", "loss_sad", "loss_abundance", "validation_psnr"} <= set(rows[-1])
    assert (run_copy / "sr" / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_it_says_how_it_compares_with_bicubic_and_what_comes_next(run_copy, hsisr):
    said = hsisr("train-sr", run_copy, "--epochs", "1", "--overwrite").err
    assert re.search(r"best on the validation blocks: psnr \S+ \(bicubic \S+\), sam \S+", said)
    assert f"Next: hsisr evaluate {run_copy} --model {run_copy}" in said
    assert f"hsisr upscale SCENE --scale 2 --model {run_copy}" in said


def test_a_training_of_which_no_validation_is_a_number_is_no_success(run_copy, hsisr):
    for path in (run_copy / "data").glob("validation_*.npy"):
        np.save(path, np.full_like(np.load(path), np.nan))
    ended = hsisr("train-sr", run_copy, "--unmix", "none", "--name", "lost", "--epochs", "2")
    assert ended.code == 4
    assert "no validation came to a number" in ended.first
    assert "Next: " not in ended.err


def test_without_unmixing_there_is_no_abundance_term(run_copy, hsisr):
    command = ("train-sr", run_copy, "--unmix", "none", "--name", "plain", "--epochs", "1")
    ended = hsisr(*command)
    assert ended.code == 0
    header = (run_copy / "plain" / "metrics.csv").read_text().splitlines()[0]
    assert "loss_l1" in header
    assert "loss_abundance" not in header
    assert f"--model {run_copy / 'plain'}" in ended.err


def test_random_unmixing_is_a_control_that_is_used_like_any_model(run_copy, world, hsisr, tmp_path):
    (run_copy / "unmix" / "model.safetensors").unlink()
    chosen = ("--unmix", "random", "--set", "unmix.endmembers=4", "--name", "control")
    assert hsisr("train-sr", run_copy, *chosen, "--epochs", "1").code == 0
    header = (run_copy / "control" / "metrics.csv").read_text().splitlines()[0]
    assert "loss_abundance" in header
    model = checkpoint.load(run_copy / "control" / "model.safetensors").card
    assert model.data["unmixing"] == "random"
    assert model.endmembers == 4
    output = tmp_path / "sharper.img"
    command = ("--model", run_copy / "control", "-o", output)
    assert hsisr("upscale", world.header, *command).code == 0
    assert hsisr("evaluate", run_copy, "--model", run_copy / "control").code == 0
    # the same command goes on, as its control is the same
    assert hsisr("train-sr", run_copy, *chosen, "--epochs", "1").code == 0
    assert hsisr("train-sr", run_copy, *chosen, "--epochs", "1", "--seed", "1").code == 4
    found = run_copy / "control" / "model.safetensors"
    ended = hsisr("unmix", world.header, "--model", found, "-o", tmp_path / "maps")
    assert ended.code == 4
    assert "random weights, as a control" in ended.first


def test_it_needs_the_unmixing_model_of_the_run(run_copy, hsisr):
    (run_copy / "unmix" / "model.safetensors").unlink()
    ended = hsisr("train-sr", run_copy, "--overwrite")
    assert ended.code == 4
    assert "hint: train one: hsisr train-unmix RUN" in ended.err


@pytest.mark.parametrize("name", ["data", "unmix", "../elsewhere", "a/b", "", "."])
def test_a_name_that_would_harm_the_run_is_refused(name, run_copy, hsisr):
    assert hsisr("train-sr", run_copy, "--name", name).code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--network", "unmixing_srr"], "no network 'unmixing_srr'"),
        (["--set", "sr.numbers.widht=3"], "'unmixing_sr' has no number 'widht'"),
        (["--set", "sr.relation=sum"], "no relation of abundances 'sum'"),
        (["--set", "sr.numbers.material=wood"], "no material-aware module 'wood'"),
        (["--set", "sr.loss.l7=1.0"], "no loss term 'l7'"),
        (["--set", "sr.training.betas=[0.9]"], "betas"),
        (["--set", "sr.training.learning_rate=1e38"], "beyond single precision"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said, run_copy, hsisr):
    ended = hsisr("train-sr", run_copy, "--overwrite", *options)
    assert ended.code == 2
    assert said in ended.first


@pytest.mark.parametrize("step", ["unmix", "sr"])
def test_patches_that_the_blocks_do_not_hold_are_told(step, run_copy, hsisr):
    blocks = [np.load(path, mmap_mode="r") for path in (run_copy / "data").glob("train_*_low.npy")]
    side = min(min(block.shape[1:]) for block in blocks)
    command = [f"train-{step}", run_copy, "--epochs", "1", "--overwrite"]
    told = f"patches of {side} instead of {side + 1} low-resolution pixels"
    for patch, said in ((side + 1, True), (side, False)):
        ended = hsisr(*command, "--set", f"{step}.training.patch={patch}")
        assert ended.code == 0
        assert (told in ended.err) == said
        assert ("instead of" in ended.err) == said


def test_an_interpolation_cannot_be_trained(run_copy, hsisr):
    command = ("train-sr", run_copy, "--network", "bicubic", "--name", "flat")
    assert hsisr(*command).code == 2


@pytest.fixture(scope="module")
def tokens(world, tmp_path_factory):
    """Prepares tokens at a scale."""

    def prepared(scale):
        run = tmp_path_factory.mktemp("tokens") / "run"
        other = shutil.copytree(world.header.parent, tmp_path_factory.mktemp("other") / "place")
        scenes = (world.header, "--validation", other / world.header.name)
        command = ("prepare", *scenes, "--scale", scale, "--tokens", 3, "-o", run)
        assert main(list(map(str, command))) == 0
        return run

    return prepared


def test_a_model_for_any_sensor_is_trained_on_tokens(tokens, world, make_scene, hsisr, tmp_path):
    run = tokens(2)
    ended = hsisr("train-sr", run, "--recipe", "any", "--epochs", "1", "--seed", "3")
    assert ended.code == 0
    assert checkpoint.load(run / "sr" / "model.safetensors").card.data["seed"] == 3
    assert re.search(r"best on the validation blocks: psnr \S+ \(bicubic \S+\)", ended.err)
    # there is no test block in tokens
    assert f"Next: hsisr evaluate SCENE --model {run}" in ended.err
    assert f"hsisr upscale SCENE --scale 2 --model {run}" in ended.err
    few = make_scene("few", stored(*mixed())[:5], wavelength=None, fwhm=None)
    for scene in (world.header, few):
        output = tmp_path / f"{scene.stem}_x2"
        assert hsisr("upscale", scene, "-s", "2", "--model", run, "-o", output).code == 0
        assert hsisr("evaluate", scene, "--model", run).code == 0


def test_a_model_of_another_scale_is_a_beginning(tokens, world, hsisr):
    first, second = tokens(2), tokens(4)
    assert hsisr("train-sr", first, "--recipe", "any", "--epochs", "1").code == 0
    command = ("train-sr", second, "--recipe", "any", "--epochs", "1")
    assert hsisr(*command, "--init", first).code == 0
    parent = checkpoint.load(second / "sr" / "model.safetensors").card.parent
    assert parent == checkpoint.load(first / "sr" / "model.safetensors").sha256
    # it goes on with the same beginning, and with no other
    assert hsisr("train-sr", second, "--recipe", "any", "--epochs", "1", "--init", first).code == 0
    assert hsisr(*command).code == 4
    for start, said in ((world.run, "shares no layer"), (second / "none", "no such model")):
        ended = hsisr(*command, "--init", start, "--name", "other")
        assert ended.code == 4
        assert said in ended.first


def test_tokens_and_spectra_want_their_own_networks(tokens, run_copy, world, hsisr):
    ended = hsisr("train-sr", tokens(2))
    assert ended.code == 2
    assert "'unmixing_sr' works on spectra" in ended.first
    assert "--network subspace_sr" in ended.err
    ended = hsisr("train-sr", run_copy, "--init", world.run, "--overwrite")
    assert ended.code == 2
    assert "--init needs tokens" in ended.first


def test_an_unmixing_model_is_refused_where_it_could_not_be_used(tokens, world, hsisr):
    ended = hsisr("train-sr", tokens(2), "--recipe", "any", "--unmix", world.unmixer)
    assert ended.code == 2
    assert "--unmix" in ended.err


@pytest.mark.parametrize("network", ["sspsr", "mcnet", "snlsr", "deepshare"])
def test_networks_of_others_are_trained_and_used(network, run_copy, world, hsisr, tmp_path):
    chosen = ("--network", network, "--unmix", "none", "--name", network)
    if network == "deepshare":
        chosen += ("--set", "sr.loss.auxiliary=1", "--set", "sr.numbers.width=8")
    assert hsisr("train-sr", run_copy, *chosen, "--epochs", "1").code == 0
    output = tmp_path / "sharper.img"
    ended = hsisr("upscale", world.header, "--model", run_copy / network, "-o", output)
    assert ended.code == 0
    assert output.exists()
