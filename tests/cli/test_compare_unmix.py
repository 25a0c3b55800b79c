from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from tests.hsisr.protocols import save_mat73

SOME = ("--method", "vca", "--abundances", "fcls", "--abundances", "nnls", "--seeds", 2)


@pytest.fixture
def truth(world, tmp_path):
    shares = world.abundances.transpose(1, 2, 0).astype(float)
    savemat(tmp_path / "truth.mat", {"A": shares, "M": world.spectra.T.astype(float)})
    return tmp_path / "truth.mat"


def _record(hsisr, *command):
    ended = hsisr("compare-unmix", *command, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_every_method_is_told_beside_the_true_endmembers(hsisr, world, truth):
    record = _record(hsisr, world.header, "--truth", truth, *SOME)
    names = [(row["method"], row["abundances"]) for row in record["rows"]]
    assert names == [(None, "fcls"), (None, "nnls"), ("vca", "fcls"), ("vca", "nnls")]
    assert record["seeds"] == [0, 1]
    assert record["endmembers"] == 3
    for row in record["rows"]:
        assert row["rmse_physical"]["mean"] < 0.01
        assert row["sad_rad"]["mean"] == pytest.approx(np.mean(row["sad_rad"]["values"]))
    mine = record["rows"][2]["rmse_max"]
    assert mine["sd"] == pytest.approx(np.std(mine["values"], ddof=1))


def test_by_default_all_methods_are_compared(hsisr, world, truth):
    from hsisr_models.abundances import SHELF as SOLVERS
    from hsisr_models.endmembers import SHELF as METHODS

    record = _record(hsisr, world.header, "--truth", truth, "--seeds", 1)
    rows = {(row["method"], row["abundances"]) for row in record["rows"]}
    assert {method for method, _ in rows} == {None, *METHODS}
    assert {name for method, name in rows if method == "vca"} == {*SOLVERS} - {"mesma"}


def test_the_scores_are_those_of_unmix_and_evaluate_unmix(hsisr, world, truth, tmp_path):
    found = ("unmix", world.header, "-p", 2, "--method", "vca", "--seed", 3)
    assert hsisr(*found, "--abundances", "fcls", "-o", tmp_path / "mine").code == 0
    maps = tmp_path / "mine_abundance.img"
    scored = ("evaluate-unmix", maps, "--truth", truth, "--scene", world.header, "--json")
    expected = json.loads(hsisr(*scored).out)
    one = ("-p", 2, "--method", "vca", "--abundances", "fcls", "--seeds", 1, "--seed", 3)
    row = _record(hsisr, world.header, "--truth", truth, *one)["rows"][2]
    assert row["sad_rad"]["mean"] == pytest.approx(expected["mean_sad_rad"], rel=1e-5)
    for name, value in expected["pooled_rmse"].items():
        assert row[f"rmse_{name}"]["mean"] == pytest.approx(value, rel=1e-5)
    assert row["reconstruction_rmse"]["mean"] == pytest.approx(
        expected["reconstruction_rmse"], rel=1e-4
    )
    assert row["sad_rad"]["sd"] is None


def test_tables_for_terminals_and_for_markdown_say_the_same(hsisr, world, truth):
    command = ("compare-unmix", world.header, "--truth", truth, *SOME, "--convention", "max")
    lines = hsisr(*command).out.splitlines()
    assert "RMSE max" in lines[0]
    assert "RMSE l2" not in lines[0]
    assert lines[3].split()[:2] == ["vca", "fcls"]
    rows = hsisr(*command, "--markdown").out.splitlines()
    assert rows[1].replace("|", "").split() == ["---"] * 6
    # what a search took may differ
    cells = [[cell.strip() for cell in row.strip("|").split("|")][:-1] for row in rows]
    assert cells[0][:2] == ["endmembers", "abundances"]
    assert cells[4] == ["vca", "fcls", *cells[4][2:]]
    for cell in cells[4]:
        assert cell in lines[3]


@pytest.mark.parametrize("save", [savemat, save_mat73], ids=["v5", "v7.3"])
def test_a_scene_and_its_truth_may_be_one_mat_file(hsisr, world, tmp_path, save):
    shares = world.abundances.astype(float)
    scene = np.einsum("phw,pb->bhw", shares, world.spectra.astype(float))
    content = {"Y": scene.transpose(0, 2, 1).reshape(24, -1), "S_GT": shares.transpose(1, 2, 0)}
    save(tmp_path / "all.mat", {**content, "GT": world.spectra.astype(float)})
    record = _record(hsisr, tmp_path / "all.mat", "--truth", tmp_path / "all.mat", *SOME)
    for row in record["rows"]:
        assert row["rmse_physical"]["mean"] < 0.01


def test_made_up_scenes_can_be_compared_on(hsisr, tmp_path):
    made = ("synthesize", "--kind", "mixtures", "-o", tmp_path, "--count", 1, "--side", 32, "-p", 4)
    ended = hsisr(*made, "--bands", 60)
    assert ended.code == 0
    command = ended.err.strip().splitlines()[-1].removeprefix("Next: hsisr ").split()
    ended = hsisr(*command, *SOME, "--snr", 50, "--json")
    assert ended.code == 0
    row = json.loads(ended.out)["rows"][2]
    assert row["sad_rad"]["mean"] < 0.05
    assert row["sad_rad"]["sd"] > 0


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (("--method", "magic"), 2, "no method 'magic'"),
        (("--abundances", "mesma"), 2, "no abundances 'mesma'"),
        (("--json", "--markdown"), 2, "both --json and --markdown"),
        (("--snr", "nan"), 2, "nan is no finite number"),
        (("-p", 30), 2, "30 endmembers cannot be told apart by 24 bands"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(hsisr, world, truth, options, code, what):
    ended = hsisr("compare-unmix", world.header, "--truth", truth, "--method", "vca", *options)
    assert ended.code == code
    assert what in ended.first


@pytest.mark.parametrize("save", [savemat, save_mat73], ids=["v5", "v7.3"])
def test_a_truth_and_a_scene_of_it_that_are_not_as_large_as_the_scene_are_refused(
    hsisr, world, tmp_path, save
):
    maps = world.abundances.transpose(1, 2, 0)[:60].astype(float)
    scene = np.ones((24, 60 * 48))
    save(tmp_path / "other.mat", {"S_GT": maps, "Y": scene, "GT": world.spectra.astype(float)})
    ended = hsisr("compare-unmix", world.header, "--truth", tmp_path / "other.mat", *SOME)
    assert ended.code == 3
    assert "holds maps of 60 x 48 pixels, the scene is 64 x 48" in ended.first


def test_a_truth_of_another_scene_is_refused(hsisr, world, tmp_path):
    shares, spectra = world.abundances.transpose(1, 2, 0).astype(float), world.spectra.astype(float)
    for content, what in (
        ({"A": shares[:-1], "M": spectra}, "holds maps of 63 x 48 pixels, the scene is 64 x 48"),
        ({"A": shares, "M": spectra[:, :-1]}, "has 24 bands, the true spectra have 23"),
    ):
        savemat(tmp_path / "other.mat", content)
        ended = hsisr("compare-unmix", world.header, "--truth", tmp_path / "other.mat", *SOME)
        assert ended.code == 3
        assert what in ended.first
