"""A preset measures what the part of the field it is named after does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import error_relative_global_dimensionless_synthesis

from hsisr import evaluate
from hsisr.cube import ArrayCube, Block
from hsisr.errors import InputError, UsageError
from hsisr.window import Window
from hsisr_models.metrics import SHELF

PEAK = 4000.0


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[Block, Block]:
    """A true scene with values up to its peak, and an estimate that goes beyond."""
    truth = rng.uniform(0.05, 1, (6, 1, 1)) * rng.uniform(0.2, 1, (6, 26, 19)) * PEAK
    estimate = truth + rng.normal(0, 0.1 * PEAK, truth.shape)
    return truth.astype(np.float32), estimate.astype(np.float32)


def scores(truth: Block, estimate: Block, preset: str | None = None) -> dict[str, float]:
    def strips() -> Iterator[tuple[Window, Block]]:
        for row in range(0, truth.shape[1], 9):
            rows = min(9, truth.shape[1] - row)
            yield Window(row, 0, rows, truth.shape[2]), estimate[:, row : row + rows]

    options = {} if preset is None else {"preset": preset}
    cube = ArrayCube(truth, Path("truth"))
    return evaluate.measure(cube, strips(), peak=PEAK, ratio=4, **options)


def normalised(*scenes: Block) -> list[NDArray[np.float64]]:
    return [scene.astype(np.float64) / PEAK for scene in scenes]


def angles(truth: NDArray[np.float64], estimate: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(truth, axis=0) * np.linalg.norm(estimate, axis=0)
    return np.degrees(np.arccos((truth * estimate).sum(0) / lengths))


def test_sspsr_is_the_default_and_takes_means_over_bands(pair: tuple[Block, Block]) -> None:
    found = scores(*pair)
    assert found == scores(*pair, preset="sspsr")
    assert list(found) == ["psnr", "ssim", "sam", "ergas", "cc", "rmse"]
    bands = list(zip(*normalised(*pair), strict=True))
    assert found["psnr"] == pytest.approx(
        np.mean([peak_signal_noise_ratio(*band, data_range=1) for band in bands]), rel=1e-6
    )
    assert found["ssim"] == pytest.approx(
        np.mean([structural_similarity(*band, data_range=1) for band in bands]), rel=1e-5
    )
    assert found["sam"] == pytest.approx(angles(*normalised(*pair)).mean(), rel=1e-6)
    assert found["cc"] == pytest.approx(
        np.mean([np.corrcoef(t.ravel(), e.ravel())[0, 1] for t, e in bands]), rel=1e-6
    )


def test_mcnet_clips_the_estimate_and_takes_the_cube_as_one(pair: tuple[Block, Block]) -> None:
    found = scores(*pair, preset="mcnet")
    assert list(found) == ["psnr", "ssim", "sam"]
    truth, estimate = normalised(*pair)
    assert estimate.min() < 0
    assert estimate.max() > 1
    estimate = estimate.clip(0, 1)
    assert found["psnr"] == pytest.approx(
        peak_signal_noise_ratio(truth, estimate, data_range=1), rel=1e-6
    )
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    per_band = [
        structural_similarity(*band, data_range=1, **options)
        for band in zip(truth, estimate, strict=True)
    ]
    assert found["ssim"] == pytest.approx(np.mean(per_band), rel=1e-5)
    assert found["sam"] == pytest.approx(angles(truth, estimate).mean(), rel=1e-5)


def test_wald_needs_no_peak(pair: tuple[Block, Block]) -> None:
    import torch

    found = scores(*pair, preset="wald")
    assert list(found) == ["ergas", "rase", "sam", "cc", "uiqi"]
    truth, estimate = (torch.from_numpy(scene)[None].double() for scene in pair)
    ergas = error_relative_global_dimensionless_synthesis(estimate, truth, ratio=4)
    assert found["ergas"] == pytest.approx(float(ergas), rel=1e-6)
    for name in ("sam", "cc"):
        assert found[name] == scores(*pair)[name]
    cube = ArrayCube(pair[0], Path("truth"))
    whole = [(cube.spec.window, pair[1])]
    for peak in (1.0, 100.0):
        again = evaluate.measure(cube, whole, peak=peak, ratio=4, preset="wald")
        assert again == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("preset", evaluate.PRESETS)
def test_missing_pixels_do_not_count_by_any_preset(preset: str, pair: tuple[Block, Block]) -> None:
    truth, estimate = pair
    expected = scores(truth[:, 5:], estimate[:, 5:], preset)
    truth[:, :2] = estimate[:, 2:5] = np.nan
    assert scores(truth, estimate, preset) == pytest.approx(expected, rel=1e-9)
    assert all(map(math.isfinite, expected.values()))


@pytest.mark.parametrize("preset", evaluate.PRESETS)
def test_definitions_name_the_preset_and_every_measure(preset: str) -> None:
    name, range_, *lines = evaluate.definitions(peak="7, as told", ratio=8, preset=preset)
    assert name.startswith(f"metrics {preset}: ")
    assert range_.startswith("values are divided by 7, as told")
    assert ("clipped" in range_) == (preset == "mcnet")
    measures = evaluate.PRESETS[preset].measures
    for measure, line in zip(measures, lines, strict=True):
        assert line.startswith(f"{SHELF[measure].LABEL}: ")
    assert any("100/8" in line for line in lines) == ("ergas" in measures)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no metrics 'best'") as caught:
        evaluate.definitions(peak="1", ratio=2, preset="best")
    assert caught.value.hint == "one of sspsr, mcnet, wald"


def test_strips_are_the_cube_from_top_to_bottom(rng: np.random.Generator) -> None:
    block = rng.random((2, 150, 7)).astype(np.float32)
    strips = list(evaluate.strips_of(ArrayCube(block, Path("scene.img")), 150, 7))
    assert len(strips) > 1
    assert [window.row for window, _ in strips] == [0, *(w.row_stop for w, _ in strips[:-1])]
    np.testing.assert_array_equal(np.concatenate([part for _, part in strips], 1), block)
    for rows, cols in ((150, 8), (151, 7)):
        with pytest.raises(InputError, match=f"150 x 7 pixels, the truth is {rows} x {cols}"):
            next(evaluate.strips_of(ArrayCube(block, Path("scene.img")), rows, cols))


@pytest.mark.parametrize("row", [0, 149])
def test_the_peak_is_the_largest_value_that_is_there(row: int) -> None:
    block = np.full((2, 150, 7), -1, np.float32)
    block[0, 3:148] = np.nan
    cube = ArrayCube(block, Path("scene.img"))
    for unusable in (-1, 0, np.nan):
        block[np.isfinite(block)] = unusable
        with pytest.raises(InputError, match="no pixel holds a positive value"):
            evaluate.largest(cube)
    block[1, row, 5] = 0.25
    assert evaluate.largest(cube) == 0.25


def test_scores_of_several_images_are_averaged_by_measure() -> None:
    row = evaluate.average("bicubic", [{"psnr": 30.0, "sam": 1.0}, {"psnr": 34.0, "sam": 2.0}])
    assert (row.name, row.values) == ("bicubic", {"psnr": 32.0, "sam": 1.5})
