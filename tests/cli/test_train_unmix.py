from __future__ import annotations

import csv
import itertools
import re

import numpy as np
import pytest
import spectral


def _angles(found, true):
    """The angles in degrees between spectra in the order that fits best."""

    def angle(u, v):
        return np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))

    orders = itertools.permutations(range(len(true)))
    return min(
        ([angle(found[i], true[j]) for j, i in enumerate(order)] for order in orders), key=sum
    )


def test_it_writes_a_model_its_history_and_the_endmembers(run_copy, hsisr):
    ended = hsisr("train-unmix", run_copy, "-p", "3", "--epochs", "2", "--overwrite")
    assert ended.code == 0
    folder = run_copy / "unmix"
    with (folder / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss_total", "loss_sad", "validation_loss", "validation_sam"} <= set(rows[0])
    library = spectral.open_image(str(folder / "endmembers.hdr"))
    assert library.spectra.shape == (3, 24)
    assert library.bands.centers[0] == pytest.approx(450)
    assert (folder / "endmembers.csv").read_text().startswith("wavelength_nm,endmember 1,")
    assert (folder / "progress.png").read_bytes().startswith(b"\x89PNG")
    assert ended.err.splitlines()[-1] == f"Next: hsisr train-sr {run_copy}"


def test_the_materials_of_the_scene_are_found(world, run_copy, hsisr):
    hsisr("train-unmix", run_copy, "-p", "3", "--epochs", "20", "--overwrite")
    found = np.asarray(spectral.open_image(str(run_copy / "unmix" / "endmembers.hdr")).spectra)
    assert max(_angles(found, world.spectra)) < 5


def test_the_same_command_again_finds_it_complete(run_copy, hsisr):
    before = (run_copy / "unmix" / "model.safetensors").read_bytes()
    assert hsisr("train-unmix", run_copy, "-p", "3", "--epochs", "1").code == 0
    assert (run_copy / "unmix" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "other",
    [("--epochs", "7"), ("--seed", "5"), ("--set", "unmix.loss.sad=0.2")],
    ids=lambda other: other[0],
)
def test_other_numbers_do_not_continue_it(other, run_copy, hsisr):
    ended = hsisr("train-unmix", run_copy, "-p", "3", "--epochs", "1", *other)
    assert ended.code == 4
    assert "--overwrite" in ended.err


def test_max_time_stops_it_and_says_how_to_go_on(run_copy, hsisr):
    (run_copy / "unmix" / "state.safetensors").unlink()
    command = ("train-unmix", run_copy, "-p", "3", "--epochs", "1")
    stopped = hsisr(*command, "--max-time", "0")
    assert "stopped by --max-time at step 1 of 4" in stopped.err
    assert re.search(f"continue with: hsisr train-unmix .*{run_copy} -p 3 --epochs 1", stopped.err)
    assert (run_copy / "unmix" / "state.safetensors").exists()
    assert hsisr(*command).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recipe", "deafult"], "no recipe 'deafult'"),
        (["--recipe", "missing.toml"], "no recipe 'missing.toml'"),
        (["--set", "unmix.metod=vca"], "unknown key 'metod'"),
        (["--set", "unmix.training.batch=many"], "should be int"),
        (["--set", "nothing"], "sets nothing"),
        (["--set", "unmix.method=pca"], "no unmix called 'pca'"),
        (["--set", "unmix.initialise=nfindr"], "no initialisation 'nfindr'"),
        (["--set", "unmix.loss.l7=1.0"], "no losses called 'l7'"),
        (["--set", "unmix.numbers.colour=3"], "colour"),
        (["--set", "unmix.numbers.width=-1"], "negative"),
        (["--set", "unmix.training.batch=0"], "batch"),
        (["--set", "unmix.training.steps=0"], "steps"),
        (["--set", "unmix.training.patch=0"], "patch"),
        (["--endmembers", "25"], "25 endmembers"),
        (["--endmembers", "1"], "--endmembers"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--device", "cuda:99"], "is not there"),
        (["--precision", "fp8"], "no precision 'fp8'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said, run_copy, hsisr):
    before = sorted((run_copy / "unmix").iterdir())
    ended = hsisr("train-unmix", run_copy, "--overwrite", *options)
    assert ended.code == 2
    assert said in ended.first
    assert sorted((run_copy / "unmix").iterdir()) == before


def test_a_folder_without_prepared_data_is_explained(tmp_path, hsisr):
    ended = hsisr("train-unmix", tmp_path)
    assert ended.code == 3
    assert f"hint: hsisr prepare SCENE --scale 4 -o {tmp_path}" in ended.err


def test_a_recipe_may_be_a_file_of_ones_own(run_copy, tmp_path, hsisr):
    from importlib.resources import files

    text = (files("hsisr_models") / "recipes" / "default.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("endmembers = 5", "endmembers = 4"))
    recipe = ("--recipe", tmp_path / "mine.toml")
    assert hsisr("train-unmix", run_copy, *recipe, "--epochs", "1", "--overwrite").code == 0
    assert spectral.open_image(str(run_copy / "unmix" / "endmembers.hdr")).spectra.shape[0] == 4
