"""Made-up scenes are mixtures exactly as their truth says."""

from __future__ import annotations

import numpy as np
import pytest

from hsisr.unmixing.agreement import angles
from hsisr.unmixing.mixtures import FIELDS, Plan, coarser, drawn, mixture, noisy, smooth_spectra
from hsisr_models.imaging import OPERATORS, weights


@pytest.mark.parametrize("fields", FIELDS)
def test_a_scene_is_the_mixture_that_its_truth_says(fields: str) -> None:
    made = mixture(smooth_spectra(4, 30, 1), Plan(24, 20, fields, gain=(0.7, 1.2)), 3)
    assert made.scene.shape == (30, 24, 20)
    for row, col in ((0, 0), (7, 11), (23, 19)):
        expected = made.gain[0, row, col] * (made.abundances[:, row, col] @ made.spectra)
        np.testing.assert_allclose(made.scene[:, row, col], expected, rtol=1e-12)
    assert made.abundances.min() >= 0
    np.testing.assert_allclose(made.abundances.sum(0), 1, rtol=1e-12)
    assert 0.7 <= made.gain.min() < 0.75
    assert 1.15 < made.gain.max() <= 1.2


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("purity", [1.0, 0.85, 0.5, 0.25])
def test_the_purest_pixel_of_every_endmember_is_as_pure_as_asked(
    fields: str, purity: float
) -> None:
    made = mixture(smooth_spectra(4, 30, 1), Plan(24, 20, fields, purity), 0)
    np.testing.assert_allclose(made.abundances.max((1, 2)), purity, rtol=1e-12)
    np.testing.assert_allclose(made.abundances.sum(0), 1, rtol=1e-12)


def test_dirichlet_abundances_are_uniform_on_the_simplex() -> None:
    """Mean 1 / p and variance (p - 1) / (p^2 (p + 1)) of each, neighbours unrelated."""
    shares = mixture(smooth_spectra(3, 20, 0), Plan(100, 100, "dirichlet"), 0).abundances
    np.testing.assert_allclose(shares.mean((1, 2)), 1 / 3, atol=0.01)
    np.testing.assert_allclose(shares.var((1, 2)), 2 / 36, rtol=0.05)
    assert abs(np.corrcoef(shares[0, :, 1:].ravel(), shares[0, :, :-1].ravel())[0, 1]) < 0.05


def test_smooth_abundances_are_like_their_neighbours() -> None:
    shares = mixture(smooth_spectra(3, 20, 0), Plan(100, 100, "smooth"), 0).abundances
    assert np.corrcoef(shares[0, :, 1:].ravel(), shares[0, :, :-1].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("snr", [10, 40])
def test_noise_is_as_strong_as_asked_and_white(snr: int) -> None:
    scene = mixture(smooth_spectra(3, 40, 0), Plan(40, 40), 0).scene
    noise = noisy(scene, snr, np.random.default_rng(1)) - scene
    measured = 10 * np.log10(np.mean(scene**2) / np.mean(noise**2))
    assert measured == pytest.approx(snr, abs=0.1)
    assert noise.std((1, 2)).max() / noise.std((1, 2)).min() < 1.2
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_coarser_truth_is_degraded_as_the_scene_is(operator: str) -> None:
    """A_LR = K A_HR and Y_LR = K Y_HR with the same matrices K, and Y_LR is its mixture."""
    fine = mixture(smooth_spectra(4, 12, 1), Plan(24, 16), 5)
    coarse = coarser(fine, 4, operator)
    rows, cols = (weights(size, 4, operator).numpy() for size in (24, 16))
    for low, high in ((coarse.abundances, fine.abundances), (coarse.scene, fine.scene)):
        np.testing.assert_allclose(low, rows @ high @ cols.T, atol=1e-12)
    mixed = np.einsum("phw,pb->bhw", coarse.abundances, fine.spectra)
    np.testing.assert_allclose(coarse.scene, mixed, atol=1e-12)
    np.testing.assert_allclose(coarse.abundances.sum(0), 1, rtol=1e-12)
    np.testing.assert_allclose(coarse.gain, 1, rtol=1e-12)


def test_means_of_pixels_are_no_purer_than_the_pixels() -> None:
    fine = mixture(smooth_spectra(4, 12, 1), Plan(24, 16, "dirichlet", 0.8, (0.5, 2)), 5)
    coarse = coarser(fine, 4, "area")
    assert 0 <= coarse.abundances.min() <= coarse.abundances.max() <= 0.8
    mixed = np.einsum("phw,pb->bhw", coarse.abundances, fine.spectra)
    np.testing.assert_allclose((coarse.gain * mixed).sum(0), coarse.scene.sum(0), rtol=1e-12)
    assert coarse.gain.std() > 0.01


def test_a_seed_gives_the_same_scene_again_and_another_one_another() -> None:
    spectra = smooth_spectra(3, 20, 7)
    one, same, other = (mixture(spectra, Plan(8, 9, gain=(0.9, 1)), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(spectra, smooth_spectra(3, 20, 7))
    np.testing.assert_array_equal(one.scene, same.scene)
    assert not np.array_equal(one.scene, other.scene)
    assert not np.array_equal(spectra, smooth_spectra(3, 20, 8))


@pytest.mark.parametrize("seed", range(5))
def test_made_up_spectra_are_smooth_reflectances_that_differ(seed: int) -> None:
    spectra = smooth_spectra(6, 150, seed)
    assert 0.05 <= spectra.min() <= spectra.max() <= 0.95
    for spectrum in spectra:
        assert np.corrcoef(spectrum[1:], spectrum[:-1])[0, 1] > 0.95
    apart = angles(spectra, spectra)[~np.eye(6, dtype=bool)]
    assert apart.min() >= 0.1


def test_spectra_of_a_library_are_drawn_whole_and_unlike() -> None:
    spectra = smooth_spectra(5, 40, 0)
    library = np.concatenate((spectra, 1.01 * spectra, [np.full(40, np.nan)]))
    chosen = drawn(library, 5, 0)
    assert sorted(index % 5 for index in chosen) == [0, 1, 2, 3, 4]
    assert chosen == drawn(library, 5, 0)
    assert any(drawn(library, 5, seed) != chosen for seed in range(1, 5))
    with pytest.raises(ValueError, match="only 5 of 6 spectra"):
        drawn(library, 6, 0)
    with pytest.raises(ValueError, match="only 1 of 2"):
        smooth_spectra(2, 1, 0)


def test_scenes_that_cannot_be_are_refused() -> None:
    spectra = smooth_spectra(4, 20, 0)
    with pytest.raises(ValueError, match="the purest of 4 materials cannot be"):
        mixture(spectra, Plan(8, 8, purity=0.2), 0)
    with pytest.raises(ValueError, match="1 x 3 pixels cannot show 4 materials"):
        mixture(spectra, Plan(1, 3), 0)
    with pytest.raises(ValueError, match="no fields 'flat'"):
        Plan(8, 8, "flat")
    with pytest.raises(ValueError, match="gains from 1"):
        Plan(8, 8, gain=(1.2, 0.7))
    with pytest.raises(ValueError, match="scale of 3"):
        coarser(mixture(spectra, Plan(8, 8), 0), 3, "area")
