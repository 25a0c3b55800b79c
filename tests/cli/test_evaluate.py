from __future__ import annotations

import json

import numpy as np
import pytest

MEASURES = ("psnr", "ssim", "sam", "ergas", "cc", "rmse")


def _rows(ended):
    return {row["name"]: row for row in json.loads(ended.out)["rows"]}


def test_the_first_row_is_bicubic_and_every_measure_is_defined(world, hsisr):
    ended = hsisr("evaluate", world.run, "--model", world.run)
    assert ended.code == 0
    heading, bicubic, model, *notes = ended.out.splitlines()
    assert heading.split()[:3] == ["PSNR", "dB", "SSIM"]
    assert bicubic.startswith("bicubic ")
    assert model.startswith(str(world.run))
    for measure in MEASURES:
        assert any(note.strip().startswith(f"{measure.upper()}:") for note in notes)


def test_a_run_is_scored_on_its_test_blocks(world, hsisr):
    content = json.loads(hsisr("evaluate", world.run, "--json").out)
    assert content["schema"] == "hsisr/evaluate/1"
    assert content["scale"] == 2
    assert content["degradation"] == "bicubic"
    assert [row["name"] for row in content["rows"]] == ["bicubic"]
    manifest = json.loads((world.run / "data" / "manifest.json").read_text())
    assert content["peak"] == manifest["peak"]


def test_a_known_error_is_measured_exactly(world, make_scene, hsisr):
    numbers = np.fromfile(world.data, "<i2").reshape(64, 24, 48).transpose(1, 0, 2).copy()
    numbers[numbers != -9999] += 100
    estimate = make_scene("shifted", numbers)
    ended = hsisr("evaluate", world.header, estimate, "--scale", "2", "--json")
    row, peak = _rows(ended)[str(estimate)], json.loads(ended.out)["peak"]
    assert row["psnr"] == pytest.approx(20 * np.log10(peak / 0.01), abs=1e-3)
    assert row["rmse"] == pytest.approx(0.01 / peak, rel=1e-4)
    assert row["cc"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("factor", "told"), [("1", "1e+04 times"), ("2e4", None), ("1e6", "0.01")])
def test_an_estimate_in_another_unit_is_told_of(factor, told, world, make_scene, hsisr):
    numbers = np.fromfile(world.data, "<i2").reshape(64, 24, 48).transpose(1, 0, 2)
    estimate = make_scene("other", numbers, reflectance_scale_factor=factor)
    ended = hsisr("evaluate", world.header, estimate, "--scale", "2")
    assert ended.code == 0
    assert ("are both in the same unit?" in ended.err) is (told is not None)
    assert (told or "") in ended.err


def test_a_flawless_estimate_is_infinite_in_words_and_null_in_json(world, hsisr):
    command = ("evaluate", world.header, world.data, "--scale", "2")
    assert hsisr(*command).out.splitlines()[2].split()[1] == "inf"
    row = _rows(hsisr(*command, "--json"))[str(world.data)]
    assert row["psnr"] is None
    assert row["sam"] == pytest.approx(0, abs=1e-4)


def test_a_measure_that_a_scene_does_not_have_is_left_empty(hsisr, tmp_path):
    np.save(tmp_path / "flat.npy", np.full((32, 32, 3), 7, np.int16))
    command = ("evaluate", tmp_path / "flat.npy", "--scale", "2")
    ended = hsisr(*command)
    assert ended.code == 0
    _, bicubic, *_ = ended.out.splitlines()
    # what does not vary has no correlation
    assert bicubic.split()[1:] == ["inf", "1.0000", "0.0000", "0.0000", "-", "0.0000"]
    assert _rows(hsisr(*command, "--json"))["bicubic"]["cc"] is None


def test_a_model_scores_as_the_file_it_writes(world, make_scene, hsisr, tmp_path):
    scene = np.fromfile(world.data, "<i2").reshape(64, 24, 48).transpose(1, 0, 2)[:, 4:]
    truth = make_scene("truth", scene)
    area = scene.reshape(24, 30, 2, 48 // 2, 2).mean((2, 4))
    low = make_scene("low", np.rint(area).astype("<i2"))
    hsisr("upscale", low, "--model", "bicubic", "--scale", "2", "-o", tmp_path / "sharp.img")
    command = ("evaluate", truth, tmp_path / "sharp.img", "--scale", "2", "--json")
    rows = _rows(hsisr(*command, "--degradation", "area"))
    # what the file adds is the rounding to integers, twice
    assert rows[str(tmp_path / "sharp.img")]["psnr"] == pytest.approx(
        rows["bicubic"]["psnr"], abs=0.01
    )


@pytest.mark.parametrize(
    ("condition", "code"), [("psnr=1", 0), ("psnr=99", 7), ("sam=90", 0), ("sam=0", 7)]
)
def test_fail_under_asks_every_row_but_bicubic(condition, code, world, hsisr):
    ended = hsisr("evaluate", world.run, "--model", world.run, "--fail-under", condition)
    assert ended.code == code
    assert "bicubic" in ended.out
    if code:
        assert "was asked for" in ended.err


def test_a_condition_that_no_row_is_asked_is_refused(world, hsisr):
    ended = hsisr("evaluate", world.run, "--fail-under", "psnr=1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.first == "error: --fail-under has no row to ask"


def test_a_score_of_pixels_that_a_model_has_seen_is_told_below_the_table(
    world, make_scene, hsisr, run_copy
):
    def told(truth, *options):
        ended = hsisr("evaluate", truth, "--model", world.run, "--json", *options)
        return json.loads(ended.out)["definitions"][-1]

    seen = f"{world.run} was trained or chosen with pixels of {world.data.name}"
    assert told(world.header) == seen
    for kept in (world.run, make_scene("elsewhere")):
        assert told(kept).startswith("RMSE")
    again = ("prepare", world.header, "--scale", "2", "--split", "0.4,0.2,0.4", "--overwrite")
    assert hsisr(*again, "-o", run_copy).code == 0
    assert told(run_copy) == seen


@pytest.mark.parametrize("condition", ["psnr", "psnr=nan", "psnr=good", "beauty=3", "=3"])
def test_a_condition_that_means_nothing_is_refused_before_any_work(condition, world, hsisr):
    ended = hsisr("evaluate", world.run, "--fail-under", condition)
    assert ended.code == 2
    assert ended.first.startswith(f"error: --fail-under '{condition}'")
    assert not ended.out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--scale", "3"], 4, "was trained for scale 2, not 3"),
        (["--degradation", "bilinear"], 2, "no degradation 'bilinear'"),
        (["--scale", "9"], 2, "--scale"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, code, said, world, hsisr):
    ended = hsisr("evaluate", world.run, "--model", world.run, *options)
    assert ended.code == code
    assert said in ended.first


@pytest.mark.parametrize("models", [(), ("bicubic",), ("auto",)])
def test_a_scene_needs_a_scale(models, world, hsisr):
    named = [part for name in models for part in ("--model", name)]
    ended = hsisr("evaluate", world.header, *named)
    assert ended.code == 2
    assert ended.first == "error: no --scale given"
    assert "hint: --scale 4" in ended.err


@pytest.mark.parametrize("names", [("any-x4",), ("bicubic", "any-x4"), ("auto", "any-x4")])
def test_trained_models_tell_the_scale(names, world, hsisr):
    named = [part for name in names for part in ("--model", name)]
    ended = hsisr("evaluate", world.header, *named, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["scale"] == 4
    assert len(json.loads(ended.out)["models"]) == len(names)


def test_models_for_several_scales_do_not_tell_it(world, hsisr):
    ended = hsisr("evaluate", world.header, "--model", "any-x4", "--model", world.run)
    assert ended.code == 2
    assert ended.first == f"error: models for several scales: any-x4 for 4, {world.run} for 2"


def test_estimates_of_another_size_are_refused(world, make_scene, hsisr):
    smaller = make_scene(numbers=np.ones((24, 30, 48), "<i2"))
    fewer = make_scene("fewer", np.ones((7, 64, 48), "<i2"), wavelength=None, fwhm=None)
    for estimate, said in ((smaller, "is 30 x 48 pixels"), (fewer, "has 7 bands")):
        ended = hsisr("evaluate", world.header, estimate, "--scale", "2")
        assert ended.code == 3
        assert said in ended.err


@pytest.mark.parametrize(
    ("preset", "measures"),
    [
        ("sspsr", ["psnr", "ssim", "sam", "ergas", "cc", "rmse"]),
        ("mcnet", ["psnr", "ssim", "sam"]),
        ("wald", ["ergas", "rase", "sam", "cc", "uiqi"]),
    ],
)
def test_metrics_are_those_of_the_preset_and_every_output_names_it(preset, measures, world, hsisr):
    command = ("evaluate", world.header, "--scale", "2", "--metrics", preset)
    content = json.loads(hsisr(*command, "--json").out)
    assert content["metrics"] == preset
    assert [list(row) for row in content["rows"]] == [["name", *measures]]
    assert any(line.startswith(f"metrics {preset}: ") for line in content["definitions"])
    heading, row, *notes = hsisr(*command).out.splitlines()
    assert [word for word in heading.split() if word.isupper()] == [m.upper() for m in measures]
    assert [float(word) for word in row.split()[1:]] == pytest.approx(
        [content["rows"][0][measure] for measure in measures], abs=1e-4
    )
    assert any(note.startswith(f"  metrics {preset}: ") for note in notes)


def test_a_condition_is_on_a_measure_of_the_preset(world, hsisr):
    command = ("evaluate", world.run, "--model", world.run, "--metrics", "wald", "--fail-under")
    assert hsisr(*command, "uiqi=1").code == 7
    assert hsisr(*command, "rase=99").code == 0
    ended = hsisr(*command, "psnr=38")
    assert ended.code == 2
    assert "one of ergas, rase, sam, cc, uiqi" in ended.err


def test_unknown_metrics_are_refused(world, hsisr):
    ended = hsisr("evaluate", world.run, "--metrics", "best")
    assert ended.code == 2
    assert ended.first == "error: no metrics 'best'"


def test_a_run_may_be_scored_at_the_scale_of_any_table(world, hsisr):
    content = json.loads(hsisr("evaluate", world.run, "--scale", "4", "--json").out)
    assert content["scale"] == 4


@pytest.mark.parametrize("preset", ["wald", "mcnet"])
def test_a_run_is_scored_by_the_metrics_of_its_protocol(preset, run_copy, hsisr):
    path = run_copy / "data" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "protocol": "own", "metrics": preset}))
    ended = hsisr("evaluate", run_copy, "--json")
    assert json.loads(ended.out)["metrics"] == preset
    assert f"note: metrics {preset}, as protocol own says" in ended.err
    asked = hsisr("evaluate", run_copy, "--metrics", "sspsr", "--json")
    assert json.loads(asked.out)["metrics"] == "sspsr"
    assert "note: metrics" not in asked.err
