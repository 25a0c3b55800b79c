"""Endmembers are found in scenes whose materials are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import ceil, factorial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.optimize import linear_sum_assignment, minimize
from scipy.stats import norm
from torch import Tensor

from hsisr_models.contract import EndmemberFile
from hsisr_models.endmembers import SHELF, atgp, auto, edaa, nfindr, sisal, sivm, vca

Spectra = NDArray[np.float64]

every_method = pytest.mark.parametrize("name", list(SHELF))
of_pixels = pytest.mark.parametrize("method", [atgp, nfindr, sivm])


def spectra(endmembers: int, bands: int, seed: int = 0) -> Spectra:
    """Smooth and distinct, as those of minerals are."""
    rng = np.random.default_rng(seed)
    waves = np.linspace(0, 1, bands)
    phases, rates = rng.uniform(0, 6, (2, endmembers, 1))
    return 0.5 + 0.4 * np.sin(2 * np.pi * waves * (1 + rates) + phases)


def simplex(truth: Spectra, pixels: int, noise: float, seed: int = 0) -> Tensor:
    """Random mixtures, each material once pure."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(truth)), pixels)
    shares[rng.choice(pixels, len(truth), replace=False)] = np.eye(len(truth))
    scene = shares @ truth
    return torch.from_numpy(scene + noise * rng.standard_normal(scene.shape)).float()


def angles(found: Tensor, truth: Spectra) -> Spectra:
    """The spectral angles under the best matching, in radians."""
    u = found.double().numpy()
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, truth))
    chords = np.linalg.norm(u[:, None] - v[None], axis=2)
    every = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    return np.asarray(every[linear_sum_assignment(every)])


@pytest.mark.parametrize("endmembers", [2, 3, 5, 7])
@pytest.mark.parametrize("bands", [8, 50, 200])
@pytest.mark.parametrize("seed", range(3))
def test_vca_finds_pure_pixels_without_noise(endmembers: int, bands: int, seed: int) -> None:
    truth = spectra(endmembers, bands, seed)
    found = vca.extract(simplex(truth, 2000, 0.0, seed), endmembers, seed=seed)
    assert found.shape == (endmembers, bands)
    assert angles(found, truth).max() < 1e-3


@pytest.mark.parametrize("bands", [6, 50])
@pytest.mark.parametrize("decibels", [5, 20, 40])
def test_vca_knows_how_far_a_scene_is_above_its_noise(bands: int, decibels: float) -> None:
    rng = np.random.default_rng(0)
    clean = rng.dirichlet(np.ones(3), 20_000) @ spectra(3, bands)
    noise = np.sqrt(np.square(clean).mean() / 10 ** (decibels / 10))
    scene = torch.from_numpy(clean + noise * rng.standard_normal(clean.shape))
    assert vca._decibels(scene, 3) == pytest.approx(decibels, abs=0.5)


@of_pixels
@pytest.mark.parametrize(("endmembers", "bands"), [(2, 8), (3, 50), (5, 50), (7, 200)])
@pytest.mark.parametrize("seed", range(3))
def test_pure_pixels_are_found_as_they_are(
    method: EndmemberFile, endmembers: int, bands: int, seed: int
) -> None:
    truth = spectra(endmembers, bands, seed)
    found = method.extract(simplex(truth, 2000, 0.0, seed), endmembers, seed=seed)
    assert angles(found, truth).max() < 1e-6


def volume(vertices: Spectra) -> float:
    """Of a simplex (p, B), by its Cayley-Menger determinant."""
    count = len(vertices)
    bordered = np.ones((count + 1, count + 1))
    bordered[0, 0] = 0
    bordered[1:, 1:] = np.square(vertices[:, None] - vertices[None]).sum(2)
    squared = (-1) ** count * np.linalg.det(bordered) / 2 ** (count - 1)
    return float(np.sqrt(max(squared, 0))) / factorial(count - 1)


def test_the_volume_of_a_simplex_is_known() -> None:
    assert volume(np.array([[0.0, 0, 7], [3, 0, 7], [0, 4, 7]])) == pytest.approx(6)


@pytest.mark.parametrize("seed", range(5))
def test_sivm_adds_the_pixel_that_makes_the_simplex_largest(seed: int) -> None:
    pixels = torch.rand(60, 12, generator=torch.Generator().manual_seed(seed))
    found, every = (x.double().numpy() for x in (sivm.extract(pixels, 5, seed=0), pixels))
    farthest = np.linalg.norm(every - every.mean(0), axis=1).argmax()
    np.testing.assert_array_equal(found[0], every[farthest])
    for size in range(2, 6):
        volumes = [volume(np.vstack([found[: size - 1], pixel])) for pixel in every]
        assert volume(found[:size]) == pytest.approx(max(volumes), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_atgp_adds_the_pixel_that_those_before_explain_least(seed: int) -> None:
    pixels = torch.rand(60, 12, generator=torch.Generator().manual_seed(seed))
    found, every = (x.double().numpy() for x in (atgp.extract(pixels, 5, seed=0), pixels))
    assert np.linalg.norm(found[0]) == np.linalg.norm(every, axis=1).max()
    for size in range(1, 5):
        known = found[:size]
        left = every - np.linalg.lstsq(known.T, every.T)[0].T @ known
        np.testing.assert_array_equal(found[size], every[np.linalg.norm(left, axis=1).argmax()])


@pytest.mark.parametrize("endmembers", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_nfindr_cannot_be_made_larger_by_one_pixel(endmembers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # in the plane of the simplex projection changes nothing
    every = rng.standard_normal((25, endmembers - 1)) @ rng.standard_normal((endmembers - 1, 9))
    pixels = torch.from_numpy(every)
    found = nfindr.extract(pixels, endmembers, seed=0).double().numpy()
    reached = volume(found)
    for vertex in range(endmembers):
        others = np.delete(found, vertex, 0)
        largest = max(volume(np.vstack([others, pixel])) for pixel in every)
        assert reached >= largest * (1 - 1e-5)
    best = max(volume(every[list(each)]) for each in combinations(range(25), endmembers))
    assert best * (1 + 1e-5) >= reached > 0.8 * best


def test_nfindr_is_larger_than_where_it_starts() -> None:
    # the brightest pixel is no corner of the triangle of the others
    pixels = torch.tensor([[0.0, 0, 1], [4, 0, 1], [0, 4, 1], [2.9, 2.9, 1]])
    found = {tuple(row.tolist()) for row in nfindr.extract(pixels, 3, seed=0)}
    areas = {three: volume(pixels[list(three)].numpy()) for three in combinations(range(4), 3)}
    best = max(areas, key=lambda three: areas[three])
    assert found == {tuple(pixels[index].tolist()) for index in best}


def impure(
    truth: Spectra, purest: float, noise: float, *, shade: bool = False, seed: int = 0
) -> Tensor:
    """Random mixtures (N, B), none of which holds more than a share of any material."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(truth)), 30_000)
    shares = shares[shares.max(1) <= purest][:3000]
    bright = rng.uniform(0.5, 1.5, (len(shares), 1)) if shade else 1.0
    scene = bright * (shares @ truth)
    return torch.from_numpy(scene + noise * rng.standard_normal(scene.shape)).float()


@pytest.mark.parametrize(("endmembers", "purest"), [(2, 1.0), (3, 0.75), (5, 0.75), (5, 1.0)])
@pytest.mark.parametrize("shade", [False, True])
def test_sisal_needs_no_pure_pixel(endmembers: int, purest: float, shade: bool) -> None:
    truth = spectra(endmembers, 80)
    pixels = impure(truth, purest, 0.003, shade=shade)
    fit = sisal.fit(pixels, endmembers)
    assert fit.holds
    assert fit.unexplained == pytest.approx(1, abs=0.05)
    assert angles(fit.endmembers, truth).max() < (0.05 if shade else 0.01)
    if purest < 1:
        assert angles(nfindr.extract(pixels, endmembers, seed=0), truth).max() > 0.05


@pytest.mark.parametrize("space", [sisal._flat, sisal._cone])
def test_noise_of_one_leaves_one_unexplained_however_few_the_bands(
    space: Callable[[Tensor, int], sisal._Space],
) -> None:
    rng = np.random.default_rng(0)
    clean = rng.dirichlet(np.ones(4), 20_000) @ rng.uniform(5, 50, (4, 7))
    white = torch.from_numpy(clean + rng.standard_normal(clean.shape))
    assert space(white, 4).unexplained == pytest.approx(1, abs=0.02)


def test_sisal_tells_how_bright_materials_are_beside_each_other() -> None:
    truth = spectra(3, 80) * [[1.0], [0.4], [0.7]]
    found = sisal.fit(impure(truth, 0.9, 0.001, shade=True), 3).endmembers.numpy()
    # the brightness of a pixel is 1 on average, so that of all together is known too
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(found, axis=1)), np.sort(np.linalg.norm(truth, axis=1)), rtol=0.15
    )
    order = linear_sum_assignment(-found @ truth.T)[1]
    ratios = np.linalg.norm(found, axis=1) / np.linalg.norm(truth[order], axis=1)
    assert np.ptp(ratios) < 0.05 * ratios.mean()


def test_sisal_is_the_likeliest_segment() -> None:
    rng, bands, noise = np.random.default_rng(1), 20, 0.05
    ends = np.array([[0.2] * bands, [1.0] * bands])
    clean = ends[0] + rng.uniform(0.1, 0.8, (4000, 1)) * (ends[1] - ends[0])
    scene = clean + noise * rng.standard_normal(clean.shape)
    along = scene.mean(1)

    def unlikely(borders: Spectra) -> float:
        """By the density itself: of a uniform variable plus a normal one."""
        low, high = borders
        blur = noise / np.sqrt(bands)
        inside = norm.cdf((along - low) / blur) - norm.cdf((along - high) / blur)
        return float(-np.log(np.maximum(inside, 1e-300) / (high - low)).mean())

    best = minimize(unlikely, [along.min(), along.max()], method="Nelder-Mead").x
    found = sisal.extract(torch.from_numpy(scene), 2, seed=0).double().numpy().mean(1)
    np.testing.assert_allclose(np.sort(found), best, atol=0.002)
    np.testing.assert_allclose(best, [0.28, 0.84], atol=0.01)


def varied(truth: Spectra, seed: int = 0) -> Tensor:
    """Mixtures of materials each of which has a spectrum of its own in every pixel."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(len(truth), 0.3), 400)
    waves = np.linspace(0, 1, truth.shape[1])
    bent = 1 + 0.2 * rng.standard_normal((400, len(truth), 2)) @ [waves, waves**2]
    return torch.from_numpy(np.einsum("np,npb,pb->nb", shares, bent, truth)).float()


def test_auto_is_sisal_where_materials_mix_linearly() -> None:
    pixels = impure(spectra(4, 60), 0.8, 0.003)
    assert torch.equal(auto.extract(pixels, 4, seed=0), sisal.extract(pixels, 4, seed=0))


def test_auto_takes_the_pixels_nearest_to_archetypes_where_materials_vary() -> None:
    pixels = varied(spectra(3, 60)) + 0.001 * torch.randn(
        400, 60, generator=torch.Generator().manual_seed(0)
    )
    assert not sisal.fit(pixels, 3).holds
    archetypes = edaa.extract(pixels, 3, seed=0).double().numpy()
    every = pixels.double().numpy()
    cosines = archetypes @ every.T / np.linalg.norm(every, axis=1)
    regions = np.argsort(-cosines, axis=1)[:, : ceil(0.01 * len(every))]
    expected = torch.from_numpy(every[regions].mean(1)).float()
    torch.testing.assert_close(auto.extract(pixels, 3, seed=0), expected)


@pytest.mark.parametrize("endmembers", [2, 3, 4])
@pytest.mark.parametrize(("name", "bound"), [("vca", 1e-3), ("auto", 1e-3), ("edaa", 0.1)])
def test_shade_moves_them_little(name: str, bound: float, endmembers: int) -> None:
    errors = []
    for seed in range(3):
        truth, rng = spectra(endmembers, 60, seed), np.random.default_rng(seed)
        mixed, pure = rng.dirichlet(np.full(endmembers, 0.5), 200), np.eye(endmembers)
        shares = np.concatenate([mixed, pure.repeat(8, 0)])
        shade = rng.uniform(0.3, 1.0, (len(shares), 1))
        scene = torch.from_numpy(shade * (shares @ truth)).float()
        found = SHELF[name].extract(scene, endmembers, seed=seed)
        errors.append(angles(found, truth).mean())
    assert np.mean(errors) < bound


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("vca", 0.05),
        ("edaa", 0.2),
        ("nfindr", 0.15),
        ("atgp", 0.15),
        ("sivm", 0.15),
        ("sisal", 0.01),
        ("auto", 0.01),
    ],
)
def test_noise_moves_them_little(name: str, bound: float) -> None:
    truth = spectra(4, 100)
    found = SHELF[name].extract(simplex(truth, 1000, 0.01), 4, seed=0)
    assert angles(found, truth).max() < bound


@every_method
def test_one_seed_finds_the_same_endmembers(name: str) -> None:
    pixels = simplex(spectra(4, 60), 500, 0.02)
    found = [SHELF[name].extract(pixels, 4, seed=3) for _ in range(2)]
    assert torch.equal(*found)


@every_method
def test_the_seed_of_others_is_left_alone(name: str) -> None:
    pixels = simplex(spectra(3, 20), 200, 0.01)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SHELF[name].extract(pixels, 3, seed=0)
    assert torch.equal(torch.rand(3), expected)


@every_method
def test_the_units_of_a_scene_do_not_matter(name: str) -> None:
    pixels = simplex(spectra(3, 40), 500, 0.0)
    # a power of two changes no digit
    bright = SHELF[name].extract(pixels * 2**13, 3, seed=0) / 2**13
    torch.testing.assert_close(bright, SHELF[name].extract(pixels, 3, seed=0))


@pytest.mark.parametrize("name", ["atgp", "edaa", "nfindr", "sivm", "vca"])
def test_endmembers_lie_among_the_pixels(name: str) -> None:
    pixels = simplex(spectra(3, 40), 500, 0.0)
    found = SHELF[name].extract(pixels, 3, seed=0)
    assert (found >= pixels.amin(0) - 1e-5).all()
    assert (found <= pixels.amax(0) + 1e-5).all()


@every_method
@pytest.mark.parametrize(("pixels", "bands", "endmembers"), [(3, 50, 4), (100, 3, 4)])
def test_more_endmembers_than_pixels_or_bands_are_refused(
    name: str, pixels: int, bands: int, endmembers: int
) -> None:
    with pytest.raises(ValueError, match=f"{endmembers} endmembers from {pixels} pixels"):
        SHELF[name].extract(torch.rand(pixels, bands), endmembers, seed=0)


@every_method
def test_a_scene_about_zero_is_no_crash(name: str) -> None:
    pixels = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
    assert SHELF[name].extract(pixels - pixels.mean(0), 3, seed=0).isfinite().all()


@every_method
@pytest.mark.parametrize("value", [0.3, 0.0])
def test_a_scene_of_one_colour_is_no_crash(name: str, value: float) -> None:
    found = SHELF[name].extract(torch.full((50, 6), value), 3, seed=0)
    torch.testing.assert_close(found, torch.full((3, 6), value))


class Stopped(Exception):  # noqa: N818 - as Ctrl-C
    """What a watcher raises."""


@every_method
def test_a_search_tells_how_far_it_is_and_can_be_stopped(name: str) -> None:
    pixels, told = simplex(spectra(4, 30), 300, 0.01), list[float]()
    SHELF[name].extract(pixels, 4, seed=0, progress=told.append)
    assert len(told) >= 2
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] == 1

    def stop(done: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        SHELF[name].extract(pixels, 4, seed=0, progress=stop)


@pytest.mark.parametrize("name", ["auto", "edaa", "sisal", "vca"])
def test_a_single_endmember_lies_in_the_middle(name: str) -> None:
    pixels = simplex(spectra(3, 12), 300, 0.0)
    found = SHELF[name].extract(pixels, 1, seed=0)
    assert found.shape == (1, 12)
    assert angles(found, pixels.double().numpy().mean(0, keepdims=True)).max() < 0.2


@every_method
def test_a_method_names_its_source(name: str) -> None:
    assert len(SHELF[name].SOURCE) > 10


def published(path: Path, units: float) -> tuple[Tensor, Spectra]:
    """Pixels and endmembers of a file in the layout of hu_autoencoders."""
    file = loadmat(path)
    return torch.from_numpy(file["Y"].T / units).float(), file["GT"].astype(np.float64)


@pytest.mark.parametrize(
    ("path", "endmembers", "bound"),
    [("samson/Samson.mat", 3, 0.029), ("jasper_ridge/Jasper.mat", 4, 0.06)],
)
def test_auto_is_as_good_as_a_network_on_real_scenes(
    shared_data: Callable[[str], Path], path: str, endmembers: int, bound: float
) -> None:
    """MSNet has 0.025 and 0.059 (Tao et al., TGRS 62, 2024, tables II and III)."""
    pixels, truth = published(shared_data(f"unmixing/{path}"), 1.0)
    assert not sisal.fit(pixels, endmembers).holds
    errors = [
        angles(method.extract(pixels, endmembers, seed=0), truth).mean() for method in (auto, vca)
    ]
    assert errors[0] < min(bound, 0.6 * errors[1])


def test_auto_finds_what_no_pixel_of_a_simulated_scene_is(
    shared_data: Callable[[str], Path],
) -> None:
    """Sim1 of MiSiCNet at 40 dB: no material is more than three quarters of a pixel."""
    cube, known = (
        loadmat(shared_data(f"unmixing/sim1/{name}.mat"))[name] for name in ("Y_clean", "E")
    )
    clean = cube.reshape(-1, cube.shape[-1])
    noise = 0.01 * np.sqrt(np.square(clean).mean())
    noisy = clean + noise * np.random.default_rng(0).standard_normal(clean.shape)
    found = auto.extract(torch.from_numpy(noisy).float(), 6, seed=0)
    assert np.degrees(angles(found, known.T).mean()) < 1
