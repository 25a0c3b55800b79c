"""MESMA takes for every pixel the model that a search through all of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from hsisr_models.abundances import mesma

Array = NDArray[np.float64]
CLASSES = (0, 0, 1, 1, 1, 2)


def library(seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.asarray(0.1 + 0.5 * gaussian_filter1d(rng.uniform(0, 1, (6, 50)), 3, axis=1))


def mixtures(known: Array, pixels: int, seed: int = 1) -> Array:
    """(pixels, 50), of one to three materials, shade, light, noise, and some of nothing known."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(6, 0.3), pixels) * rng.uniform(0.1, 1.1, (pixels, 1))
    noise = rng.normal(0, 1, (pixels, 50)) * rng.choice([0.002, 0.01, 0.03], (pixels, 1))
    return np.asarray(shares @ known + noise)


def searched(pixel: Array, known: Array, classes: Sequence[int], most: int = 3) -> Array:
    """The rule, word for word, one pixel and one model after the other."""
    best, best_rmse = np.full(len(known), np.nan), np.inf
    for count in range(1, most):
        level, level_rmse = np.full(len(known), np.nan), np.inf
        for members in combinations(range(len(known)), count):
            if len({classes[i] for i in members}) < count:
                continue
            fractions = np.linalg.lstsq(known[list(members)].T, pixel, rcond=None)[0]
            rmse = np.sqrt(np.mean((fractions @ known[list(members)] - pixel) ** 2))
            shade = 1 - fractions.sum()
            fits = (fractions >= -0.05).all() and (fractions <= 1.05).all()
            if fits and 0 <= shade <= 0.8 and rmse <= 0.025 and rmse < level_rmse:
                level, level_rmse = np.zeros(len(known)), rmse
                level[list(members)] = fractions
        if best_rmse - level_rmse > 0.007:
            best, best_rmse = level, level_rmse
    return best


@pytest.mark.parametrize("classes", [CLASSES, None])
@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_model_is_that_of_a_search(classes: tuple[int, ...] | None, most: int) -> None:
    known = library()
    pixels = mixtures(known, 150)
    found = mesma.solve(
        torch.from_numpy(pixels.T), torch.from_numpy(known), classes=classes, most=most
    )
    expected = np.array([searched(one, known, classes or range(6), most) for one in pixels]).T
    modelled = np.isfinite(expected).all(0)
    assert 30 < modelled.sum() < 140
    np.testing.assert_allclose(found.abundances * found.gain, expected, atol=1e-9)
    np.testing.assert_allclose(found.abundances.numpy()[:, modelled].sum(0), 1)
    used = (expected[:, modelled] != 0).sum(0)
    assert set(used) == set(range(1, most))


def test_what_no_model_explains_has_no_abundances() -> None:
    known = torch.from_numpy(library())
    strange = torch.rand(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = mesma.solve(strange, known)
    assert found.abundances.isnan().all()
    assert found.gain.isnan().all()


def test_shade_is_told_apart() -> None:
    known = torch.from_numpy(library())
    share = torch.tensor([1.0, 0.5, 0.21, 0.19])
    found = mesma.solve(known[2][:, None] * share, known)
    np.testing.assert_allclose(found.gain, [1, 0.5, 0.21, np.nan])
    np.testing.assert_allclose(found.abundances[:, :3], np.eye(6)[:, [2, 2, 2]], atol=1e-12)


def test_reflectance_can_be_in_other_units() -> None:
    known = library()
    pixels = mixtures(known, 60)
    plain = mesma.solve(torch.from_numpy(pixels.T), torch.from_numpy(known))
    units = mesma.solve(
        torch.from_numpy(pixels.T * 10_000), torch.from_numpy(known * 10_000), white=10_000
    )
    np.testing.assert_allclose(units.abundances, plain.abundances, atol=1e-9)
    np.testing.assert_allclose(units.gain, plain.gain, atol=1e-9)


def test_spectra_that_are_the_same_are_not_mixed() -> None:
    known = library()
    doubled = np.concatenate((known, known[:1] / 2, np.zeros((1, 50))))
    pixels = torch.from_numpy(mixtures(known, 80).T)
    classes = (*CLASSES, 3, 4)
    found = mesma.solve(pixels, torch.from_numpy(doubled), classes=classes, fusion=0).abundances
    there = found.isfinite().all(0)
    assert there.any()
    both = (found[0] != 0) & (found[6] != 0)
    assert not both[there].any()
    assert (found[7, there] == 0).all()


def test_pixels_do_not_depend_on_each_other_whether_modelled_or_not() -> None:
    known = torch.from_numpy(library())
    pixels = torch.from_numpy(mixtures(library(), 403).T)
    whole = mesma.solve(pixels, known, classes=CLASSES).abundances
    for part in (slice(0, 1), slice(1, 8), slice(200, 333)):
        found = mesma.solve(pixels[:, part], known, classes=CLASSES).abundances
        torch.testing.assert_close(found, whole[:, part], rtol=0, atol=0, equal_nan=True)


def test_classes_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 classes for 6 endmembers"):
        mesma.solve(torch.zeros(50, 1), torch.from_numpy(library()), classes=(0, 1))
