"""What is wrong with an unmixing is found, whatever pieces it comes in."""

from __future__ import annotations

import numpy as np
import pytest

from hsisr.unmixing.diagnosis import Diagnosis, Tally, twins

NAMES = ("soil", "water", "tree")


def _shares(rng: np.random.Generator) -> np.ndarray:
    shares = rng.dirichlet((4, 3, 2), (20, 11)).transpose(2, 0, 1).astype(np.float32)
    shares[:, 2, 3] = np.nan
    return shares


def _tally(*blocks: np.ndarray) -> Tally:
    tally = Tally(len(blocks[0]))
    for block in blocks:
        tally.note(block)
    return tally


def _diagnosis(tally: Tally, *, sum_to_one: bool = True, non_negative: bool = True) -> Diagnosis:
    return Diagnosis(NAMES, NAMES, [], tally, sum_to_one, non_negative)


def test_a_sound_unmixing_has_no_faults() -> None:
    shares = _shares(np.random.default_rng(0))
    found = _diagnosis(_tally(shares))
    assert found.faults == []
    there = np.isfinite(shares).all(0)
    np.testing.assert_allclose(found.record["mean_abundances"], shares[:, there].mean(1), atol=2e-6)
    assert found.record["worst_sum_error"] < 1e-6


def test_pieces_tell_what_the_whole_tells() -> None:
    shares = _shares(np.random.default_rng(1)) - np.float32(0.05)
    whole, pieces = _tally(shares), _tally(shares[:, :7], shares[:, 7:8], shares[:, 8:])
    assert pieces.lowest == whole.lowest
    assert pieces.worst_sum_error == whole.worst_sum_error
    assert pieces.negative == whole.negative
    np.testing.assert_allclose(pieces.means, whole.means)


def test_violated_constraints_are_faults_only_where_they_were_asked_for() -> None:
    shares = _shares(np.random.default_rng(2))
    shares[:, 0, 0] = -0.25, 0.5, 0.5
    tally = _tally(shares)
    assert tally.negative == pytest.approx(1 / (20 * 11 - 1))
    faults = _diagnosis(tally).faults
    assert faults == [
        "abundances miss a sum of one by up to 0.25",
        "abundances are negative, down to -0.25",
    ]
    assert _diagnosis(tally, sum_to_one=False).faults == faults[1:]
    assert _diagnosis(tally, non_negative=False).faults == faults[:1]
    assert _diagnosis(tally, sum_to_one=False, non_negative=False).faults == []


def test_a_material_that_is_nowhere_is_named() -> None:
    shares = np.zeros((3, 10, 10), np.float32)
    shares[0], shares[2, 0, 0], shares[0, 0, 0] = 1, 0.4, 0.6
    found = _diagnosis(_tally(shares))
    assert found.record["dead_endmembers"] == ["water", "tree"]
    assert "the scene holds next to nothing of tree (0.4%)" in found.faults


def test_no_pixels_are_no_fault_of_the_sum() -> None:
    found = _diagnosis(_tally(np.full((3, 4, 4), np.nan, np.float32)))
    assert found.record["worst_sum_error"] == 0
    assert found.record["share_of_negative_pixels"] == 0


def _turned(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def test_twins_are_the_pairs_that_lie_close_the_closest_first() -> None:
    spectra = np.array([_turned(0.3), 5 * _turned(0.34), _turned(0.9), 0.1 * _turned(0.91)])
    found = twins(spectra, ("a", "b", "c", "d"))
    assert [pair[:2] for pair in found] == [(2, 3), (0, 1)]
    np.testing.assert_allclose([angle for *_, angle in found], [0.01, 0.04], rtol=1e-6)
    assert twins(spectra, ("a", "b", "c", "c")) == found[1:]


def test_a_library_of_many_twins_is_not_told_of_in_full() -> None:
    spectra = np.array([_turned(0.3 + 1e-4 * i) for i in range(30)])
    assert len(twins(spectra, [str(i) for i in range(30)])) == 20
