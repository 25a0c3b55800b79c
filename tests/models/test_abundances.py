"""Abundances are the minima they are said to be: against scipy, and by the conditions of KKT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.linalg import null_space
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls as reference
from torch import Tensor

from hsisr_models.abundances import SHELF, fcls, ls, nnls, scls, sclsu, sunsal
from hsisr_models.contract import Solution

Array = NDArray[np.float64]

NUMBERS = {
    "mesma": {"fractions": (-9.0, 9.0), "shades": (-9.0, 9.0), "rmse": np.inf, "fusion": 0.0}
}
"""By which a method gives every pixel abundances."""

every_method = pytest.mark.parametrize("name", list(SHELF))
some_sizes = pytest.mark.parametrize(
    ("endmembers", "bands"), [(1, 7), (2, 2), (3, 200), (6, 200), (11, 60), (20, 40), (80, 120)]
)


def scene(endmembers: int, bands: int, pixels: int, noise: float = 0.05) -> tuple[Tensor, Tensor]:
    """Noisy mixtures (bands, pixels), many of them outside of the simplex, and its vertices."""
    rng = np.random.default_rng(endmembers)
    known = 0.1 + gaussian_filter1d(rng.uniform(0, 1, (endmembers, bands)), 2, axis=1)
    shares = rng.dirichlet(np.full(endmembers, 0.6), pixels)
    mixed = shares @ known + noise * rng.standard_normal((pixels, bands))
    return torch.from_numpy(mixed.T).float(), torch.from_numpy(known)


def solve(name: str, spectra: Tensor, known: Tensor) -> Solution:
    return SHELF[name].solve(spectra, known, **NUMBERS.get(name, {}))


def downhill(spectra: Tensor, known: Tensor, x: Tensor) -> Array:
    """How fast the error falls with each abundance, relative to the largest there can be."""
    y, e = spectra.double().numpy(), known.numpy()
    longest = np.linalg.norm(e, axis=1).max()
    scale = longest * np.maximum(np.linalg.norm(y, axis=0), longest)
    return np.asarray(e @ (y - e.T @ x.numpy()) / scale)


@some_sizes
def test_fcls_meets_the_conditions_of_the_minimum_on_the_simplex(
    endmembers: int, bands: int
) -> None:
    spectra, known = scene(endmembers, bands, 500)
    x = fcls.solve(spectra, known).abundances
    assert x.min() >= 0
    np.testing.assert_allclose(x.sum(0), 1, atol=1e-10)
    gradient = downhill(spectra, known, x)
    level = (gradient * x.numpy()).sum(0)
    # no endmember would lower the error, and those that are used are at one level
    assert (gradient - level).max() < 1e-8
    assert np.abs((gradient - level)[x.numpy() > 0]).max() < 1e-8


@some_sizes
def test_nnls_is_that_of_scipy(endmembers: int, bands: int) -> None:
    spectra, known = scene(endmembers, bands, 100)
    found = nnls.solve(spectra, known).abundances
    expected = [reference(known.T.numpy(), y)[0] for y in spectra.double().T.numpy()]
    np.testing.assert_allclose(found.T, expected, atol=1e-7)


@some_sizes
def test_ls_is_that_of_numpy(endmembers: int, bands: int) -> None:
    spectra, known = scene(endmembers, bands, 100)
    found = ls.solve(spectra, known).abundances
    expected = np.linalg.lstsq(known.T.numpy(), spectra.double().numpy(), rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@some_sizes
def test_scls_is_the_minimum_among_weights_that_sum_to_one(endmembers: int, bands: int) -> None:
    spectra, known = scene(endmembers, bands, 100)
    x = scls.solve(spectra, known).abundances
    # from the first endmember, along directions that leave the sum as it is
    start = np.eye(endmembers)[:, :1]
    along = null_space(np.ones((1, endmembers)))
    missed = spectra.double().numpy() - known.T.numpy() @ start
    steps = np.linalg.lstsq(known.T.numpy() @ along, missed, rcond=None)[0]
    np.testing.assert_allclose(x, start + along @ steps, atol=1e-7)


def test_scls_shares_alike_what_equal_endmembers_explain() -> None:
    spectra, known = scene(3, 30, 40)
    found = scls.solve(spectra, torch.cat((known, known[:1]))).abundances
    np.testing.assert_allclose(found[0], found[3], atol=1e-9)
    single = scls.solve(spectra, known).abundances
    np.testing.assert_allclose(found[0] + found[3], single[0], atol=1e-9)


@every_method
def test_gain_is_one_where_it_is_not_told_apart(name: str) -> None:
    spectra, known = scene(4, 50, 20)
    gain = solve(name, spectra, known).gain
    assert bool((gain == 1).all()) is not SHELF[name].TELLS_GAIN


@every_method
def test_constraints_hold_where_they_are_said_to_and_nowhere_else(name: str) -> None:
    spectra, known = scene(4, 50, 100)
    x = solve(name, spectra, known).abundances
    assert bool(torch.allclose(x.sum(0), torch.ones_like(x[0]))) is SHELF[name].SUM_TO_ONE
    assert bool(x.min() >= 0) is SHELF[name].NON_NEGATIVE


def test_sclsu_is_nnls_with_its_sum_told_apart() -> None:
    spectra, known = scene(5, 60, 200)
    found, weights = sclsu.solve(spectra, known), nnls.solve(spectra, known).abundances
    np.testing.assert_allclose(found.abundances * found.gain, weights)
    np.testing.assert_allclose(found.abundances.sum(0), 1)


def test_sclsu_does_not_mind_shade() -> None:
    spectra, known = scene(4, 50, 100, noise=0.0)
    shade = torch.linspace(0.2, 1.5, 100)
    bright, shaded = (sclsu.solve(pixels, known) for pixels in (spectra, spectra * shade))
    np.testing.assert_allclose(shaded.abundances, bright.abundances, atol=1e-5)
    np.testing.assert_allclose(shaded.gain, bright.gain * shade, rtol=1e-5)


def test_a_black_pixel_has_no_shares() -> None:
    _, known = scene(3, 20, 1)
    black = sclsu.solve(torch.zeros(20, 2), known)
    assert black.abundances.isnan().all()
    assert (black.gain == 0).all()
    assert (nnls.solve(torch.zeros(20, 2), known).abundances == 0).all()


@pytest.mark.parametrize("name", [name for name in SHELF if name not in ("sunsal", "mesma")])
def test_true_abundances_come_back(name: str) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(5), 300).T
    _, known = scene(5, 80, 1)
    mixed = known.T @ torch.from_numpy(shares)
    np.testing.assert_allclose(solve(name, mixed, known).abundances, shares, atol=1e-6)


@every_method
@pytest.mark.parametrize("endmembers", [1, 2, 6, 13])
def test_a_pixel_does_not_depend_on_those_beside_it(name: str, endmembers: int) -> None:
    spectra, known = scene(endmembers, 45, 403)
    whole = solve(name, spectra, known).abundances
    for part in (slice(0, 1), slice(1, 8), slice(200, 333), slice(402, 403)):
        found = solve(name, spectra[:, part], known).abundances
        assert torch.equal(found, whole[:, part])
    scattered = solve(name, spectra.T.contiguous().T.flip(1), known).abundances
    assert torch.equal(scattered.flip(1), whole)


@every_method
def test_the_units_of_a_scene_do_not_matter(name: str) -> None:
    spectra, known = scene(4, 30, 50)
    units = 10_000.0
    other = solve(name, spectra.double() * units, known * units).abundances
    found = solve(name, spectra.double(), known).abundances
    np.testing.assert_allclose(other, found, atol=1e-9)


@pytest.mark.parametrize("name", ["fcls", "nnls"])
def test_equal_endmembers_share_alike(name: str) -> None:
    spectra, known = scene(3, 30, 40)
    single = solve(name, spectra, known).abundances
    found = solve(name, spectra, torch.cat((known, known[:1]))).abundances
    np.testing.assert_allclose(found[0] + found[3], single[0], atol=1e-6)
    np.testing.assert_allclose(found[1:3], single[1:], atol=1e-6)
    assert found.min() >= 0


@every_method
def test_a_pixel_with_a_hole_has_no_abundances(name: str) -> None:
    spectra, known = scene(3, 30, 5)
    spectra[4, 1], spectra[7, 3] = torch.nan, torch.inf
    found = solve(name, spectra, known).abundances
    assert not found[:, [1, 3]].isfinite().any()
    assert found[:, [0, 2, 4]].isfinite().all()


@every_method
def test_no_pixels_have_no_abundances(name: str) -> None:
    _, known = scene(3, 30, 1)
    assert solve(name, torch.empty(30, 0), known).abundances.shape == (3, 0)


def degenerate() -> dict[str, tuple[Tensor, Tensor]]:
    """Problems in which sets of endmembers do not determine the abundances, or hardly so."""
    spectra, known = scene(4, 30, 60)
    between = 0.3 * known[:1] + 0.7 * known[1:2]
    nearly = known + 1e-5 * torch.sin(torch.arange(30.0))
    return {
        "equal endmembers": (spectra, torch.cat((known, known[:2]))),
        "a mixture among the endmembers": (spectra, torch.cat((known, between))),
        "nearly equal endmembers": (spectra, torch.cat((known, nearly))),
        "a black endmember": (spectra, torch.cat((known, torch.zeros(1, 30)))),
        "an endmember and its shade": (spectra, torch.cat((known, known[:1] / 3))),
        "more endmembers than bands": scene(20, 6, 60),
        "pixels that are endmembers": (known.T.float(), known),
        "black pixels": (torch.zeros(30, 3), known),
    }


@pytest.mark.parametrize("problem", list(degenerate()))
def test_the_minimum_is_reached_where_it_is_degenerate(problem: str) -> None:
    spectra, known = degenerate()[problem]
    for total, name in ((True, "fcls"), (False, "nnls")):
        x = solve(name, spectra, known).abundances
        gradient = downhill(spectra, known, x)
        if total:
            np.testing.assert_allclose(x.sum(0), 1, atol=1e-8)
            gradient -= (gradient * x.numpy()).sum(0)
        assert x.min() >= 0
        assert gradient.max() < 1e-6
        assert np.abs(gradient * x.numpy()).max() < 1e-6


@pytest.mark.parametrize("asc", [False, True])
@pytest.mark.parametrize("anc", [False, True])
@pytest.mark.parametrize(("endmembers", "bands"), [(5, 60), (40, 60), (200, 90)])
@pytest.mark.parametrize("sparsity", [1e-4, 1e-2])
def test_sunsal_meets_the_conditions_of_the_sparse_minimum(
    endmembers: int, bands: int, sparsity: float, anc: bool, asc: bool
) -> None:
    spectra, known = scene(endmembers, bands, 60)
    x = sunsal.solve(spectra, known, sparsity=sparsity, asc=asc, anc=anc).abundances.numpy()
    e, y = known.numpy(), spectra.double().numpy()
    gradient = e @ (y - e.T @ x) / np.square(e).sum(1).mean()
    if asc:
        np.testing.assert_allclose(x.sum(0), 1, atol=1e-8)
        # Lagrange's multiplier, of which an abundance in use tells
        gradient -= (gradient * x).sum(0) - sparsity * np.abs(x).sum(0)
    used = x != 0
    np.testing.assert_allclose(gradient[used], (sparsity * np.sign(x))[used], atol=1e-7)
    assert gradient.max() < sparsity + 1e-7
    if anc:
        assert x.min() >= 0
    else:
        assert gradient.min() > -sparsity - 1e-7


def test_sunsal_that_is_not_sparse_is_nnls_fcls_or_ls() -> None:
    spectra, known = scene(12, 60, 50)
    y = spectra.double().T.numpy()
    weights = [reference(known.T.numpy(), one)[0] for one in y]
    found = sunsal.solve(spectra, known, sparsity=0)
    np.testing.assert_allclose(found.abundances.T, weights, atol=1e-9)
    shares = sunsal.solve(spectra, known, sparsity=0, asc=True).abundances
    np.testing.assert_allclose(shares, fcls.solve(spectra, known).abundances, atol=1e-9)
    free = sunsal.solve(spectra, known, sparsity=0, anc=False).abundances
    np.testing.assert_allclose(free, ls.solve(spectra, known).abundances, atol=1e-7)
    free = sunsal.solve(spectra, known, sparsity=0, asc=True, anc=False).abundances
    np.testing.assert_allclose(free, scls.solve(spectra, known).abundances, atol=1e-7)


def test_a_lone_abundance_is_lowered_by_the_sparsity() -> None:
    known = torch.rand(1, 30).double()
    found = sunsal.solve(known.T * 0.7, known, sparsity=0.1).abundances
    np.testing.assert_allclose(found, [[0.6]])


def test_the_greater_the_sparsity_the_fewer_spectra_are_used() -> None:
    spectra, known = scene(200, 90, 60)
    used = [
        int((sunsal.solve(spectra, known, sparsity=sparsity).abundances > 0).sum())
        for sparsity in (0.0, 1e-2, 1e-1, 10.0)
    ]
    assert used == sorted(used, reverse=True)
    assert used[0] > used[1] > used[2] > used[3] == 0


def test_many_pixels_of_a_large_library_do_not_depend_on_each_other() -> None:
    spectra, known = scene(150, 60, 301)
    whole = sunsal.solve(spectra, known).abundances
    for part in (slice(0, 1), slice(7, 200), slice(300, 301)):
        assert torch.equal(sunsal.solve(spectra[:, part], known).abundances, whole[:, part])


@every_method
def test_a_method_names_its_source(name: str) -> None:
    assert len(SHELF[name].SOURCE) > 10


def test_the_published_abundances_of_samson_come_back(shared_data: Callable[[str], Path]) -> None:
    """That truth is the NNLS of endmembers scaled to a maximum of 1, divided by its sum."""
    file = loadmat(shared_data("unmixing/samson/Samson.mat"))
    truth = file["S_GT"].transpose(1, 0, 2).reshape(-1, 3).T
    known = torch.from_numpy(file["GT"] / file["GT"].max(1, keepdims=True))
    found = sclsu.solve(torch.from_numpy(file["Y"]), known).abundances.numpy()
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.0025


def test_the_other_truth_of_samson_is_fcls(shared_data: Callable[[str], Path]) -> None:
    folder = "unmixing/samson/misicnet_"
    scene, known, truth = (
        loadmat(shared_data(f"{folder}{name}.mat"))[name] for name in ("Y_clean", "E", "A_true")
    )
    pixels = torch.from_numpy(scene.reshape(-1, scene.shape[-1]).T.copy())
    found = fcls.solve(pixels, torch.from_numpy(known.T.copy())).abundances.numpy()
    np.testing.assert_allclose(found, truth.reshape(-1, len(found)).T, atol=1e-4)


def test_spectra_below_zero_are_of_the_nearest_endmember_too() -> None:
    known = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    # the darkest vertex is the nearest point of the simplex
    found = SHELF["fcls"].solve(-50 * torch.ones(3, 2), known).abundances
    torch.testing.assert_close(found, torch.tensor([[1.0, 1], [0, 0], [0, 0]]).double())
