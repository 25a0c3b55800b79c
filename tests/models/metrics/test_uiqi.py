from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import universal_image_quality_index

from hsisr_models.metrics import uiqi
from hsisr_models.metrics._windows import Windows

from .conftest import Measure, Scene


def quality(truth: Scene, estimate: Scene) -> float:
    """Equation 1 of Wang and Bovik (2002) in every 8 x 8 window, with numpy's own moments."""
    x, y = (
        sliding_window_view(scene, (8, 8), (1, 2)).reshape(len(scene), -1, 64)
        for scene in (truth, estimate)
    )
    covariance = (x * y).mean(2) - x.mean(2) * y.mean(2)
    above = 4 * covariance * x.mean(2) * y.mean(2)
    below = (x.var(2) + y.var(2)) * (x.mean(2) ** 2 + y.mean(2) ** 2)
    return float(np.nanmean(above / below))


@pytest.mark.parametrize("heights", [[23], [5, 1, 17], [8, 15]], ids=str)
def test_it_is_the_formula_of_wang_and_bovik(
    pair: tuple[Scene, Scene], measure: Measure, heights: list[int]
) -> None:
    found = measure("uiqi", *pair, heights=heights)
    assert found == pytest.approx(quality(*pair), rel=1e-11)


def test_in_other_windows_it_is_that_of_scikit_image_and_torchmetrics(
    pair: tuple[Scene, Scene],
) -> None:
    strips = [torch.from_numpy(scene) for scene in pair]
    uniform = Windows(torch.full((7,), 1 / 7, dtype=torch.float64), uiqi.quality)
    uniform.update(*strips)
    per_band = [
        structural_similarity(t, e, data_range=1.0, K1=0, K2=0) for t, e in zip(*pair, strict=True)
    ]
    assert uniform.result() == pytest.approx(np.mean(per_band), rel=1e-11)
    places = torch.arange(-5, 6, dtype=torch.float64)
    gaussian = Windows((-(places**2) / 4.5).softmax(0), uiqi.quality)
    gaussian.update(*strips)
    by_torchmetrics = universal_image_quality_index(strips[1][None], strips[0][None])
    assert gaussian.result() == pytest.approx(float(by_torchmetrics), rel=1e-6)


def test_it_does_not_depend_on_the_unit(pair: tuple[Scene, Scene], measure: Measure) -> None:
    expected = measure("uiqi", *pair)
    assert measure("uiqi", *(4095 * scene for scene in pair)) == pytest.approx(expected, rel=1e-11)


def test_windows_that_do_not_vary_are_told_by_their_means(measure: Measure) -> None:
    truth = np.full((2, 9, 8), 1e9 / 7)
    assert measure("uiqi", truth, truth) == pytest.approx(1, abs=1e-12)
    assert measure("uiqi", truth, truth / 2) == pytest.approx(2 * 0.5 / 1.25)
    assert measure("uiqi", 0 * truth, 0 * truth) == 1


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_dead_band_does_not_count_however_well_it_is_restored(
    pair: tuple[Scene, Scene], measure: Measure, value: float
) -> None:
    truth, estimate = pair
    expected = quality(truth[1:], estimate[1:])
    truth[0] = value
    for error in (0.0, 1e-6):
        estimate[0] = value + error * np.arange(17)
        for heights in ([23], [2, 1, 20]):
            found = measure("uiqi", truth, estimate, heights=heights)
            assert found == pytest.approx(expected, rel=1e-11)


def test_windows_that_touch_a_missing_pixel_are_left_out(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    truth[:, 9, 4] = estimate[2, 15, 12] = np.nan
    per_band = [quality(truth[i : i + 1], estimate[i : i + 1]) for i in range(len(truth))]
    assert measure("uiqi", truth, estimate) == pytest.approx(np.mean(per_band), rel=1e-11)


@pytest.mark.parametrize("shape", [(2, 7, 20), (2, 20, 7)])
def test_a_scene_smaller_than_a_window_has_no_quality(
    measure: Measure, shape: tuple[int, int, int]
) -> None:
    assert math.isnan(measure("uiqi", np.ones(shape), np.ones(shape)))
