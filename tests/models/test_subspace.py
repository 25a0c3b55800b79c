"""The subspace of a scene, and its tokens."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr_models.imaging import OPERATORS, degrade
from hsisr_models.subspace import Moments, Subspace, principal_axes


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


def test_principal_axes_are_those_of_numpy() -> None:
    pixels = simplex(spectra(4, 12), 500, 0.01).double()
    mean, axes = principal_axes(pixels, 5)
    values = pixels.numpy()
    _, _, right = np.linalg.svd(values - values.mean(0), full_matrices=False)
    np.testing.assert_allclose(mean, values.mean(0))
    np.testing.assert_allclose(np.abs((axes.T.numpy() * right[:5]).sum(1)), 1, rtol=1e-9)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-12)


def correlated(bands: int, pixels: int, mean: float, seed: int = 0) -> Tensor:
    """Pixels (bands, pixels) that spread differently, but in every direction."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands)) / bands**0.5
    return torch.from_numpy(mean + mixing @ rng.standard_normal((bands, pixels))).float()


def gathered(pieces: Iterable[Tensor], tokens: int, usable: Tensor | None = None) -> Subspace:
    moments: Moments | None = None
    for piece in pieces:
        moments = moments or Moments(len(piece))
        moments.add(piece)
    assert moments is not None
    return moments.subspace(tokens, usable)


def assert_is_that_of(pixels: Tensor, found: Subspace, tokens: int) -> None:
    """Compare with numpy's covariance in float64; the sign of an axis is arbitrary."""
    values = pixels.double().numpy()
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(values, bias=True)))
    np.testing.assert_allclose(found.mean, values.mean(1), rtol=1e-6)
    np.testing.assert_allclose(found.spread, np.sqrt(variances[::-1][:tokens]), rtol=1e-4)
    share = variances[::-1][:tokens].sum() / variances.sum()
    np.testing.assert_allclose(found.covered, share, rtol=1e-5)
    same = np.abs((axes[:, ::-1][:, :tokens] * found.axes.numpy()).sum(0))
    np.testing.assert_allclose(same, 1, atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.3, 1e4])
@pytest.mark.parametrize("cuts", [[], [1], [0, 3, 3, 500], [997, 998, 999]], ids=str)
def test_moments_of_pieces_are_those_of_numpy(mean: float, cuts: list[int]) -> None:
    """With a mean of 1e4 and a spread of 1, sums of squares in float32 would hold nothing."""
    pixels = correlated(12, 1000, mean)
    assert_is_that_of(pixels, gathered(torch.tensor_split(pixels, cuts, 1), 8), 8)


def test_a_first_piece_unlike_the_others_spoils_nothing() -> None:
    """A strip of water before the land; the faint axes are a thousandth of the leading one."""
    pixels = correlated(12, 20_000, 3000.0)
    pixels[:, :2000] -= 3000
    assert_is_that_of(pixels, gathered(pixels.split(1000, 1), 8), 8)


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_a_scene_has_no_more_tokens_than_bands(bands: int) -> None:
    pixels = correlated(bands, 300, 5.0)
    found = gathered([pixels], 8)
    assert found.axes.shape == (bands, bands)
    assert_is_that_of(pixels, found, bands)


def test_a_scene_has_no_more_tokens_than_directions_in_which_it_varies() -> None:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.normal(size=(20, 3)) @ rng.normal(size=(3, 500)) + 10).float()
    assert len(gathered([pixels], 8).spread) == 3


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.567, -7.0])
@pytest.mark.parametrize("pixels", [1, 2, 1003])
def test_a_constant_scene_has_no_token(value: float, pixels: int) -> None:
    scene = torch.full((4, pixels), value)
    found = gathered(torch.tensor_split(scene, [pixels // 3], 1), 8)
    assert found.spread.shape == found.weights.shape == (0,)
    assert found.axes.shape == (4, 0)
    assert found.covered == 1
    torch.testing.assert_close(found.mean, scene[:, 0])


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("value", [7e-4, 0.1, 1234.567])
def test_what_is_rounded_in_a_constant_scene_is_no_token(operator: str, value: float) -> None:
    for scale in (2, 3, 4, 8):
        low = degrade(torch.full((1, 24, 72, 48), value), scale, operator)
        assert len(gathered([low[0].flatten(1)], 8).spread) == 0
    rippled = low[0].flatten(1)
    rippled[:, ::2] *= 1 + 1e-5
    assert len(gathered([rippled], 8).spread) > 0


@pytest.mark.parametrize("seed", range(10))
def test_unusable_bands_have_no_part_in_any_axis(seed: int) -> None:
    pixels = correlated(30, 400, 50.0, seed)
    usable = torch.from_numpy(np.random.default_rng(seed).random(30) > 0.3)
    found = gathered([pixels], 8, usable)
    assert not found.axes[~usable].any()
    kept = replace(found, mean=found.mean[usable], axes=found.axes[usable])
    assert_is_that_of(pixels[usable], kept, 8)
    torch.testing.assert_close(found.mean, pixels.mean(1))


@pytest.mark.parametrize("seed", range(10))
def test_a_band_that_is_always_zero_has_no_part_in_any_axis(seed: int) -> None:
    pixels = correlated(30, 400, 50.0, seed)
    pixels[[0, 7, 29]] = 0
    found = gathered([pixels[:, :100], pixels[:, 100:]], 8)
    assert not found.axes[[0, 7, 29]].any()
    torch.testing.assert_close(found.axes.T @ found.axes, torch.eye(8))


def test_many_pixels_are_taken_in_by_several_threads_to_the_same_bits() -> None:
    pixels = correlated(12, 30_000, 50.0)
    alone, together = Moments(12), Moments(12)
    alone.add(pixels)
    with ThreadPoolExecutor(3) as crew:
        together.add(pixels, crew.map)
    assert_is_that_of(pixels, alone.subspace(8), 8)
    for one, other in zip(alone.statistics[:2], together.statistics[:2], strict=True):
        assert torch.equal(one, other)


def test_without_pixels_there_is_no_subspace() -> None:
    moments = Moments(3)
    moments.add(torch.empty(3, 0))
    with pytest.raises(ValueError, match="no pixel"):
        moments.subspace(8)


def test_tokens_have_no_mean_unit_variance_and_no_correlation() -> None:
    pixels = correlated(10, 2400, 1e3)
    found = gathered([pixels], 6)
    tokens = found.project(pixels.reshape(1, 10, 40, 60))[0].flatten(1).double().numpy()
    np.testing.assert_allclose(tokens.mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(tokens, bias=True), np.eye(6), atol=1e-3)
    assert found.weights[0] == 1
    assert (found.weights.diff() < 0).all()
    torch.testing.assert_close(found.weights, found.spread / found.spread.max())


@pytest.mark.parametrize("tokens", [3, 10])
def test_lifted_tokens_are_the_part_of_a_scene_in_its_subspace(tokens: int) -> None:
    pixels = correlated(10, 600, 40.0)
    found = gathered([pixels], tokens)
    centred = pixels.double().numpy() - pixels.double().numpy().mean(1, keepdims=True)
    _, axes = np.linalg.eigh(centred @ centred.T)
    leading = axes[:, ::-1][:, :tokens]
    lifted = found.lift(found.project(pixels.reshape(1, 10, 20, 30)))[0].flatten(1)
    np.testing.assert_allclose(lifted, leading @ leading.T @ centred, atol=1e-4)
    if tokens == 10:
        np.testing.assert_allclose(lifted, centred, atol=1e-4)
