"""The score of an unmixing is what the definitions say, by the best matching there is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from hsisr.unmixing.agreement import CONVENTIONS, Comparison, Residual, angles, converted, matching

Array = NDArray[np.float64]


def spectra(count: int, bands: int = 20, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.1, 1, (count, bands))


def maps(count: int, side: int = 12, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(count), (side, side)).transpose(2, 0, 1)


def compared(truth: tuple[Array, Array], found: tuple[Array, Array]) -> Comparison:
    """Spectra and maps of the truth and of what was found, taken in by rows of five."""
    comparison = Comparison(truth[0], found[0])
    for row in range(0, truth[1].shape[1], 5):
        parts = (each[1][:, row : row + 5].astype(np.float32) for each in (truth, found))
        comparison.update(*parts)
    return comparison


def test_angles_are_arc_cosines() -> None:
    one, other = spectra(4), spectra(3, seed=1)
    cosines = one @ other.T / np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1))
    np.testing.assert_allclose(angles(one, other), np.arccos(cosines), atol=1e-7)


def test_small_angles_keep_their_digits() -> None:
    tiny = np.array([[1.0, 1e-9]])
    np.testing.assert_allclose(angles(np.array([[1.0, 0.0]]), tiny), [[1e-9]], rtol=1e-6)
    np.testing.assert_allclose(angles(tiny, 1e4 * tiny), [[0]], atol=1e-15)
    np.testing.assert_allclose(angles(tiny, np.zeros((1, 2))), [[np.pi / 2]])


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_is_the_best_of_all(seed: int) -> None:
    truth, found = spectra(5, seed=seed), spectra(5, seed=seed + 100)
    every = angles(truth, found)
    best = min(permutations(range(5)), key=lambda order: every[range(5), order].sum())
    assert matching(truth, found) == list(best)


def test_a_greedy_or_repeated_matching_would_score_otherwise() -> None:
    """Both true spectra are nearest to the same one found."""
    truth = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0]])
    found = np.array([[0.95, 0.05, 0.0], [0.0, 0.2, 1.0]])
    assert (angles(truth, found).argmin(1) == 0).all()
    assert sorted(index for index in matching(truth, found) if index is not None) == [0, 1]


def test_maps_and_spectra_are_matched_by_one_permutation() -> None:
    known, shares = spectra(4), maps(4)
    order = [2, 0, 3, 1]
    # the maps alone would rather be matched in another way
    result = compared((known, shares), (known[order], shares)).result()
    assert result.matched == [order.index(index) for index in range(4)]
    assert result.angle == pytest.approx(0, abs=1e-9)
    misplaced = shares[[order.index(index) for index in range(4)]] - shares
    expected = np.sqrt(np.mean(misplaced**2, (1, 2)))
    np.testing.assert_allclose(result.errors["physical"], expected, rtol=1e-5)
    assert result.error("physical") == pytest.approx(np.sqrt(np.mean(misplaced**2)), rel=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_are_those_of_scaled_endmembers(convention: str) -> None:
    """However the endmembers are scaled, they mix to the same directions."""
    known, shares = 3 * spectra(3), maps(3)
    scale = {"physical": 1, "max": known.max(1), "l2": np.linalg.norm(known, axis=1)}[convention]
    scaled = known / np.reshape(scale, (-1, 1))
    other = converted(shares.astype(np.float32), known, convention)
    np.testing.assert_allclose(other.sum(0), 1, rtol=1e-6)
    one, same = (np.einsum("phw,pb->bhw", *pair) for pair in ((shares, known), (other, scaled)))
    unit, alike = (scene / np.linalg.norm(scene, axis=0) for scene in (one, same))
    np.testing.assert_allclose(alike, unit, rtol=1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_true_unmixing_is_without_error_in_its_convention(convention: str) -> None:
    known, shares = spectra(3), maps(3)
    truth = converted(shares.astype(np.float32), known, convention)
    result = compared((known, truth), (known, shares)).result()
    assert result.error(convention) < 1e-6
    assert all(result.error(name) > 1e-3 for name in CONVENTIONS if name != convention)


def test_a_missed_endmember_counts_as_a_right_angle_and_as_absent() -> None:
    known, shares = spectra(3), maps(3)
    result = compared((known, shares), (known[:2], shares[:2])).result()
    assert result.matched == [0, 1, None]
    assert result.angles[2] == pytest.approx(np.pi / 2)
    expected = np.sqrt(np.mean(shares[2] ** 2))
    np.testing.assert_allclose(result.errors["physical"], [0, 0, expected], atol=1e-6)


def test_a_false_endmember_is_matched_to_nothing() -> None:
    known, shares = spectra(3), maps(3)
    more = np.concatenate((shares[:1] * 0, shares))
    result = compared((known, shares), (np.vstack((spectra(1, seed=9), known)), more)).result()
    assert result.matched == [1, 2, 3]
    assert result.false == [0]
    assert result.error("physical") < 1e-6


def test_pixels_without_data_on_either_side_do_not_count() -> None:
    known, shares = spectra(2), maps(2)
    truth, found = shares.copy(), shares.copy()
    truth[:, 0, 0], found[:, 1, 1] = np.nan, np.nan
    found[:, 5, 5] += 0.5
    result = compared((known, truth), (known, found)).result()
    assert result.error("physical") == pytest.approx(0.5 / (12 * 12 - 2) ** 0.5, rel=1e-5)
    empty = compared((known, truth * np.nan), (known, found)).result()
    assert np.isnan(empty.error("max"))


def test_pooled_and_mean_errors_and_the_ratio_are_what_they_are_called() -> None:
    """Papers give either error; they differ where endmembers are not found equally well."""
    known, shares = spectra(3), maps(3)
    found = shares + np.array([0.1, -0.2, 0.01])[:, None, None]
    result = compared((known, shares), (known, found)).result()
    assert result.errors["physical"] == pytest.approx([0.1, 0.2, 0.01], rel=1e-4)
    assert result.mean_error("physical") == pytest.approx(0.31 / 3, rel=1e-4)
    assert result.error("physical") == pytest.approx((0.0501 / 3) ** 0.5, rel=1e-4)
    decibels = 10 * np.log10(np.sum(shares**2) / (0.0501 * 12 * 12))
    assert result.ratio("physical") == pytest.approx(decibels, rel=1e-5)


def test_without_error_the_ratio_is_infinite() -> None:
    known, shares = spectra(2), np.round(maps(2) * 8) / 8
    assert compared((known, shares), (known, shares)).result().ratio("physical") == np.inf


def test_the_residual_is_what_mixtures_leave_of_a_scene() -> None:
    known, shares = spectra(3), maps(3)
    scene = np.einsum("phw,pb->bhw", shares, known)
    noise = np.random.default_rng(1).normal(0, 0.01, scene.shape)
    noise[:, 3, 4], noise[2, 5, 5] = np.nan, np.nan
    residual = Residual(known)
    for row in range(0, 12, 5):
        residual.update((scene + noise)[:, row : row + 5], shares[:, row : row + 5])
    assert residual.result() == pytest.approx(np.sqrt(np.nanmean(noise**2)), rel=1e-9)
    assert np.isnan(Residual(known).result())
