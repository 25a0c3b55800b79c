from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from skimage.metrics import structural_similarity

from hsisr_models.metrics import ssim

from .conftest import Measure, Scene


@pytest.mark.parametrize("peak", [1.0, 4095.0])
def test_it_is_the_mean_over_bands_of_scikit_images_default(
    pair: tuple[Scene, Scene], measure: Measure, peak: float
) -> None:
    truth, estimate = (scene * peak for scene in pair)
    per_band = [
        structural_similarity(t, e, data_range=peak) for t, e in zip(truth, estimate, strict=True)
    ]
    found = measure("ssim", truth, estimate, peak=peak)
    assert found == pytest.approx(np.mean(per_band), rel=1e-12)


def test_windows_that_touch_a_missing_pixel_are_left_out(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    holes = np.zeros(truth.shape, bool)
    holes[:, 9, 4] = holes[2, 15, 12] = True
    expected = []
    for t, e, hole in zip(truth, estimate, holes, strict=True):
        _, similarity = structural_similarity(t, e, data_range=1.0, full=True)
        inside = (slice(3, -3), slice(3, -3))
        touched = maximum_filter(hole, 7)[inside]
        expected.append(similarity[inside][~touched].mean())
    estimate[holes] = np.nan
    assert measure("ssim", truth, estimate) == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_constant_scene_is_similar_to_itself(measure: Measure) -> None:
    for value in (0.0, 0.3):
        constant = np.full((2, 9, 8), value)
        assert measure("ssim", constant, constant) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(2, 6, 20), (2, 20, 6)])
def test_a_scene_smaller_than_a_window_has_no_similarity(
    measure: Measure, shape: tuple[int, int, int]
) -> None:
    assert math.isnan(measure("ssim", np.ones(shape), np.ones(shape)))


def test_its_definition_names_window_and_range() -> None:
    definition = ssim.definition(peak=2.0, ratio=4)
    assert "7 x 7" in definition
    assert "range 2" in definition


GAUSSIAN = {"window": 11, "sigma": 1.5}


@pytest.mark.parametrize("peak", [1.0, 4095.0])
def test_in_gaussian_windows_it_is_that_of_scikit_image(
    pair: tuple[Scene, Scene], measure: Measure, peak: float
) -> None:
    truth, estimate = (scene * peak for scene in pair)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    per_band = [
        structural_similarity(t, e, data_range=peak, **options)
        for t, e in zip(truth, estimate, strict=True)
    ]
    for heights in ([23], [5, 1, 17]):
        found = measure("ssim", truth, estimate, peak=peak, heights=heights, **GAUSSIAN)
        assert found == pytest.approx(np.mean(per_band), rel=1e-12)


def test_gaussian_windows_that_touch_a_missing_pixel_are_left_out(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    expected = measure("ssim", truth[:, 4:], estimate[:, 4:], **GAUSSIAN)
    truth[:, 3] = np.nan
    assert measure("ssim", truth, estimate, **GAUSSIAN) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(measure("ssim", truth[:, :10], estimate[:, :10], **GAUSSIAN))


def test_its_definition_names_gaussian_windows() -> None:
    definition = ssim.definition(peak=1.0, ratio=4, window=11, sigma=1.5)
    assert "Gaussian (sigma 1.5) 11 x 11" in definition
    assert "sample" not in definition
