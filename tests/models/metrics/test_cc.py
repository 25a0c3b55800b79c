from __future__ import annotations

import math

import numpy as np
import pytest

from .conftest import Measure, Scene


def correlations(truth: Scene, estimate: Scene) -> list[float]:
    return [
        float(np.corrcoef(t.ravel(), e.ravel())[0, 1]) for t, e in zip(truth, estimate, strict=True)
    ]


def test_it_is_the_mean_over_bands_of_pearsons_correlation(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    assert measure("cc", *pair) == pytest.approx(np.mean(correlations(*pair)), rel=1e-13)


def test_a_bright_band_that_varies_little_loses_no_digits(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = (2.0**24 + np.round(scene * 2**20) / 2**20 for scene in pair)
    expected = np.mean(correlations(truth - 2.0**24, estimate - 2.0**24))
    found = measure("cc", truth, estimate, heights=[1] * 23)
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 7])
def test_constant_bands_are_left_out(
    pair: tuple[Scene, Scene], measure: Measure, value: float
) -> None:
    truth, estimate = pair
    expected = measure("cc", truth[1:], estimate[1:])
    truth[0] = value
    assert measure("cc", truth, estimate, heights=[5, 1, 17]) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(measure("cc", truth[:1], estimate[:1]))


def test_an_estimate_that_does_not_vary_explains_nothing(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, _ = pair
    assert measure("cc", truth, np.full_like(truth, 0.1), heights=[5, 1, 17]) == 0


def test_missing_pixels_are_left_out(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    expected = np.mean(correlations(truth[:, 4:], estimate[:, 4:]))
    truth[:, :2] = np.nan
    estimate[:, 2:4] = np.nan
    for heights in ([23], [1, 1, 21], [3, 20]):
        assert measure("cc", truth, estimate, heights=heights) == pytest.approx(expected, rel=1e-13)
