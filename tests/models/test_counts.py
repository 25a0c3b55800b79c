"""How many endmembers: by scenes of known make-up, and by the same estimates from the pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from hsisr_models.counts import SHELF, capped, elbow, hysime, nwhfc

Pixels = NDArray[np.float64]

every_count = pytest.mark.parametrize("name", list(SHELF))
some_counts = pytest.mark.parametrize("endmembers", [2, 3, 5, 8])


def scene(endmembers: int, noise: float, bands: int = 60, pixels: int = 4000) -> Pixels:
    """Mixtures (N, B) of spectra that are distinct."""
    rng = np.random.default_rng(endmembers)
    known = 0.1 + 3 * gaussian_filter1d(rng.uniform(0, 1, (endmembers, bands)), 2, axis=1)
    mixed = rng.dirichlet(np.full(endmembers, 0.5), pixels) @ known
    return np.asarray(mixed + noise * rng.standard_normal(mixed.shape))


def counted(name: str, pixels: Pixels) -> int:
    mean = torch.from_numpy(pixels.mean(0))
    covariance = torch.from_numpy(np.atleast_2d(np.cov(pixels.T, bias=True)))
    return SHELF[name].count(mean, covariance, len(pixels))


def hysime_by_pixels(pixels: Pixels) -> int:
    """As its authors write it: a regression of every band, on the pixels themselves."""
    bands = pixels.shape[1]
    noise = np.empty_like(pixels)
    for band in range(bands):
        others = np.delete(pixels, band, 1)
        noise[:, band] = pixels[:, band] - others @ np.linalg.lstsq(others, pixels[:, band])[0]
    signal = pixels - noise
    of_noise = np.diag(np.square(noise).mean(0))
    of_signal = signal.T @ signal / len(pixels)
    of_noise += np.eye(bands) * np.trace(of_signal) / bands / 1e5
    axes = np.linalg.svd(of_signal)[0]
    cost = -np.diag(axes.T @ pixels.T @ pixels @ axes) / len(pixels)
    return int((cost + 2 * np.diag(axes.T @ of_noise @ axes) < 0).sum())


def nwhfc_by_pixels(pixels: Pixels) -> int:
    """Whitened pixels first, then the test of every pair of eigenvalues."""
    count, bands = pixels.shape
    deviation = np.empty(bands)
    for band in range(bands):
        others = np.delete(pixels, band, 1)
        residual = pixels[:, band] - others @ np.linalg.lstsq(others, pixels[:, band])[0]
        deviation[band] = np.sqrt(np.square(residual).mean())
    white = pixels / deviation
    with_mean = np.linalg.svd(white, compute_uv=False) ** 2 / count
    without = np.linalg.svd(white - white.mean(0), compute_uv=False) ** 2 / count
    chance = np.sqrt(2 * (with_mean**2 + without**2) / count)
    return int((norm.sf((with_mean - without) / chance) < 1e-4).sum())


def elbow_by_pixels(pixels: Pixels) -> int:
    """By the singular values of the centred pixels."""
    energy = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False) ** 2
    return int(np.argmax(np.cumsum(energy) >= 0.995 * energy.sum())) + 2


BY_PIXELS = {"hysime": hysime_by_pixels, "nwhfc": nwhfc_by_pixels, "elbow": elbow_by_pixels}


def test_every_count_is_checked() -> None:
    assert set(BY_PIXELS) == set(SHELF)


@every_count
@some_counts
@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_statistics_tell_what_pixels_tell(name: str, endmembers: int, noise: float) -> None:
    pixels = scene(endmembers, noise)
    assert counted(name, pixels) == BY_PIXELS[name](pixels)


@pytest.mark.parametrize("name", ["hysime", "elbow"])
@some_counts
def test_a_linear_mixture_is_counted_right(name: str, endmembers: int) -> None:
    assert counted(name, scene(endmembers, 0.003)) == endmembers


@some_counts
def test_nwhfc_never_counts_what_is_not_there(endmembers: int) -> None:
    assert 1 <= counted("nwhfc", scene(endmembers, 0.003)) <= endmembers


@every_count
def test_the_units_of_a_scene_do_not_matter(name: str) -> None:
    pixels = scene(4, 0.01)
    assert counted(name, pixels * 2.0**13) == counted(name, pixels)


@every_count
@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_scene_of_one_colour_is_no_crash(name: str, value: float) -> None:
    assert 0 <= counted(name, np.full((50, 6), value)) <= 6


@every_count
def test_bands_that_repeat_each_other_are_no_crash(name: str) -> None:
    pixels = scene(3, 0.01, bands=20)
    assert 1 <= counted(name, np.hstack([pixels, pixels])) <= 40


@pytest.mark.parametrize("bands", [1, 2])
@every_count
def test_there_are_never_more_than_bands(name: str, bands: int) -> None:
    assert 0 <= counted(name, scene(3, 0.01)[:, :bands]) <= bands


@every_count
def test_a_count_names_its_source(name: str) -> None:
    assert len(SHELF[name].SOURCE) > 10


@pytest.mark.parametrize(
    ("estimates", "expected"), [([43, 8, 3], 3), ([5, 4, 131], 4), ([1, 7], 2), ([40, 30, 20], 12)]
)
def test_the_smallest_estimate_counts_within_bounds(estimates: list[int], expected: int) -> None:
    assert capped(estimates) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("samson/Samson.mat", (43, 8, 3)), ("jasper_ridge/Jasper.mat", (18, 10, 5))],
)
def test_real_scenes_are_known_to_be_counted_too_high_but_by_the_elbow(
    shared_data: Callable[[str], Path], path: str, expected: tuple[int, int, int]
) -> None:
    """Samson is taken to have 3 endmembers, Jasper Ridge 4."""
    pixels = loadmat(shared_data(f"unmixing/{path}"))["Y"].T.astype(np.float64)
    assert (
        tuple(counted(each.__name__.split(".")[-1], pixels) for each in (hysime, nwhfc, elbow))
        == expected
    )


def test_the_gain_of_a_band_does_not_change_what_stands_out_of_its_noise(
    rng: np.random.Generator,
) -> None:
    pixels = scene(4, 0.01)
    gains = rng.uniform(0.01, 100, pixels.shape[1])
    assert counted("nwhfc", pixels * gains) == counted("nwhfc", pixels) > 0
