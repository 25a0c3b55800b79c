from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr

from hsisr_models.metrics import psnr

from .conftest import Measure, Scene


@pytest.mark.parametrize("peak", [1.0, 4095.0])
def test_it_is_the_mean_over_bands_of_the_psnr(
    pair: tuple[Scene, Scene], measure: Measure, peak: float
) -> None:
    truth, estimate = (scene * peak for scene in pair)
    per_band = [
        peak_signal_noise_ratio(t, e, data_range=peak) for t, e in zip(truth, estimate, strict=True)
    ]
    assert measure("psnr", truth, estimate, peak=peak) == pytest.approx(np.mean(per_band))
    by_torchmetrics = torch_psnr(
        torch.from_numpy(estimate[2]), torch.from_numpy(truth[2]), data_range=peak
    )
    assert measure("psnr", truth[2:3], estimate[2:3], peak=peak) == pytest.approx(
        float(by_torchmetrics)
    )


def test_a_flawless_band_does_not_hide_the_others(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    expected = measure("psnr", truth[1:], estimate[1:])
    estimate[0] = truth[0]
    assert measure("psnr", truth, estimate) == expected


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_dead_band_does_not_count_however_well_it_is_restored(
    pair: tuple[Scene, Scene], measure: Measure, value: float
) -> None:
    truth, estimate = pair
    expected = np.mean(
        [
            peak_signal_noise_ratio(t, e, data_range=1)
            for t, e in zip(truth[1:, 3:], estimate[1:, 3:], strict=True)
        ]
    )
    truth[0] = value
    truth[:, :3] = np.nan
    for error in (0.0, 1e-6, 0.5):
        estimate[0] = value + error
        for heights in ([23], [2, 1, 20]):
            found = measure("psnr", truth, estimate, heights=heights)
            assert found == pytest.approx(expected, rel=1e-12)


def test_an_infinite_error_is_the_worst(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    estimate[0, 0, 0] = np.inf
    assert measure("psnr", truth, estimate) == -math.inf


def test_its_definition_names_the_peak() -> None:
    assert "peak 0.25" in psnr.definition(peak=0.25, ratio=4)


@pytest.mark.parametrize("peak", [1.0, 4095.0])
def test_pooled_it_is_the_psnr_of_all_bands_as_one(
    pair: tuple[Scene, Scene], measure: Measure, peak: float
) -> None:
    truth, estimate = (scene * peak for scene in pair)
    expected = peak_signal_noise_ratio(truth, estimate, data_range=peak)
    for heights in ([23], [5, 1, 17]):
        found = measure("psnr", truth, estimate, peak=peak, heights=heights, pooled=True)
        assert found == pytest.approx(expected, rel=1e-13)
    # a mean of logarithms is never below the logarithm of a mean
    assert found < measure("psnr", truth, estimate, peak=peak)


def test_pooled_only_samples_that_both_scenes_have_count(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    truth[0, :, 3] = estimate[2, 4] = np.nan
    both = np.isfinite(truth) & np.isfinite(estimate)
    expected = peak_signal_noise_ratio(truth[both], estimate[both], data_range=1)
    assert measure("psnr", truth, estimate, pooled=True) == pytest.approx(expected, rel=1e-13)
    assert measure("psnr", truth, truth, pooled=True) == math.inf
    assert math.isnan(measure("psnr", np.nan * truth, truth, pooled=True))


def test_its_definition_tells_whether_bands_are_pooled() -> None:
    assert "over bands" in psnr.definition(peak=1.0, ratio=4)
    assert "over all bands and pixels" in psnr.definition(peak=1.0, ratio=4, pooled=True)
