from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import FILL, mixed, stored


def test_blocks_hold_the_pixels_of_the_scene(world, hsisr, tmp_path):
    ended = hsisr("prepare", world.header, "--scale", "2", "-o", tmp_path / "run")
    assert ended.code == 0
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    scene = np.fromfile(world.data, "<i2").reshape(64, 24, 48).transpose(1, 0, 2) / 10_000
    for entry in manifest["blocks"]:
        place = entry["window"]
        rows = slice(place["row"], place["row"] + place["height"])
        cols = slice(place["col"], place["col"] + place["width"])
        high = np.load(tmp_path / "run" / "data" / entry["high"])
        low = np.load(tmp_path / "run" / "data" / entry["low"])
        there = np.isfinite(high)
        np.testing.assert_allclose(high[there], scene[:, rows, cols][there], atol=1e-6)
        assert low.shape == (24, place["height"] // 2, place["width"] // 2)


def test_splits_are_disjoint_with_a_gap_between_them(world, hsisr, tmp_path):
    hsisr("prepare", world.header, "--scale", "2", "--gap", "3", "-o", tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    spans = {
        split: [
            row
            for entry in manifest["blocks"]
            if entry["split"] == split
            for row in range(
                entry["window"]["row"], entry["window"]["row"] + entry["window"]["height"]
            )
        ]
        for split in ("train", "validation", "test")
    }
    assert max(spans["train"]) + 3 * 2 < min(spans["validation"])
    assert max(spans["validation"]) + 3 * 2 < min(spans["test"])


def test_it_says_what_was_made_and_what_comes_next(world, hsisr, tmp_path):
    ended = hsisr("prepare", world.header, "--scale", "2", "-o", tmp_path / "run")
    assert "3 blocks of 24 bands" in ended.err
    assert "train 1,920 pixels" in ended.err
    assert ended.err.splitlines()[-1] == f"Next: hsisr train-unmix {tmp_path / 'run'}"


def test_several_scenes_are_joined(world, make_scene, hsisr, tmp_path):
    other = make_scene("other")
    assert hsisr("prepare", world.header, other, "--scale", "2", "-o", tmp_path / "run").code == 0
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert {entry["scene"] for entry in manifest["blocks"]} == {"scene.img", "other.img"}


def test_prepared_data_are_not_replaced_unless_asked(run_copy, world, hsisr):
    before = (run_copy / "data" / "manifest.json").read_bytes()
    ended = hsisr("prepare", world.header, "--scale", "4", "--gap", "1", "-o", run_copy)
    assert ended.code == 5
    assert "--overwrite" in ended.err
    assert (run_copy / "data" / "manifest.json").read_bytes() == before
    command = ("prepare", world.header, "--scale", "4", "--gap", "1", "-o", run_copy)
    assert hsisr(*command, "--overwrite").code == 0
    assert json.loads((run_copy / "data" / "manifest.json").read_text())["scale"] == 4


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--scale", "8"], 3, "too small to be split"),
        (["--split", "1,2"], 2, "three shares"),
        (["--split", "1,0,1"], 2, "three positive shares"),
        (["--split", "nan,1,1"], 2, "three positive shares"),
        (["--degradation", "bilinear"], 2, "no degradation 'bilinear'"),
        (["--scale", "1"], 2, "--scale"),
        (["--gap", "-1"], 2, "--gap"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_leaves_nothing(
    options, code, said, world, hsisr, tmp_path
):
    ended = hsisr("prepare", world.header, "-o", tmp_path / "run", *options)
    assert ended.code == code
    assert said in ended.first
    assert "hint: " in ended.err
    assert not (tmp_path / "run").exists()


def test_nothing_is_told_to_be_less_than_nothing(make_scene, hsisr, tmp_path):
    scene = make_scene(numbers=np.ones((24, 5, 5), "<i2"))
    ended = hsisr("prepare", scene, "--scale", "2", "-o", tmp_path / "run")
    assert ended.code == 3
    assert "its train part would be 0 x 2 low-resolution pixels" in ended.first


def test_bands_without_data_are_left_out_by_the_command_that_is_told(make_scene, hsisr, tmp_path):
    numbers = stored(*mixed())
    numbers[[0, 7, 8]] = FILL
    command = "prepare", make_scene(numbers=numbers), "--scale", "2", "-o", tmp_path / "run"
    ended = hsisr(*command)
    assert ended.code == 3
    assert "no data in 3 bands" in ended.first
    assert not (tmp_path / "run" / "data" / "manifest.json").exists()
    told = ended.err.split("--bands ")[1].split()[0]
    assert hsisr(*command, "--bands", told).code == 0
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert manifest["bands"] == 21
    high = np.load(tmp_path / "run" / "data" / manifest["blocks"][0]["high"])
    kept = np.delete(numbers, [0, 7, 8], 0)[:, : high.shape[1], : high.shape[2]]
    np.testing.assert_allclose(np.nan_to_num(high, nan=FILL / 1e4), kept / 1e4, atol=1e-6)


def test_scenes_with_other_bands_are_not_mixed(world, make_scene, hsisr, tmp_path):
    fewer = make_scene(numbers=np.ones((7, 64, 48), np.int16), wavelength=None, fwhm=None)
    ended = hsisr("prepare", world.header, fewer, "--scale", "2", "-o", tmp_path / "run")
    assert ended.code == 3
    assert "has 7 bands, scene.img has 24" in ended.first


def test_a_run_folder_that_is_a_file_is_an_output_error(world, hsisr, tmp_path):
    (tmp_path / "run").write_text("mine")
    ended = hsisr("prepare", world.header, "--scale", "2", "-o", tmp_path / "run")
    assert ended.code == 5
    assert (tmp_path / "run").read_text() == "mine"


def noisy(bands):
    """A scene that varies in every direction."""
    numbers = stored(*mixed())[:bands]
    noise = np.random.default_rng(0).integers(-200, 200, numbers.shape, np.int16)
    return np.where(numbers == FILL, numbers, numbers + noise)


def test_scenes_of_several_sensors_are_prepared_as_tokens(world, make_scene, hsisr, tmp_path):
    plain = {"wavelength": None, "fwhm": None}
    few, other = (make_scene(f"of{n}", noisy(n), **plain) for n in (3, 9))
    command = ("prepare", world.header, few, "--tokens", "4", "--validation", other, "-s", "2")
    operators = ("--degradation", "bicubic", "--degradation", "area")
    ended = hsisr(*command, *operators, "-o", tmp_path / "run")
    assert ended.code == 0
    assert "6 examples of up to 4 tokens" in ended.err
    assert "degraded x2 by bicubic, area" in ended.err
    assert ended.err.splitlines()[-1] == f"Next: hsisr train-sr {tmp_path / 'run'} --recipe any"
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    told = [
        (entry["split"], entry["scene"], entry["degradation"], len(entry["weights"]))
        for entry in manifest["examples"]
    ]
    assert told == [
        (split, scene, operator, tokens)
        for split, scene, tokens in (
            # mixtures of three materials
            ("train", "scene.img", 2),
            ("train", "of3.img", 3),
            ("validation", "of9.img", 4),
        )
        for operator in ("bicubic", "area")
    ]
    for entry in manifest["examples"]:
        high = np.load(tmp_path / "run" / "data" / entry["high"])
        assert high.shape == (len(entry["weights"]), 64, 48)
        # the whole scene, but for the hole
        assert np.isnan(high).any(0).sum() == 3 * 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tokens", "8"], "--tokens needs scenes to validate with"),
        (["--validation", "SCENE"], "need tokens"),
        (["--degradation", "area", "--degradation", "bicubic"], "need tokens"),
        (
            ["--tokens", "8", "--validation", "SCENE", "--degradation", "near"],
            "no degradation 'near'",
        ),
        (["--tokens", "8", "--validation", "SCENE"], "to train with and to validate with"),
        (["--tokens", "8", "--validation", "DATA"], "to train with and to validate with"),
        (["--tokens", "-1"], "--tokens"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said, world, hsisr, tmp_path):
    files = {"SCENE": world.header, "DATA": world.data}
    options = [files.get(option, option) for option in options]
    ended = hsisr("prepare", world.header, "--scale", "2", "-o", tmp_path / "run", *options)
    assert ended.code == 2
    assert said in ended.first
    assert "hint: " in ended.err
    assert not (tmp_path / "run").exists()


def test_tokens_replace_prepared_blocks_only_if_asked(run_copy, world, make_scene, hsisr):
    before = (run_copy / "data" / "manifest.json").read_bytes()
    command = ("prepare", world.header, "-s", "2", "--tokens", "3", "--validation", make_scene())
    assert hsisr(*command, "-o", run_copy).code == 5
    assert (run_copy / "data" / "manifest.json").read_bytes() == before
    assert hsisr(*command, "-o", run_copy, "--overwrite").code == 0
    ended = hsisr("train-unmix", run_copy, "--overwrite")
    assert ended.code == 3
    assert "holds tokens, not spectra" in ended.first


def test_a_scene_in_which_nothing_varies_has_no_tokens(world, make_scene, hsisr, tmp_path):
    flat = make_scene("flat", np.full((24, 64, 48), 7, np.int16))
    command = ("prepare", world.header, flat, "-s", "2", "--tokens", "3", "--validation")
    ended = hsisr(*command, make_scene(), "-o", tmp_path / "run")
    assert ended.code == 3
    assert "all pixels are alike" in ended.first
    assert not (tmp_path / "run" / "data" / "manifest.json").exists()
