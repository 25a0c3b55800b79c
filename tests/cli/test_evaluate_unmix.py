from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from tests.hsisr.protocols import save_mat73


@pytest.fixture
def unmixed(world, hsisr, tmp_path):
    """The world's scene, unmixed without a model: the file of abundances."""
    command = ("unmix", world.header, "-p", 3, "--method", "vca", "-o", tmp_path / "mine")
    assert hsisr(*command).code == 0
    return tmp_path / "mine_abundance.img"


@pytest.fixture
def truth(world, tmp_path):
    """The world's truth as MAT files of the field hold it."""
    shares = world.abundances.transpose(1, 2, 0).astype(float)
    savemat(tmp_path / "truth.mat", {"A": shares, "M": world.spectra.T.astype(float)})
    return tmp_path / "truth.mat"


def _json(hsisr, *command):
    ended = hsisr("evaluate-unmix", *command, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_a_good_unmixing_scores_well(hsisr, unmixed, truth, world):
    record = _json(hsisr, unmixed, "--truth", truth)
    assert sorted(record["matched"]) == [1, 2, 3]
    assert 0 < record["mean_sad_rad"] < 0.05
    assert record["mean_sad_deg"] == pytest.approx(np.degrees(record["mean_sad_rad"]))
    table = np.loadtxt(unmixed.with_name("mine_endmembers.csv"), delimiter=",", skiprows=1)
    found = table[:, 1:].T[np.array(record["matched"]) - 1]
    one, other = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (found, world.spectra.astype(float))
    )
    expected = 2 * np.arcsin(np.linalg.norm(one - other, axis=1) / 2)
    np.testing.assert_allclose(record["sad_rad"], expected, atol=1e-6)
    assert set(record["rmse"]) == {"physical", "max", "l2"}
    assert 0 < record["pooled_rmse"]["physical"] < 0.1


def test_the_tables_tell_every_endmember_and_the_whole(hsisr, unmixed, truth):
    lines = hsisr("evaluate-unmix", unmixed, "--truth", truth).out.splitlines()
    record = _json(hsisr, unmixed, "--truth", truth)
    assert lines[0].split()[:4] == ["true", "endmember", "matched", "to"]
    whole = lines[4].split()
    assert whole[:3] == ["all", f"{record['mean_sad_rad']:.4f}", f"{record['mean_sad_deg']:.2f}"]
    assert whole[3:] == [f"{record['pooled_rmse'][name]:.4f}" for name in record["pooled_rmse"]]
    assert lines[5] == ""
    for line, name in zip(lines[7:10], ("physical", "max", "l2"), strict=True):
        values = [record[key][name] for key in ("pooled_rmse", "mean_rmse", "sre_db")]
        shown = [f"{values[0]:.4f}", f"{values[1]:.4f}", f"{values[2]:.2f}"]
        assert line.split() == ["the", "estimate", name, *shown]
    assert "true endmembers" not in "".join(lines)


def test_with_the_scene_the_true_endmembers_are_scored_beside(hsisr, unmixed, truth, world):
    """They explain all of the scene but the rounding to integers of its file."""
    command = (unmixed, "--truth", truth, "--scene", world.header)
    record = _json(hsisr, *command)
    assert record["pooled_rmse"] == _json(hsisr, unmixed, "--truth", truth)["pooled_rmse"]
    rounding = 1e-4 / 12**0.5
    for name in ("true endmembers, fcls", "true endmembers, nnls"):
        oracle = record["oracles"][name]
        assert oracle["pooled_rmse"]["physical"] < 0.001
        assert oracle["mean_rmse"]["physical"] <= oracle["pooled_rmse"]["physical"]
        assert oracle["reconstruction_rmse"] == pytest.approx(rounding, rel=0.1)
    assert record["reconstruction_rmse"] == pytest.approx(rounding, rel=0.1)
    assert "true endmembers, nnls" in hsisr("evaluate-unmix", *command).out


def test_a_scene_in_other_units_than_the_true_spectra_is_told(hsisr, unmixed, world, tmp_path):
    shares, path = world.abundances.transpose(1, 2, 0).astype(float), tmp_path / "percent.mat"
    savemat(path, {"A": shares, "M": 100 * world.spectra.T.astype(float)})
    command = ("evaluate-unmix", unmixed, "--truth", path, "--scene", world.header)
    assert "the scene is 0.01 times as bright" in hsisr(*command).err
    assert hsisr(*command, "--unit", 0).code == 2
    right = hsisr(*command, "--unit", 0.01, "--json")
    assert "times as bright" not in right.err
    oracle = json.loads(right.out)["oracles"]["true endmembers, fcls"]
    assert oracle["pooled_rmse"]["physical"] < 0.001


def test_more_and_fewer_endmembers_than_there_are_can_be_scored(hsisr, world, truth, tmp_path):
    def score(count):
        how = ("-p", count, "--method", "vca", "--no-quicklook", "--overwrite")
        assert hsisr("unmix", world.header, *how, "-o", tmp_path / "few").code == 0
        ended = hsisr("evaluate-unmix", tmp_path / "few_abundance.img", "--truth", truth)
        record = _json(hsisr, tmp_path / "few_abundance.img", "--truth", truth)
        return record, ended.out

    record, out = score(4)
    assert sorted([*record["matched"], *record["false"]]) == [1, 2, 3, 4]
    assert f"found, but matched to nothing: {record['false'][0]}" in out
    record, out = score(2)
    assert record["matched"].count(None) == 1
    assert record["sad_rad"][record["matched"].index(None)] == pytest.approx(np.pi / 2)
    assert "matched to nothing" not in out


@pytest.mark.parametrize("save", [savemat, save_mat73], ids=["v5", "v7.3"])
@pytest.mark.parametrize("order", ["columns", "rows", "pixels first"])
def test_matrices_of_the_field_are_unfolded(hsisr, unmixed, truth, world, tmp_path, order, save):
    """As MATLAB's reshape does, or row by row where that is said."""
    cube = world.abundances.astype(float)
    scene = np.einsum("phw,pb->bhw", cube, world.spectra.astype(float))
    down = [x.transpose(0, 2, 1).reshape(len(x), -1) for x in (cube, scene)]
    across = [x.reshape(len(x), -1) for x in (cube, scene)]
    matrices = {"columns": down, "rows": across, "pixels first": [x.T for x in down]}[order]
    path = tmp_path / "matrices.mat"
    save(path, {"A": matrices[0], "Y": matrices[1], "M": world.spectra.T.astype(float)})
    axes = ("--axes", "XYB") if order == "rows" else ()
    record = _json(hsisr, unmixed, "--truth", path, *axes)
    whole = _json(hsisr, unmixed, "--truth", truth)
    assert record["rmse"]["physical"] == pytest.approx(whole["rmse"]["physical"], rel=1e-5)
    oracle = record["oracles"]["true endmembers, fcls"]
    assert oracle["pooled_rmse"]["physical"] < 1e-5


def test_maps_of_matlab_73_are_read_as_those_of_older_files(hsisr, unmixed, world, tmp_path):
    maps = world.abundances.astype(float).transpose(1, 2, 0)
    records = []
    for name, save in (("old.mat", savemat), ("new.mat", save_mat73)):
        save(tmp_path / name, {"S_GT": maps, "GT": world.spectra.astype(float)})
        records.append(_json(hsisr, unmixed, "--truth", tmp_path / name))
        del records[-1]["truth"]
    assert records[0] == records[1]


def test_an_estimate_may_be_a_mat_file_too(hsisr, truth, world, tmp_path):
    path, shares = tmp_path / "theirs.mat", world.abundances[::-1].astype(float)
    matrix = shares.transpose(0, 2, 1).reshape(3, -1)
    savemat(path, {"A": matrix, "E": world.spectra[::-1].T.astype(float)})
    record = _json(hsisr, path, "--truth", truth)
    assert record["matched"] == [3, 2, 1]
    assert record["pooled_rmse"]["physical"] < 1e-6
    bare = tmp_path / "flat.mat"
    savemat(bare, {"A": matrix, "E": world.spectra.T.astype(float)})
    ended = hsisr("evaluate-unmix", path, "--truth", bare)
    assert ended.code == 3
    assert "how many rows and columns" in ended.first
    savemat(bare, {"A": matrix, "abf": matrix, "E": world.spectra.T.astype(float)})
    ended = hsisr("evaluate-unmix", bare, "--truth", truth)
    assert ended.code == 3
    assert "several variables that could be meant: A (3x3072 double), abf" in ended.first


def test_one_convention_can_be_asked_for(hsisr, unmixed, truth):
    record = _json(hsisr, unmixed, "--truth", truth, "--convention", "max")
    assert set(record["rmse"]) == {"max"}
    out = hsisr("evaluate-unmix", unmixed, "--truth", truth, "--convention", "max").out
    assert "RMSE max" in out
    assert "RMSE l2" not in out


def test_an_unmixing_agrees_with_itself(hsisr, unmixed):
    record = _json(hsisr, unmixed, "--truth", unmixed, "--convention", "physical")
    assert record["matched"] == [1, 2, 3]
    assert record["pooled_rmse"] == {"physical": 0}
    assert record["mean_sad_rad"] == pytest.approx(0, abs=1e-7)


def test_spectra_can_lie_elsewhere(hsisr, unmixed, truth, tmp_path, world):
    bare = tmp_path / "bare.mat"
    savemat(bare, {"A": world.abundances.transpose(1, 2, 0).astype(float)})
    table = unmixed.with_name("mine_endmembers.csv").rename(tmp_path / "moved.csv")
    whole = _json(hsisr, unmixed, "--truth", truth, "--spectra", table)
    library = unmixed.with_name("mine_endmembers.sli")
    for mine in (table, library, library.with_suffix(".hdr")):
        parts = ("--truth", bare, "--true-spectra", truth, "--spectra", mine)
        parted = _json(hsisr, unmixed, *parts)
        assert parted["rmse"]["max"] == pytest.approx(whole["rmse"]["max"], rel=1e-5)


def test_what_cannot_be_compared_is_refused(hsisr, unmixed, truth, tmp_path, world):
    shares = world.abundances.transpose(1, 2, 0).astype(float)
    spectra = world.spectra.astype(float)
    cases = {
        "small": (
            {"A": shares[:-1], "M": spectra},
            "holds maps of 63 x 48 pixels, the scene is 64 x 48",
        ),
        "short": ({"A": shares, "M": spectra[:, :-1]}, "spectra of 24 bands"),
        "none": ({"A": shares}, "0 matrices that could be the spectra of 3 materials"),
        "two": ({"A": shares, "M": spectra, "E": spectra}, "2 matrices that could be"),
    }
    for name, (content, what) in cases.items():
        savemat(tmp_path / f"{name}.mat", content)
        ended = hsisr("evaluate-unmix", unmixed, "--truth", tmp_path / f"{name}.mat")
        assert ended.code == 3
        assert what in ended.first
    ended = hsisr("evaluate-unmix", unmixed, "--truth", truth, "--convention", "maximum")
    assert ended.code == 2


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "no mine_endmembers.csv with the spectra lies beside it"),
        (b"band,a\n1,2\n", "holds 1 whole spectrum, there are abundances of 3"),
        (b"band,a,b,c\n1,x,1,1\n", "'x' in the row that begins with '1'"),
        (b"band,a\n1,2\n3\n", "row 3 has 1 cell; 2 expected"),
        (b"band,a,b,c\n1,nan,1,2\n", "holds 2 whole spectra"),
        (b"", "not a table of spectra"),
        (b"\xff\xfe\x00", "not a table of spectra"),
    ],
    ids=str,
)
def test_a_broken_table_of_spectra_is_told(hsisr, unmixed, truth, content, what):
    table = unmixed.with_name("mine_endmembers.csv")
    table.unlink()
    if content is not None:
        table.write_bytes(content)
    ended = hsisr("evaluate-unmix", unmixed, "--truth", truth)
    assert ended.code == 3
    assert what in ended.first


def test_the_published_truth_of_samson_can_be_scored_against(shared_data, hsisr, tmp_path):
    """MSNet has 0.025 and 0.046 there (Tao et al., TGRS 62, 2024, table II)."""
    from scipy.io import loadmat

    path = shared_data("unmixing/samson/Samson.mat")
    scene = loadmat(path)["Y"].reshape(156, 95, 95).transpose(2, 1, 0)
    np.save(tmp_path / "samson.npy", scene.astype(np.float32))
    assert hsisr("unmix", tmp_path / "samson.npy", "-p", 3, "--abundances", "nnls").code == 0
    found = tmp_path / "samson_abundance.img"
    record = _json(hsisr, found, "--truth", path, "--convention", "max")
    assert record["mean_sad_rad"] < 0.035
    assert record["pooled_rmse"]["max"] < 0.05
    # this truth is the non-negative unmixing by its own endmembers
    assert record["oracles"]["true endmembers, nnls"]["pooled_rmse"]["max"] < 0.003
    assert record["oracles"]["true endmembers, fcls"]["pooled_rmse"]["max"] > 0.4


def test_the_published_baseline_on_samson_is_reproduced(shared_data, hsisr, tmp_path):
    """VCA and FCLS have .1387 and .0925 rad in the published results of DeepTrans-HSU."""
    paths = {
        name: shared_data(f"unmixing/samson/misicnet_{name}.mat")
        for name in ("Y_clean", "A_true", "E")
    }
    classical = ("--method", "vca", "--abundances", "fcls", "--no-quicklook")
    assert hsisr("unmix", paths["Y_clean"], "-p", 3, *classical, "-o", tmp_path / "x").code == 0
    truth = ("--truth", paths["A_true"], "--true-spectra", paths["E"], "--scene", paths["Y_clean"])
    record = _json(hsisr, tmp_path / "x_abundance.img", *truth, "--convention", "physical")
    assert record["pooled_rmse"]["physical"] == pytest.approx(0.1387, abs=2e-4)
    assert record["mean_rmse"]["physical"] == pytest.approx(0.1304, abs=2e-4)
    assert record["mean_sad_rad"] == pytest.approx(0.0925, abs=2e-4)
    # and that truth is the FCLS of its own endmembers
    assert record["oracles"]["true endmembers, fcls"]["pooled_rmse"]["physical"] < 1e-5


def test_the_two_truths_of_samson_differ(shared_data, hsisr, tmp_path):
    from scipy.io import loadmat

    other = shared_data("unmixing/samson/misicnet_A_true.mat")
    spectra = loadmat(shared_data("unmixing/samson/Samson.mat"))["GT"]
    savemat(tmp_path / "other.mat", {**_arrays(loadmat(other)), "E": spectra})
    truth = ("--truth", shared_data("unmixing/samson/Samson.mat"), "--convention", "physical")
    record = _json(hsisr, tmp_path / "other.mat", *truth)
    assert record["matched"] == [1, 2, 3]
    assert record["pooled_rmse"]["physical"] == pytest.approx(0.231, abs=5e-4)


def _arrays(content):
    return {name: value for name, value in content.items() if not name.startswith("__")}
