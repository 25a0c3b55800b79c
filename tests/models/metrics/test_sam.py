from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import spectral_angle_mapper

from .conftest import Measure, Scene


def test_it_is_the_mean_angle_in_degrees(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    by_torchmetrics = spectral_angle_mapper(
        torch.from_numpy(estimate)[None], torch.from_numpy(truth)[None]
    )
    expected = math.degrees(float(by_torchmetrics))
    assert measure("sam", truth, estimate) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("degrees", [1e-7, 1e-3, 45, 90, 180])
def test_every_angle_is_exact(measure: Measure, degrees: float) -> None:
    radians = math.radians(degrees)
    truth = np.array([1.0, 0.0]).reshape(2, 1, 1)
    estimate = 3 * np.array([math.cos(radians), math.sin(radians)]).reshape(2, 1, 1)
    assert measure("sam", truth, estimate) == pytest.approx(degrees, rel=1e-8)


def test_zero_spectra_are_skipped(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    expected = measure("sam", truth[:, 1:, 1:], estimate[:, 1:, 1:])
    truth[:, 0] = 0
    estimate[:, :, 0] = 0
    assert measure("sam", truth, estimate) == pytest.approx(expected, rel=1e-13)
    assert math.isnan(measure("sam", truth * 0, estimate))


def test_bands_that_one_pixel_lacks_are_left_out_of_its_angle(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = (scene[:, :1, :1].copy() for scene in pair)
    expected = measure("sam", truth[[0, 2, 3]], estimate[[0, 2, 3]])
    truth[1] = np.nan
    estimate[4] = np.nan
    assert measure("sam", truth, estimate) == pytest.approx(expected, rel=1e-13)
