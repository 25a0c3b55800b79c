from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import spectral_angle_mapper

from hsisr_models.metrics import sam

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


EPS = 2.2204e-16


def replaced(truth: Scene, estimate: Scene) -> float:
    """As MCNet's paper has it measured: every zero is a tiny number first."""
    u, v = (np.where(scene == 0, EPS, scene) for scene in (truth, estimate))
    lengths = np.sqrt((u**2).sum(0)) * np.sqrt((v**2).sum(0))
    cosines = (u * v).sum(0) / (lengths + EPS)
    return float(np.degrees(np.arccos(np.minimum(cosines, 1))).mean())


def test_zeros_can_be_replaced_instead(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    plain = measure("sam", truth, estimate)
    assert measure("sam", truth, estimate, zero=EPS) == pytest.approx(plain, rel=1e-9)
    truth[:, 0] = truth[2, 5] = 0
    estimate[:, :, 0] = 0
    for heights in ([23], [5, 1, 17]):
        found = measure("sam", truth, estimate, heights=heights, zero=EPS)
        assert found == pytest.approx(replaced(truth, estimate), rel=1e-12)


def test_replaced_spectra_of_zeros_are_at_right_angles(measure: Measure) -> None:
    dark, lit = np.zeros((4, 1, 1)), np.ones((4, 1, 1))
    assert measure("sam", dark, dark, zero=EPS) == pytest.approx(90, abs=1e-6)
    assert measure("sam", lit, lit, zero=EPS) == pytest.approx(0, abs=1e-5)


def test_with_zeros_replaced_missing_pixels_still_do_not_count(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    expected = replaced(truth[:, 3:], estimate[:, 3:])
    truth[:, :2] = estimate[:, 2] = np.nan
    assert measure("sam", truth, estimate, zero=EPS) == pytest.approx(expected, rel=1e-12)
    one = [scene[:, 3:4, :1].copy() for scene in pair]
    expected = replaced(one[0][1:], one[1][1:])
    one[1][0] = np.nan
    assert measure("sam", *one, zero=EPS) == pytest.approx(expected, rel=1e-12)


def test_its_definition_tells_what_becomes_of_zeros() -> None:
    assert "zero spectra left out" in sam.definition(peak=1.0, ratio=4)
    assert "zeros of x and y set to e" in sam.definition(peak=1.0, ratio=4, zero=EPS)
