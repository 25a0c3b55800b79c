"""`hsisr calibrate` and `prepare --protocol`, on scenes of the published shapes."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from hsisr.data import protocol
from tests.hsisr.protocols import imresize, numbered, write_bands, write_mat5, write_mat73

PUBLISHED = {
    "arad1k": "482 x 512 pixels x 31 bands in variable cube",
    "cave": "512 x 512 pixels x 31 bands",
    "chikusei": "2517 x 2335 pixels x 128 bands in variable chikusei",
    "houston18": "1202 x 4172 pixels x 48 bands",
    "pavia-centre": "1096 x 715 pixels x 102 bands in variable pavia",
}
BANDS, EDGE = 12, 64


OWN = f"""
title = "a scene of my own"
source = "nobody"
get = "it at https://example.org"
scales = [4, 8]
operator = "bicubic"
metrics = "sspsr"
patch = 16

[scene]
files = ["mine*.mat"]
shape = [{4 * EDGE}, {3 * EDGE}, {BANDS}]
peak = 8000

[[part]]
split = "train"
rows = [1, {3 * EDGE}]
cols = [{EDGE + 1}, {3 * EDGE}]

[[part]]
split = "validation"
rows = [{3 * EDGE + 1}, {4 * EDGE}]
cols = [{EDGE + 1}, {3 * EDGE}]

[[part]]
split = "test"
rows = [1, {4 * EDGE}]
cols = [1, {EDGE}]
image = {EDGE}

[published.8]
bicubic = {{ sam = 7.8478, ergas = 4.8280, psnr = 24.5972, ssim = 0.4725 }}
"""

QUICK = (
    "--networks unmixing_sr --unmix on --epochs 1 --seeds 1 --threads 1 --device cpu --json "
    "--set unmix.initialise=vca --set unmix.numbers.width=8 --set unmix.training.steps=2 "
    "--set unmix.training.epochs=1 --set sr.numbers.width=8 --set sr.numbers.depth=1 "
    "--set sr.training.steps=2 --set sr.training.batch=2"
)
"""What makes a benchmark one of seconds."""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A protocol in a file, the folder of its scene, and the part that is tested."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(500, 7500, (EDGE, 3 * EDGE // 4, 6))
    fine = imresize(coarse, (4 * EDGE, 3 * EDGE)) @ rng.dirichlet(np.ones(6), BANDS).T
    scene = np.clip(fine, 0, 8000).astype(np.uint16)
    folder = tmp_path_factory.mktemp("mine")
    write_mat73(folder / "mine.mat", "x", scene)
    (folder / "own.toml").write_text(OWN)
    return folder / "own.toml", folder, scene[:, :EDGE]


@pytest.fixture(scope="module")
def expected(mine):
    """The bicubic row at scale 8 by NumPy and scikit-image, from the published definitions."""
    _, _, part = mine
    scores = []
    for top in range(0, 4 * EDGE, EDGE):
        true = part[top : top + EDGE].astype(np.float64) / 8000
        small = imresize(true, (EDGE // 8, EDGE // 8))
        found = imresize(small, (EDGE, EDGE))
        mse = ((true - found) ** 2).mean((0, 1))
        cosine = (true * found).sum(2) / np.linalg.norm(true, axis=2)
        cosine = np.clip(cosine / np.linalg.norm(found, axis=2), -1, 1)
        bands = range(true.shape[2])
        scores.append(
            {
                "psnr": np.mean(10 * np.log10(1 / mse)),
                "ssim": np.mean(
                    [
                        structural_similarity(true[..., b], found[..., b], data_range=1)
                        for b in bands
                    ]
                ),
                "sam": np.rad2deg(np.arccos(cosine)).mean(),
                "ergas": 100 / 8 * np.sqrt((mse / true.mean((0, 1)) ** 2).mean()),
                "cc": np.mean(
                    [np.corrcoef(true[..., b].ravel(), found[..., b].ravel())[0, 1] for b in bands]
                ),
                "rmse": np.sqrt(mse.mean()),
            }
        )
    return {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}


def test_the_bicubic_row_is_that_of_the_published_definitions(mine, expected, hsisr):
    command = ("calibrate", "--protocol", mine[0], "--data", mine[1], "--scale", "8")
    ended = hsisr(*command, "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    (row,) = told["scales"]
    assert (told["protocol"], told["source"]) == ("own", "nobody")
    assert (row["scale"], row["images"], row["peak"]) == (8, 4, 8000)
    assert (row["degradation"], row["metrics"]) == ("bicubic", "sspsr")
    assert row["measured"] == pytest.approx(expected, rel=1e-3)
    assert row["published"] == {"sam": 7.8478, "ergas": 4.8280, "psnr": 24.5972, "ssim": 0.4725}
    for key, value in row["published"].items():
        assert row["difference"][key] == pytest.approx(row["measured"][key] - value)


def test_the_table_stands_beside_the_published_row(mine, expected, hsisr):
    command = ("calibrate", "--protocol", mine[0], "--data", mine[1] / "mine.mat")
    ended = hsisr(*command, "--scale", "8")
    assert ended.code == 0
    header, here, published, difference, *notes = ended.out.splitlines()
    assert header.split()[:4] == ["own", "x8", "PSNR", "dB"]
    assert float(here.split()[2]) == pytest.approx(expected["psnr"], abs=1e-2)
    assert published.split()[2:] == ["24.5972", "0.4725", "7.8478", "4.8280", "-", "-"]
    assert float(difference.split()[1]) == pytest.approx(expected["psnr"] - 24.5972, abs=1e-2)
    text = "\n".join(notes)
    for part in ("4 test images, degraded x8 by bicubic", "metrics sspsr", "divided by 8000"):
        assert part in text
    assert "published by nobody" in text


def test_only_measures_of_the_preset_are_compared(mine, expected, hsisr, tmp_path):
    (tmp_path / "own.toml").write_text(OWN.replace('"sspsr"', '"wald"'))
    command = ("calibrate", "--protocol", tmp_path / "own.toml", "--data", mine[1], "-s", "8")
    (row,) = json.loads(hsisr(*command, "--json").out)["scales"]
    assert list(row["measured"]) == ["ergas", "rase", "sam", "cc", "uiqi"]
    assert row["published"]["psnr"] == 24.5972
    assert row["difference"] == {
        "ergas": pytest.approx(expected["ergas"] - 4.8280, abs=1e-2),
        "sam": pytest.approx(expected["sam"] - 7.8478, abs=1e-2),
    }
    published = hsisr(*command).out.splitlines()[2]
    assert published.split()[2:] == ["4.8280", "-", "7.8478", "-", "-"]


def tiny(name, folder):
    """The files that a protocol wants by their names, each far too small."""
    plan = protocol.load(name).plan
    first = folder / "first"
    if name == "cave":
        for scene in plan.scenes:
            write_bands(folder, scene, numbered(6, 5, 2))
    elif len(plan.scenes) == 1:
        write_mat5(folder / plan.files[0].replace("*", ""), plan.variable or "x", numbered(6, 5, 2))
    else:
        write_mat73(first, plan.variable, numbered(6, 5, 2))
        for scene in plan.scenes:
            shutil.copyfile(first, folder / f"{scene}.mat")


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("command", ["calibrate", "prepare"])
def test_scenes_of_another_size_are_refused(name, command, hsisr, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    tiny(name, data)
    refused(asked(command, name, data, run, hsisr), name, "is 6 x 5 pixels x 2 bands")
    assert not run.exists()


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("command", ["calibrate", "prepare"])
def test_a_wrong_folder_is_refused(name, command, hsisr, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    refused(asked(command, name, data, run, hsisr), name, "no such folder")
    data.mkdir()
    refused(asked(command, name, data, run, hsisr), name, r"none of its files .*found nothing")
    (data / "indian_pines.mat").touch()
    refused(asked(command, name, data, run, hsisr), name, r"\(found indian_pines.mat\)")
    assert not run.exists()


@pytest.mark.parametrize("name", ["arad1k", "cave"])
def test_a_missing_file_is_named(name, hsisr, tmp_path):
    tiny(name, tmp_path)
    scene = protocol.load(name).plan.scenes[-1]
    (gone,) = tmp_path.rglob(f"{scene}_01.png" if name == "cave" else f"{scene}.mat")
    gone.unlink()
    said = rf"lacks 1 of \d+ scenes: {scene}"
    refused(asked("calibrate", name, tmp_path, None, hsisr), name, said)


def asked(command, name, data, run, hsisr):
    if command == "calibrate":
        return hsisr("calibrate", "--protocol", name, "--data", data)
    return hsisr("prepare", "--protocol", name, data, "--output", run)


def refused(ended, name, said):
    """What was found, what is expected, and where to get it."""
    assert ended.code == 3, ended.err
    assert re.search(said, ended.first), ended.first
    assert re.search(rf"protocol {name} expects .*{PUBLISHED[name]}", ended.first), ended.first
    assert re.search(r"hint: get .*https://", ended.err), ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "pavia", "--data", "."], "no protocol 'pavia'"),
        (["--protocol", "scenes", "--data", "."], "no published row"),
        (["--protocol", "cave", "--data", ".", "--scale", "3"], "has no scale 3"),
        (["--protocol", "cave", "--data", ".", "--scale", "4;8"], "--scale '4;8'"),
        (["--protocol", "cave"], "--data"),
    ],
)
def test_what_no_protocol_has_is_refused(options, said, hsisr):
    ended = hsisr("calibrate", *options)
    assert ended.code == 2
    assert said in ended.first


def test_a_run_is_prepared_by_a_protocol(mine, hsisr, tmp_path):
    own, data, _ = mine
    ended = hsisr("prepare", "--protocol", own, data, "-s", "8", "-o", tmp_path / "run")
    assert ended.code == 0
    assert "peak 8000 (as protocol own says) is 1 to the networks" in ended.err
    evaluated = hsisr("evaluate", tmp_path / "run", "--json")
    calibrated = hsisr("calibrate", "--protocol", own, "--data", data, "--json")
    rows = {row["scale"]: row for row in json.loads(calibrated.out)["scales"]}
    assert list(rows) == [4, 8]
    assert not rows[4]["published"]
    (bicubic,) = json.loads(evaluated.out)["rows"]
    for key, value in rows[8]["measured"].items():
        assert bicubic[key] == pytest.approx(value, rel=1e-5)


def test_networks_are_trained_and_tested_by_a_protocol_of_ones_own(mine, hsisr, tmp_path):
    own, data, _ = mine
    run, compared = tmp_path / "run", tmp_path / "compared"
    for command in (
        ("prepare", "--protocol", own, data, "-s", "8", "-o", run),
        ("train-unmix", run, "--recipe", "tiny", "--epochs", "1"),
        ("train-sr", run, "--recipe", "tiny", "--epochs", "1"),
    ):
        ended = hsisr(*command)
        assert ended.code == 0, ended.err
    rows = json.loads(hsisr("evaluate", run, "--model", run, "--json").out)["rows"]
    assert [row["name"] for row in rows] == ["bicubic", str(run)]
    command = ("benchmark", "--protocol", own, "--data", data, "-s", "8", "-o", compared)
    ended = hsisr(*command, *QUICK.split())
    assert ended.code == 0, ended.err
    entries = json.loads(ended.out)["tables"][0]["entries"]
    assert [entry["name"] for entry in entries] == ["bicubic", "unmixing_sr+unmixing"]
    assert entries[0]["measures"]["psnr"]["values"] == pytest.approx([rows[0]["psnr"]])


@pytest.mark.parametrize(
    ("line", "settings", "patch"),
    [
        ("patch = 12", [], 12),
        ("patch = 12", ["--set", "sr.training.patch=8"], 8),
        # SNLSR's own
        ("", [], 50),
    ],
)
def test_networks_are_compared_on_the_published_patches(
    line, settings, patch, mine, hsisr, tmp_path
):
    own, output = tmp_path / "own.toml", tmp_path / "compared"
    own.write_text(OWN.replace("patch = 16", line))
    command = ("benchmark", "--protocol", own, "--data", mine[1], "-s", "4", "-o", output)
    quick = ("--epochs", "1", "--seeds", "1", "--threads", "1", "--device", "cpu")
    steps = ("--set", "sr.training.steps=1", "--set", "sr.training.batch=1")
    ended = hsisr(*command, *quick, *steps, *settings, "--networks", "snlsr")
    assert ended.code == 0, ended.err
    plan = json.loads((output / "own_x4" / "snlsr_plan.json").read_text())
    assert plan["about"]["recipe"]["training"]["patch"] == patch


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "a scene of my own"', "", "title"),
        ('operator = "bicubic"', 'operator = "cubic"', "no degradation 'cubic'"),
        ('metrics = "sspsr"', 'metrics = "mine"', "no metrics 'mine'"),
        ("peak = 8000", "peek = 8000", "peek"),
        ('"validation"', '"check"', "no split 'check'"),
        ('"validation"', '"train"', "no part for validation"),
        ('split = "train"\n', "", "it lacks 'split'"),
        (f"image = {EDGE}", "image = 30", "30 pixels are no multiple"),
        (f"rows = [1, {4 * EDGE}]", f"rows = [1, {5 * EDGE}]", "not inside the crop"),
        (f"cols = [1, {EDGE}]", f"cols = [2, {EDGE + 1}]", "1 (train) and 3 (test) overlap"),
        (f"rows = [1, {3 * EDGE}]", f"rows = [1, {3 * EDGE + 1}]", "(validation) overlap"),
        # the last image reaches beyond its part
        (
            f"rows = [1, {4 * EDGE}]\ncols = [1, {EDGE}]\nimage = {EDGE}",
            f"rows = [1, 240]\ncols = [1, {EDGE}]\nimage = 48",
            "(test) overlap",
        ),
        (f"rows = [1, {3 * EDGE}]", "rows = [5, 4]", f"train is 0 x {2 * EDGE}"),
        ("[scene]", "[scene]\ncrop = { rows = [0, 9], cols = [1, 9] }", "crop is not inside"),
        ("scales = [4, 8]", "scales = 4", "not iterable"),
        ("patch = 16", "patch 16", "not a protocol"),
        ("sam = 7.8478", "beauty = 7.8478", "bicubic: beauty = 7.8478 is no measure"),
        ("sam = 7.8478", 'sam = "good"', "sam = good is no measure"),
        ("[published.8]", "[published.2]", "no scale 2"),
        (f"rows = [1, {3 * EDGE}]", "row = [1, 9]", "a part has no row"),
        (f"rows = [1, {3 * EDGE}]\n", "", "rows"),
    ],
)
def test_a_file_that_is_no_protocol_is_refused(old, new, said, mine, hsisr, tmp_path):
    assert old in OWN
    (tmp_path / "own.toml").write_text(OWN.replace(old, new))
    ended = hsisr("calibrate", "--protocol", tmp_path / "own.toml", "--data", mine[1])
    assert ended.code == 2, ended.err
    assert said in ended.first


@pytest.mark.parametrize("scene", ["one", "{first}"])
def test_a_scene_neither_trains_nor_validates_that_tests(scene, mine, hsisr, tmp_path):
    parts = "".join(
        f'[[part]]\nsplit = "{split}"\nscenes = ["{scene.format(first=split)}"]\n'
        for split in ("train", "test", "validation")
    )
    (tmp_path / "own.toml").write_text(f"{OWN.partition('[[part]]')[0]}{parts}[published]\n")
    ended = hsisr("prepare", "--protocol", tmp_path / "own.toml", mine[1], "-o", tmp_path / "run")
    if scene == "one":
        assert ended.code == 2
        assert "parts 1 (train) and 2 (test) overlap in scene one" in ended.first
    else:
        assert ended.code == 3
        assert "has one file for two scenes" in ended.first
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option", [("--split", "1,1,1"), ("--gap", "0"), ("--var", "x"), ("--degradation", "area")]
)
def test_a_protocol_settles_the_rest(option, hsisr, tmp_path):
    ended = hsisr("prepare", "--protocol", "cave", tmp_path, "-o", tmp_path / "run", *option)
    assert ended.code == 2
    assert "protocol cave settles" in ended.first


def test_a_scene_of_a_folder_is_prepared_alone(world, make_scene, hsisr, tmp_path):
    make_scene("one"), make_scene("two")
    command = ("prepare", "--protocol", "scenes", "-s", "2", "-o", tmp_path / "run")
    ended = hsisr(*command, tmp_path)
    assert ended.code == 2
    assert "holds 2 scenes" in ended.first
    assert hsisr(*command, tmp_path / "one.hdr", tmp_path / "two.hdr").code == 2
    assert hsisr(*command, tmp_path / "one.hdr").code == 0
    assert hsisr(*command, tmp_path / "one.hdr").code == 5
    train = ("train-sr", tmp_path / "run", "--unmix", "none", "--epochs", "1")
    assert hsisr(*train).code == 0
    assert hsisr("evaluate", tmp_path / "run", "--model", tmp_path / "run").code == 0
