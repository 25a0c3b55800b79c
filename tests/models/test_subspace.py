"""The vertices of a data simplex, found among its pixels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr_models.subspace import principal_axes, vca


def spectra(endmembers: int, bands: int, seed: int = 0) -> NDArray[np.float64]:
    """Smooth and distinct, as those of minerals are."""
    rng = np.random.default_rng(seed)
    waves = np.linspace(0, 1, bands)
    phases, rates = rng.uniform(0, 6, (2, endmembers, 1))
    return 0.5 + 0.4 * np.sin(2 * np.pi * waves * (1 + rates) + phases)


def simplex(truth: NDArray[np.float64], pixels: int, noise: float, seed: int = 0) -> Tensor:
    """Random mixtures, each material once pure."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(truth)), pixels)
    shares[rng.choice(pixels, len(truth), replace=False)] = np.eye(len(truth))
    scene = shares @ truth
    return torch.from_numpy(scene + noise * rng.standard_normal(scene.shape)).float()


def worst_angle(found: Tensor, truth: NDArray[np.float64]) -> float:
    """The largest spectral angle under the best matching, in radians."""
    u = found.double().numpy()
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, truth))
    chords = np.linalg.norm(u[:, None] - v[None], axis=2)
    angles = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    rows = np.arange(len(truth))
    return float(min(angles[rows, list(order)].max() for order in permutations(rows)))


@pytest.mark.parametrize("endmembers", [2, 3, 5, 7])
@pytest.mark.parametrize("bands", [8, 50, 200])
@pytest.mark.parametrize("seed", range(3))
def test_pure_pixels_are_found_without_noise(endmembers: int, bands: int, seed: int) -> None:
    truth = spectra(endmembers, bands, seed)
    found = vca(simplex(truth, 2000, 0.0, seed), endmembers, seed=seed)
    assert found.shape == (endmembers, bands)
    assert worst_angle(found, truth) < 1e-3


def test_noise_moves_them_little() -> None:
    truth = spectra(4, 100)
    found = vca(simplex(truth, 5000, 0.01), 4, seed=0)
    assert worst_angle(found, truth) < 0.05


def test_one_seed_finds_the_same_vertices() -> None:
    pixels = simplex(spectra(4, 60), 3000, 0.02)
    assert torch.equal(vca(pixels, 4, seed=3), vca(pixels, 4, seed=3))


def test_the_seed_of_others_is_left_alone() -> None:
    pixels = simplex(spectra(3, 20), 200, 0.01)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    vca(pixels, 3, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_brightness_of_a_scene_does_not_matter() -> None:
    pixels = simplex(spectra(3, 40), 1000, 0.0)
    bright = vca(pixels * 1e4, 3, seed=0) / 1e4
    assert worst_angle(bright, vca(pixels, 3, seed=0).double().numpy()) < 1e-3


@pytest.mark.parametrize(("pixels", "bands", "endmembers"), [(3, 50, 4), (100, 3, 4)])
def test_more_endmembers_than_pixels_or_bands_are_refused(
    pixels: int, bands: int, endmembers: int
) -> None:
    with pytest.raises(ValueError, match=f"{endmembers} endmembers from {pixels} pixels"):
        vca(torch.rand(pixels, bands), endmembers, seed=0)


def test_a_scene_of_one_colour_is_no_crash() -> None:
    found = vca(torch.full((50, 6), 0.3), 3, seed=0)
    torch.testing.assert_close(found, torch.full((3, 6), 0.3))


def test_principal_axes_are_those_of_numpy() -> None:
    pixels = simplex(spectra(4, 12), 500, 0.01).double()
    mean, axes = principal_axes(pixels, 5)
    values = pixels.numpy()
    _, _, right = np.linalg.svd(values - values.mean(0), full_matrices=False)
    np.testing.assert_allclose(mean, values.mean(0))
    np.testing.assert_allclose(np.abs((axes.T.numpy() * right[:5]).sum(1)), 1, rtol=1e-9)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-12)
