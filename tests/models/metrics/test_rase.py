from __future__ import annotations

import math

import numpy as np
import pytest

from .conftest import Measure, Scene


def test_it_is_the_error_relative_to_the_mean_of_all_bands(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    rmse = [np.sqrt(np.mean((t - e) ** 2)) for t, e in zip(truth, estimate, strict=True)]
    expected = 100 / truth.mean() * np.sqrt(np.mean(np.square(rmse)))
    for ratio in (2, 8):
        found = measure("rase", truth, estimate, ratio=ratio, heights=[5, 1, 17])
        assert found == pytest.approx(expected, rel=1e-13)


def test_a_uniform_error_of_a_tenth_is_ten_percent(measure: Measure) -> None:
    truth = np.full((3, 4, 5), 0.5)
    assert measure("rase", truth, truth + 0.05) == pytest.approx(10)


def test_bands_are_weighted_alike_however_many_samples_they_have(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    truth[0, 3:], estimate[1, :9] = np.nan, np.nan
    errors = np.nanmean((truth - estimate) ** 2, (1, 2))
    means = np.nanmean(np.where(np.isnan(estimate), np.nan, truth), (1, 2))
    expected = 100 * np.sqrt(errors.mean()) / means.mean()
    assert measure("rase", truth, estimate) == pytest.approx(expected, rel=1e-13)


def test_a_dark_scene_has_no_relative_error(measure: Measure) -> None:
    assert math.isnan(measure("rase", np.zeros((2, 3, 4)), np.ones((2, 3, 4))))
