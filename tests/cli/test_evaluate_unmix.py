from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat


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


def test_the_table_tells_every_endmember_and_the_whole(hsisr, unmixed, truth):
    lines = hsisr("evaluate-unmix", unmixed, "--truth", truth).out.splitlines()
    record = _json(hsisr, unmixed, "--truth", truth)
    assert lines[0].split()[:4] == ["true", "endmember", "matched", "to"]
    assert len(lines) == 1 + 3 + 1 + 1
    whole = lines[4].split()
    assert whole[:3] == ["all", f"{record['mean_sad_rad']:.4f}", f"{record['mean_sad_deg']:.2f}"]
    assert whole[3:] == [f"{record['pooled_rmse'][name]:.4f}" for name in record["pooled_rmse"]]


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
    parts = ("--truth", bare, "--true-spectra", truth, "--spectra", table)
    assert _json(hsisr, unmixed, *parts)["rmse"] == whole["rmse"]


def test_what_cannot_be_compared_is_refused(hsisr, unmixed, truth, tmp_path, world):
    shares = world.abundances.transpose(1, 2, 0).astype(float)
    spectra = world.spectra.astype(float)
    cases = {
        "small": ({"A": shares[:-1], "M": spectra}, "the truth is 63 x 48"),
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
        (None, "no such table"),
        (b"band,a\n1,2\n", "holds 1 spectra, there are abundances of 3"),
        (b"band,a\n1,x\n", "not a table of numbers"),
        (b"band,a\n1,2\n3\n", "not a table of numbers"),
        (b"band,a\n1,nan\n", "not a table of spectra"),
        (b"", "not a table of spectra"),
        (b"\xff\xfe\x00", "not a table of numbers"),
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
    record = _json(hsisr, found, "--truth", path, "--var", "S_GT", "--convention", "max")
    assert record["mean_sad_rad"] < 0.035
    assert record["pooled_rmse"]["max"] < 0.05
