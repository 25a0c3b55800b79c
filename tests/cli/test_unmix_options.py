"""What `hsisr unmix` is asked for: how many, by which constraints, how strictly."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio

from tests.cli.conftest import FILL, HEADER, WAVELENGTHS, stored, write_scene


def _maps(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def _record(folder, name):
    return json.loads((folder / f"{name}_abundance.run.json").read_text())


@pytest.fixture
def unmix(world, hsisr):
    """Unmixes the world's scene, without a picture."""
    return lambda *options: hsisr("unmix", world.header, "--no-quicklook", *options)


def test_a_scene_tells_how_many_endmembers_it_has(world, unmix, tmp_path):
    command = ("--endmembers", "auto", "--method", "vca")
    ended = unmix(*command, "-o", tmp_path / "x")
    record = _record(tmp_path, "x")
    assert record["endmembers"] == len(world.spectra)
    assert sorted(record["estimates"]) == ["elbow", "hysime", "nwhfc"]
    assert min(record["estimates"].values()) == len(world.spectra)
    line = next(line for line in ended.err.splitlines() if line.startswith("endmembers "))
    for name, count in record["estimates"].items():
        assert f"{count} by {name}" in line
    assert line.endswith("3 are looked for")
    assert len(_maps(tmp_path / "x_abundance.img")) == 3


def test_what_was_found_by_itself_is_what_is_found_when_asked_for(unmix, tmp_path):
    for count in ("auto", "3"):
        command = ("-p", count, "--method", "vca")
        assert unmix(*command, "-o", tmp_path / count).code == 0
    np.testing.assert_array_equal(*(_maps(tmp_path / f"{n}_abundance.img") for n in ("auto", "3")))


def test_shares_agree_on_what_they_have_found(unmix, tmp_path):
    command = ("-p", "auto", "--method", "vca", "--tile", 10)
    for name, shares in (("whole", ["1/1"]), ("shares", ["2/2", "1/2"])):
        for share in shares:
            assert unmix(*command, "--shard", share, "-o", tmp_path / name).code == 0
    for kind in ("abundance", "class"):
        files = [(tmp_path / f"{name}_{kind}.img").read_bytes() for name in ("whole", "shares")]
        assert files[0] == files[1]
    assert _record(tmp_path, "shares")["estimates"] == _record(tmp_path, "whole")["estimates"]


def test_there_may_be_very_many_endmembers(make_scene, hsisr, tmp_path):
    numbers = np.random.default_rng(0).integers(1, 9000, (80, 11, 9)).astype("<i2")
    scene = make_scene("many", numbers, wavelength=None, fwhm=None)
    command = ("unmix", scene, "-p", 70, "--method", "atgp", "--no-quicklook")
    assert hsisr(*command, "-o", tmp_path / "x").code == 0
    maps = _maps(tmp_path / "x_abundance.img")
    assert maps.shape == (70, 11, 9)
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.sum(0), 1, atol=1e-5)


def test_a_dry_run_does_not_count(unmix, tmp_path):
    ended = unmix("-p", "auto", "-o", tmp_path, "--dry-run")
    assert ended.code == 0
    assert "up to 12 endmembers by auto, abundances by sclsu" in ended.err
    assert "12 bands float32, 147.5 kB at most" in ended.err
    assert "looking for endmembers comes on top" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("switches", "solver"),
    [
        (("--asc",), "fcls"),
        (("--no-asc",), "nnls"),
        (("--no-anc",), "scls"),
        (("--no-asc", "--no-anc"), "ls"),
        (("--abundances", "nnls", "--anc"), "nnls"),
    ],
    ids=str,
)
def test_constraints_choose_the_least_squares(unmix, tmp_path, switches, solver):
    source = ("-p", 3, "--method", "vca")
    assert unmix(*source, *switches, "-o", tmp_path / "a").code == 0
    assert unmix(*source, "--abundances", solver, "-o", tmp_path / "b").code == 0
    np.testing.assert_array_equal(*(_maps(tmp_path / f"{name}_abundance.img") for name in "ab"))


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ("", "none of --endmembers, --library and --model", "--endmembers auto"),
        ("-p 0", "--endmembers 0", "from 1 on, or auto"),
        ("-p many", "--endmembers many", "from 1 on, or auto"),
        ("-p 3 --library x.csv", "--endmembers: .* those of the library", "leave out --endmembers"),
        ("--library x.csv --method vca", "--method: .* those of the library", "--method"),
        ("-p 3 --class-column kind", "--class-column: only a --library", "--class-column"),
        ("-p 3 --abundances nnls --asc", "nnls and --asc contradict", "--abundances fcls"),
        ("-p 3 --abundances ls --asc --anc", "--asc and --anc contradict", "--abundances fcls"),
        (
            "-p 3 --abundances sclsu --no-asc",
            "--no-asc: of fcls, nnls, scls, ls and sunsal",
            "--no-asc",
        ),
        ("-p 3 --sparsity 0.1", "--sparsity: a number of sunsal, .* by sclsu", "--sparsity"),
        ("--model RUN -p 3 --asc", "--endmembers and --asc: a model has .* of its own", "leave"),
        ("--model RUN --library x.csv", "--library: a model has", "leave out --library"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    world, unmix, tmp_path, options, what, hint
):
    given = [world.run if part == "RUN" else part for part in options.split()]
    ended = unmix("-o", tmp_path, *given)
    assert ended.code == 2
    assert re.search(what, ended.first), ended.first
    assert re.search(f"hint: .*{hint}", ended.err), ended.err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def rare(make_scene, world):
    """A scene of two materials, and of a third one in a single pixel."""
    shares = np.stack([np.tile(np.linspace(0, 1, 48), (64, 1))] * 3)
    shares[1], shares[2] = 1 - shares[0], 0
    shares[:, 30, 30] = 0, 0, 1
    numbers = np.rint(np.einsum("pb,phw->bhw", world.spectra, shares) * 10_000)
    return make_scene("rare", numbers.astype("<i2"))


def test_a_strict_run_ends_with_7_and_leaves_its_results(rare, hsisr, tmp_path):
    command = ("unmix", rare, "-p", 3, "--method", "vca", "-o", tmp_path / "x")
    ended = hsisr(*command, "--strict")
    record = _record(tmp_path, "x")
    assert ended.code == 7
    assert record["faults"]
    assert all(fault in ended.first for fault in record["faults"])
    assert (tmp_path / "x_abundance.img").exists()
    assert (tmp_path / "x_endmembers.csv").exists()
    again = hsisr(*command, "--strict")
    assert again.code == 7
    assert again.first == ended.first
    assert hsisr(*command).code == 0


def test_an_endmember_that_hardly_occurs_is_warned_of(rare, hsisr, tmp_path):
    said = hsisr("unmix", rare, "-p", 3, "--method", "vca", "-o", tmp_path / "x").err
    record = _record(tmp_path, "x")
    (dead,) = record["dead_endmembers"]
    assert record["mean_abundances"][int(dead.removeprefix("endmember ")) - 1] < 0.005
    assert f"warning: the scene holds next to nothing of {dead} (" in said


def test_a_sound_result_is_sound_strictly_too(unmix, tmp_path):
    command = ("-p", 3, "--method", "vca", "--strict")
    assert unmix(*command, "-o", tmp_path / "x").code == 0


def test_bands_of_noise_are_told_with_the_bands_to_take_instead(world, hsisr, tmp_path):
    numbers = stored(world.spectra, world.abundances)
    there = numbers[0] != FILL
    rng = np.random.default_rng(0)
    numbers[7:9, there] = rng.integers(0, 15_000, (2, there.sum()))
    scene = write_scene(tmp_path, numbers, HEADER, "loud")
    command = ("unmix", scene, "-p", 3, "--method", "vca", "--no-quicklook")
    warned = next(line for line in hsisr(*command).err.splitlines() if " noise" in line)
    assert warned.startswith("warning: there is hardly more than noise in 2 bands")
    bands = warned.rpartition("--bands ")[2]
    ended = hsisr(*command, "--bands", bands, "-o", tmp_path / "clear")
    assert " noise" not in ended.err
    spectra = np.loadtxt(tmp_path / "clear_endmembers.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(spectra[:, 0], np.delete(WAVELENGTHS, [7, 8]))
