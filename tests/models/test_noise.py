"""Noise from a band's regression on the others: by the pixels themselves, and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr_models.noise import energies

Array = NDArray[np.float64]


def scene(noise: Array) -> Array:
    rng = np.random.default_rng(0)
    mixed = rng.dirichlet(np.ones(4), 5000) @ rng.uniform(0.2, 1, (4, len(noise)))
    return np.asarray(mixed + noise * rng.standard_normal(mixed.shape))


def deviations(pixels: Array) -> Array:
    mean, covariance = pixels.mean(0), np.cov(pixels.T, bias=True)
    _, inverse = energies(torch.from_numpy(mean), torch.from_numpy(covariance))
    return np.asarray(1 / inverse.diagonal().sqrt())


def test_it_is_what_least_squares_on_the_pixels_leave() -> None:
    pixels = scene(np.full(25, 0.02))
    expected = []
    for band in range(25):
        others = np.delete(pixels, band, 1)
        left = pixels[:, band] - others @ np.linalg.lstsq(others, pixels[:, band])[0]
        expected.append(np.sqrt(np.square(left).mean()))
    np.testing.assert_allclose(deviations(pixels), expected, rtol=1e-6)


def test_every_band_has_a_noise_of_its_own() -> None:
    noise = np.linspace(0.02, 0.04, 60)
    np.testing.assert_allclose(deviations(scene(noise)), noise, rtol=0.15)


def test_products_are_those_of_the_pixels() -> None:
    pixels = scene(np.full(8, 0.1))
    mean, covariance = pixels.mean(0), np.cov(pixels.T, bias=True)
    products, _ = energies(torch.from_numpy(mean), torch.from_numpy(covariance))
    np.testing.assert_allclose(products, pixels.T @ pixels / len(pixels), rtol=1e-10)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
def test_a_band_of_zeros_and_one_that_is_repeated_are_no_crash(unit: float) -> None:
    pixels = scene(np.full(10, 0.02))
    found = deviations(unit * np.hstack([pixels, pixels[:, :1], np.zeros((5000, 1))])) / unit
    assert np.isfinite(found).all()
    # what another band tells exactly has no noise
    assert found[[0, 10, 11]].max() < 1e-4
    assert found[1:10].min() > 0.015
