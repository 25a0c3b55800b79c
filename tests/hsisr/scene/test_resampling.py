"""Spectra on other bands: against Spectral Python, numpy and integrals with a known value."""

from __future__ import annotations

import numpy as np
import pytest
import spectral

from hsisr.cube import Spectrum
from hsisr.scene.resampling import covered, weights

FINE = Spectrum(tuple(np.arange(350.0, 2501.0)))
BANDS = Spectrum(tuple(np.arange(400.0, 2450.0, 9.7)), (11.0,) * 212)


def smooth(places: np.ndarray) -> np.ndarray:
    return np.asarray(0.4 + 0.2 * np.sin(places / 40) + 0.1 * np.cos(places / 17))


def test_the_bands_of_a_finely_sampled_spectrum_are_those_of_spectral() -> None:
    spectrum = smooth(np.array(FINE.centres_nm))
    reference = spectral.BandResampler(FINE.centres_nm, BANDS.centres_nm, None, BANDS.widths_nm)
    # which cuts the Gaussian off where it is half its height
    np.testing.assert_allclose(weights(FINE, BANDS) @ spectrum, reference(spectrum), atol=4e-3)


@pytest.mark.parametrize("step", [0.5, 2.0, 5.0])
def test_a_cosine_is_damped_as_the_gaussian_says(step: float) -> None:
    """Seen by a Gaussian, cos(k x) becomes exp(-(k sigma)^2 / 2) cos(k x)."""
    places, k, fwhm = np.arange(300.0, 2600.0, step), 1 / 30, 25.0
    have = Spectrum(tuple(places), (1e-9,) * len(places))
    bands = Spectrum(BANDS.centres_nm, (fwhm,) * 212)
    sigma = fwhm / (2 * np.sqrt(2 * np.log(2)))
    expected = np.exp(-((k * sigma) ** 2) / 2) * np.cos(k * np.array(bands.centres_nm))
    # between the samples a chord lies below the curve by up to (k step)^2 / 8
    found = weights(have, bands) @ np.cos(k * places)
    np.testing.assert_allclose(found, expected, atol=(k * step) ** 2 / 8 + 1e-6)


def test_what_the_library_has_widened_is_not_widened_again() -> None:
    """Widths add up by squares: 3 and 4 nm make the 5 nm of the band."""
    places = np.array(FINE.centres_nm)
    three, five = (Spectrum(BANDS.centres_nm, (width,) * 212) for width in (3.0, 5.0))
    seen = Spectrum(FINE.centres_nm, (4.0,) * len(places))
    unseen = Spectrum(FINE.centres_nm, (1e-9,) * len(places))
    np.testing.assert_allclose(weights(seen, five), weights(unseen, three), atol=1e-12)


@pytest.mark.parametrize("widths", [None, (8.0,) * 212])
def test_without_a_width_to_spare_it_is_linear_interpolation(
    widths: tuple[float, ...] | None, rng: np.random.Generator
) -> None:
    coarse = np.arange(390.0, 2470.0, 9.0)
    spectrum = rng.random(len(coarse))
    taken = weights(Spectrum(tuple(coarse)), Spectrum(BANDS.centres_nm, widths))
    expected = np.interp(BANDS.centres_nm, coarse, spectrum)
    np.testing.assert_allclose(taken @ spectrum, expected, rtol=1e-12)


def test_the_order_of_samples_does_not_matter_and_equal_ones_share(
    rng: np.random.Generator,
) -> None:
    places, spectrum = np.arange(390.0, 2470.0, 2.0), rng.random(1040)
    order = rng.permutation(1041) % 1040
    mixed = Spectrum(tuple(places[order]))
    found = weights(mixed, BANDS) @ spectrum[order]
    np.testing.assert_allclose(found, weights(Spectrum(tuple(places)), BANDS) @ spectrum)


def test_a_flat_spectrum_stays_flat_up_to_its_ends() -> None:
    ends = Spectrum((349.6, 350.0, 1000.0, 2500.4), (30.0,) * 4)
    np.testing.assert_allclose(weights(FINE, ends).sum(1), 1)
    assert covered(FINE, ends).all()


def test_bands_beyond_the_samples_and_in_gaps_are_not_covered() -> None:
    places = np.arange(400.0, 1000.0, 5.0)
    have = Spectrum(tuple(places[(places < 600) | (places > 700)]))
    # beyond 397.5 or 997.5 nothing was sampled, nor more than a step behind 595 or before 705
    covers = {390: False, 398: True, 598: True, 600: True, 601: False, 699: False, 701: True}
    covers |= {995: True, 997: True, 999: False}
    want = Spectrum(tuple(map(float, covers)), (5.0,) * len(covers))
    assert covered(have, want).tolist() == list(covers.values())
    # a band as wide as the gap bridges it
    assert covered(have, Spectrum((650.0,), (56.0,))).all()


def test_bands_may_come_in_any_order() -> None:
    have = Spectrum((*range(400, 601, 5), *range(700, 901, 5)))
    # without widths of their own, bands are as wide as the step between them
    assert covered(have, Spectrum((650.0, 710.0, 590.0))).all()
    assert covered(have, Spectrum((650.0, 610.0, 690.0))).tolist() == [False, True, True]


def test_a_single_sample_is_the_spectrum_at_its_own_wavelength() -> None:
    have, want = Spectrum((500.0,)), Spectrum((500.0, 520.0), (10.0, 10.0))
    assert covered(have, want).tolist() == [True, False]
    np.testing.assert_array_equal(weights(have, want), [[1], [1]])
