from __future__ import annotations

import csv
import itertools
import re

import numpy as np
import pytest
import spectral

from hsisr.checkpoints.checkpoint import load
from hsisr.cli import main
from hsisr.errors import UsageError
from hsisr_models.unmix import SHELF


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


def test_it_tells_how_far_the_endmembers_moved(run_copy, hsisr):
    """Against the angles between what it starts from, and what it writes."""
    known = run_copy / "unmix" / "endmembers.csv"
    begun = np.loadtxt(known, delimiter=",", skiprows=1, usecols=(1, 2, 3)).T
    kept = known.rename(run_copy / "known.csv")
    start = ("--set", f"unmix.initialise={kept}")
    ended = hsisr("train-unmix", run_copy, "-p", "3", "--epochs", "3", "--overwrite", *start)
    assert ended.code == 0
    found = np.loadtxt(known, delimiter=",", skiprows=1, usecols=(1, 2, 3)).T
    cosines = (begun * found).sum(1) / np.linalg.norm(begun, axis=1) / np.linalg.norm(found, axis=1)
    told = re.search(r"moved by ([\d.e-]+) degrees from their start", ended.err)
    assert float(told[1]) == pytest.approx(np.degrees(np.arccos(cosines)).mean(), rel=0.1)


def test_it_unmixes_the_high_resolution_where_asked(run_copy, hsisr):
    command = ("train-unmix", run_copy, "-p", "3", "--epochs", "1", "--overwrite")
    low, high = (hsisr(*command, "--on", which) for which in ("low", "high"))
    assert (low.code, high.code) == (0, 0)
    rows = [line for ended in (low, high) for line in ended.err.splitlines() if "RMSE" in line]
    assert len(set(rows)) == 2
    assert load(run_copy / "unmix" / "model.safetensors").card.data["resolution"] == "high"


def test_what_needs_whole_batches_is_not_shared_among_processes():
    from hsisr.cli.train_unmix import _require_alone
    from hsisr.training.distributed import World

    for name, shared in (("gram_autoencoder", True), ("cnnaeu", False)):
        network = SHELF[name].build(bands=4, endmembers=2)
        _require_alone(network, World(size=1), name)
        if shared:
            _require_alone(network, World(size=2), name)
        else:
            with pytest.raises(UsageError, match="'cnnaeu' needs whole batches"):
                _require_alone(network, World(size=2), name)


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
        (["--set", "unmix.method=pca"], "no unmixing method 'pca'"),
        (["--set", "unmix.initialise=corners"], "no initialisation 'corners'"),
        (["--set", "unmix.loss.l7=1.0"], "no loss term 'l7'"),
        (["--set", "unmix.numbers.colour=3"], "colour"),
        (["--set", "unmix.numbers.width=-1"], "width = -1"),
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


def test_a_method_with_numbers_of_its_own_is_found_by_its_recipe(run_copy, hsisr):
    command = ("train-unmix", run_copy, "--overwrite", "--epochs", "1")
    ended = hsisr(*command, "--set", "unmix.method=cnnaeu")
    assert ended.code == 2
    assert "'cnnaeu' has no number 'depth'" in ended.first
    assert "numbers are width, window, dropout, positivity; --recipe cnnaeu sets them" in ended.err
    few = ("--set", "unmix.training.steps=1", "--threads", "1")
    assert main([*map(str, command), "--recipe", "cnnaeu", *few]) == 0


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
