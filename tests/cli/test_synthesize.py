from __future__ import annotations

import json

import numpy as np
import pytest
import spectral

from hsisr.formats import open_cube


def test_it_writes_scenes_that_training_can_begin_with(hsisr, tmp_path):
    folder = tmp_path / "leaves"
    command = ("synthesize", "-o", folder, "--count", 3, "--side", 40, "--bands", 5, "--seed", 7)
    assert hsisr(*command).code == 0
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["leaves_007.npy", "leaves_008.npy", "leaves_009.npy"]
    with open_cube(files[0]) as cube:
        assert cube.spec.shape == (5, 40, 40)
    assert not np.array_equal(np.load(files[0]), np.load(files[1]))
    run = tmp_path / "run"
    prepared = hsisr(
        *("prepare", *files[:2], "--validation", files[2], "--tokens", 4, "-s", 2, "-o", run)
    )
    assert prepared.code == 0
    assert "3 examples of up to 4 tokens" in prepared.err


def test_a_seed_gives_the_same_scene_alone_or_among_others(hsisr, tmp_path):
    size = ("--side", 32, "--bands", 3)
    hsisr("synthesize", "-o", tmp_path / "two", "--count", 2, "--seed", 4, *size)
    hsisr("synthesize", "-o", tmp_path / "one", "--count", 1, "--seed", 5, *size)
    one, among = (tmp_path / name / "leaves_005.npy" for name in ("one", "two"))
    assert one.read_bytes() == among.read_bytes()


def test_older_scenes_are_kept_unless_told_otherwise(hsisr, tmp_path):
    command = ("synthesize", "-o", tmp_path, "--count", 1, "--side", 16, "--bands", 2)
    assert hsisr(*command).code == 0
    assert hsisr(*command).code == 5
    assert hsisr(*command, "--overwrite").code == 0


MIXTURES = ("synthesize", "--kind", "mixtures", "--count", 1, "--side", 16, "--bands", 30, "-p", 3)


def _read(path):
    return np.moveaxis(spectral.envi.open(path).load(), 2, 0)


@pytest.mark.parametrize("fields", ["smooth", "dirichlet"])
def test_mixtures_come_with_all_that_is_known_of_them(hsisr, tmp_path, fields):
    folder = tmp_path / "made"
    shape = ("--purity", 0.8, "--gain", "0.7,1.2", "--fields", fields)
    assert hsisr(*MIXTURES, "-o", folder, *shape).code == 0
    shares, gain = (_read(folder / f"mixtures_000_truth_{x}.hdr") for x in ("abundance", "gain"))
    table = np.loadtxt(folder / "mixtures_000_truth_endmembers.csv", delimiter=",", skiprows=1)
    mixed = gain * np.einsum("phw,bp->bhw", shares, table[:, 1:])
    np.testing.assert_allclose(_read(folder / "mixtures_000.hdr"), mixed, rtol=1e-5)
    np.testing.assert_allclose(shares.max((1, 2)), 0.8, rtol=1e-6)
    record = json.loads((folder / "mixtures_000_truth.json").read_text())
    assert record["largest_abundances"] == pytest.approx([0.8] * 3)
    assert record["snr_db"] is None
    header = spectral.envi.open(folder / "mixtures_000.hdr")
    np.testing.assert_allclose(header.bands.centers, table[:, 0])


def test_the_truth_can_be_scored_against_at_both_resolutions(hsisr, tmp_path):
    made = (*MIXTURES, "-o", tmp_path, "--snr", 40, "--scale", 4)
    assert hsisr(*made).code == 0
    pairs = [_read(tmp_path / f"mixtures_000{x}_truth_abundance.hdr") for x in ("", "_coarse")]
    np.testing.assert_allclose(
        pairs[1], pairs[0].reshape(3, 4, 4, 4, 4).mean((2, 4)), rtol=1e-5, atol=1e-7
    )
    for name in ("mixtures_000", "mixtures_000_coarse"):
        scene, truth = tmp_path / f"{name}.hdr", tmp_path / f"{name}_truth_abundance.img"
        ended = hsisr("evaluate-unmix", truth, "--truth", truth, "--scene", scene, "--json")
        record = json.loads(ended.out)
        assert record["pooled_rmse"]["physical"] == 0
        assert record["oracles"]["true endmembers, fcls"]["pooled_rmse"]["physical"] < 0.02
        power = float(np.mean(_read(scene) ** 2))
        assert 20 * np.log10(power**0.5 / record["reconstruction_rmse"]) == pytest.approx(40, abs=1)


def test_a_gain_beside_abundances_belongs_to_the_reconstruction(hsisr, tmp_path):
    assert hsisr(*MIXTURES, "-o", tmp_path, "--gain", "0.5,1.5").code == 0
    scene, truth = tmp_path / "mixtures_000.img", tmp_path / "mixtures_000_truth_abundance.img"
    command = ("evaluate-unmix", truth, "--truth", truth, "--scene", scene, "--json")
    assert json.loads(hsisr(*command).out)["reconstruction_rmse"] < 1e-6
    (tmp_path / "mixtures_000_truth_gain.img").unlink()
    assert json.loads(hsisr(*command).out)["reconstruction_rmse"] > 0.01


def test_endmembers_are_drawn_from_a_library(hsisr, tmp_path):
    rows = [[400 + 10 * i, 0.1, 0.9 - 0.02 * i, 0.1 + 0.02 * i] for i in range(30)]
    library = tmp_path / "library.csv"
    library.write_text("\n".join(["nm,coal,snow,sand", *(",".join(map(str, r)) for r in rows)]))
    command = [part for part in MIXTURES if part not in ("--bands", 30)]
    assert hsisr(*command, "-o", tmp_path / "made", "--library", library).code == 0
    found = spectral.envi.open(tmp_path / "made" / "mixtures_000_truth_endmembers.hdr")
    assert sorted(found.names) == ["coal", "sand", "snow"]
    known = np.array(rows)[:, 1:].T[[["coal", "snow", "sand"].index(name) for name in found.names]]
    np.testing.assert_allclose(found.spectra, known, rtol=1e-6)
    ended = hsisr(*command, "-o", tmp_path / "more", "--library", library, "-p", 4)
    assert ended.code == 2
    assert "only 3 of 4 spectra" in ended.first
    ended = hsisr(*MIXTURES, "-o", tmp_path / "more", "--library", library)
    assert "a library has bands of its own" in ended.first


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--purity", 0.2), "the purest of 3 materials cannot be 0.2"),
        (("--gain", "0.7"), "'0.7' is not a range"),
        (("--gain", "1.2,0.7"), "gains from 1.2 to 0.7"),
        (("--fields", "flat"), "no fields 'flat'"),
        (("--snr", "nan"), "nan is no finite number"),
        (("--scale", 3), "16 x 16 pixels cannot be made 3 times coarser"),
        (("--degradation", "mean"), "no degradation 'mean'"),
        (("--kind", "leaves"), "--endmembers: only mixtures have such options"),
        (("--kind", "clouds"), "no kind 'clouds'"),
    ],
    ids=str,
)
def test_scenes_that_cannot_be_are_refused(hsisr, tmp_path, options, what):
    ended = hsisr(*MIXTURES, "-o", tmp_path, *options)
    assert ended.code == 2
    assert what in ended.first
