"""What is gathered of a scene is the same however it is read, and only pixels with data count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Block, CubeSpec, Spectrum
from hsisr.errors import InputError
from hsisr.scene import spectra
from hsisr.scene.spectra import (
    Statistics,
    good_bands,
    sample_pixels,
    statistics_of,
    strips,
    subspace_of,
    with_data,
)
from hsisr_models.subspace import Subspace

Scene = Callable[..., NDArray[np.float32]]


def cube_of(block: Block, good: tuple[bool, ...] | None = None) -> ArrayCube:
    centres = tuple(400.0 + 10 * band for band in range(len(block)))
    return ArrayCube(block, Path("scene.img"), Spectrum(centres, good=good))


def assert_is_that_of(pixels: NDArray[np.float32], found: Subspace) -> None:
    """Compare with numpy's covariance of pixels (B, n); the sign of an axis is arbitrary."""
    values = pixels.astype(np.float64)
    variances, axes = np.linalg.eigh(np.cov(values, bias=True))
    count = len(found.spread)
    assert count > 1
    np.testing.assert_allclose(found.mean, values.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.spread, np.sqrt(variances[::-1][:count]), rtol=1e-4)
    same = np.abs((axes[:, ::-1][:, :count] * found.axes.numpy()).sum(0))
    np.testing.assert_allclose(same, 1, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (200, 1000, 614), (2, 3, 10**7)], ids=str)
def test_strips_cover_a_scene_from_top_to_bottom(shape: tuple[int, int, int]) -> None:
    spec = CubeSpec(*shape, np.dtype(np.float32))
    row = 0
    for window in strips(spec):
        assert (window.row, window.col, window.width) == (row, 0, spec.cols)
        samples = spec.bands * window.height * window.width
        assert window.height == 1 or samples <= 1 << 23
        row = window.row_stop
    assert row == spec.rows


@pytest.mark.parametrize("samples", [1, 700, 1 << 23])
def test_the_subspace_is_that_of_all_pixels_however_they_are_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    monkeypatch.setattr(spectra, "_STRIP", samples)
    block = scene(6, 23, 19)
    assert_is_that_of(block.reshape(6, -1), subspace_of(cube_of(block), 4))


def test_a_pixel_has_data_in_half_of_its_bands_and_is_not_all_zero() -> None:
    nan = np.nan
    pixels = {
        (1, 2, 3, 4): True,
        (nan, nan, 3, 4): True,
        (nan, nan, nan, 4): False,
        (nan, nan, nan, nan): False,
        (0, 0, 0, 0): False,
        (0, 0, 0, 1e-30): True,
        (nan, nan, 0, 0): False,
        (nan, 0, 0, -2): True,
    }
    block = np.array(list(pixels), np.float32).T[:, None]
    np.testing.assert_array_equal(with_data(block), [list(pixels.values())])


def test_borders_and_holes_have_no_part(scene: Scene) -> None:
    block = scene(6, 30, 25)
    block[:, :4] = 0
    block[:, :, 20:] = np.nan
    block[:4, 10:15, 3:9] = np.nan
    inner = np.ones((30, 25), bool)
    inner[:4] = inner[:, 20:] = inner[10:15, 3:9] = False
    assert_is_that_of(block[:, inner], subspace_of(cube_of(block), 4))


def test_a_missing_sample_is_taken_for_the_mean_of_its_band(scene: Scene) -> None:
    block = scene(6, 20, 20)
    block[2, np.random.default_rng(0).random((20, 20)) < 0.2] = np.nan
    filled = block.reshape(6, -1).copy()
    filled[2, np.isnan(filled[2])] = np.nanmean(filled[2].astype(np.float64))
    assert_is_that_of(filled, subspace_of(cube_of(block), 4))


@pytest.mark.parametrize("dead", ["nan", "zero", "bad", "bad and nan"])
def test_a_dead_band_has_no_part_in_any_axis(scene: Scene, dead: str) -> None:
    block = scene(7, 20, 20)
    good = tuple(band != 3 for band in range(7))
    if dead != "bad":
        block[3] = 0 if dead == "zero" else np.nan
    found = subspace_of(cube_of(block, good if "bad" in dead else None), 4)
    assert not found.axes[3].any()
    others = Subspace(found.mean[list(good)], found.axes[list(good)], found.spread)
    assert_is_that_of(block[list(good)].reshape(6, -1), others)


def test_where_all_bands_are_called_bad_all_are_used(scene: Scene) -> None:
    block = scene(5, 20, 20)
    assert_is_that_of(block.reshape(5, -1), subspace_of(cube_of(block, (False,) * 5), 4))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_scene_without_data_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="no pixel holds data") as caught:
        subspace_of(cube_of(np.full((3, 8, 9), value, np.float32)), 4)
    assert caught.value.where == "scene.img"
    assert caught.value.hint == "hsisr info scene.img"


def test_a_constant_scene_has_no_axis() -> None:
    assert subspace_of(cube_of(np.full((3, 8, 9), 0.1, np.float32)), 4).axes.shape == (3, 0)


def test_a_band_missing_at_the_end_of_a_scene_hardly_moves_the_subspace(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two spectrometers seldom end with the same line."""
    block = scene(6, 40, 20)
    complete = subspace_of(cube_of(block), 2)
    monkeypatch.setattr(spectra, "_STRIP", 6 * 20 * 19)
    block[4:, 38:] = np.nan
    found = subspace_of(cube_of(block), 2)
    np.testing.assert_allclose(found.mean, complete.mean, rtol=0.02)
    np.testing.assert_allclose((found.axes * complete.axes).sum(0).abs(), 1, atol=0.01)


@pytest.mark.parametrize("samples", [1, 700, 1 << 23])
def test_the_sample_is_the_same_however_the_scene_is_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    block = scene(6, 23, 19)
    expected = sample_pixels(cube_of(block), 50, seed=3)
    monkeypatch.setattr(spectra, "_STRIP", samples)
    np.testing.assert_array_equal(sample_pixels(cube_of(block), 50, seed=3), expected)


def test_the_sample_is_of_different_pixels_of_the_whole_scene(scene: Scene) -> None:
    block = scene(6, 40, 25)
    block[0] = 1000 + np.arange(1000).reshape(40, 25)
    drawn = [sample_pixels(cube_of(block), 300, seed) for seed in range(2)]
    for pixels in drawn:
        which = pixels[:, 0].astype(int) - 1000
        assert len(set(which)) == 300
        np.testing.assert_array_equal(pixels, block.reshape(6, -1).T[which])
        # an even spread over ten parts of the scene
        assert np.bincount(which // 100, minlength=10).min() >= 15
    assert not np.array_equal(*drawn)


def test_a_small_scene_is_sampled_whole_but_for_holes_borders_and_the_dark(scene: Scene) -> None:
    block = 100 + np.abs(scene(4, 5, 6))
    block[2, 0, 0] = np.nan
    block[:, 1, 1] = 0
    block[:, 2, 2] = 1e-3
    kept = np.ones((5, 6), bool)
    kept[0, 0] = kept[1, 1] = kept[2, 2] = False
    np.testing.assert_array_equal(sample_pixels(cube_of(block), 100, 0), block[:, kept].T)


def test_a_hole_in_a_bad_band_does_not_matter(scene: Scene) -> None:
    block = 100 + np.abs(scene(4, 5, 6))
    block[2] = np.nan
    cube = cube_of(block, good=(True, True, False, True))
    assert sample_pixels(cube, 100, 0).shape == (30, 4)
    assert good_bands(cube.spec).tolist() == [True, True, False, True]
    with pytest.raises(InputError, match="no pixel holds data in all of its bands"):
        sample_pixels(cube_of(block), 100, 0)


def test_statistics_are_those_of_numpy_for_complete_pixels_in_good_bands(scene: Scene) -> None:
    block = scene(5, 30, 20)
    block[1, 2, 3] = np.nan
    block[:, :4, 0] = 0
    block[3, 10:20] = np.nan  # marked bad
    mean, covariance, count = statistics_of(cube_of(block, (True, True, True, False, True)))
    used = block[[0, 1, 2, 4]].reshape(4, -1)
    used = used[:, np.isfinite(used).all(0) & (used != 0).any(0)].astype(np.float64)
    assert count == used.shape[1] == 30 * 20 - 5
    np.testing.assert_allclose(mean, used.mean(1), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(used, bias=True), rtol=1e-10)


def test_statistics_are_the_same_however_the_scene_is_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = cube_of(scene(5, 30, 20))
    whole = statistics_of(cube)
    monkeypatch.setattr(spectra, "_STRIP", 5 * 20 * 7)
    pieces = statistics_of(cube)
    np.testing.assert_allclose(pieces[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(pieces[1], whole[1], rtol=1e-9)
    assert pieces[2] == whole[2]


def test_statistics_need_a_complete_pixel(scene: Scene) -> None:
    block = scene(5, 9, 7)
    block[2] = np.nan
    with pytest.raises(InputError, match="in all of its bands; 1 band without any") as caught:
        statistics_of(cube_of(block))
    assert caught.value.hint == "leave out what is empty: --bands 400-410nm,430-440nm"
    block[2, 0] = block[0, 1:] = 1
    block[0, 0] = np.nan
    block[2, 1:] = np.nan
    with pytest.raises(InputError, match=r"in all of its bands$") as caught:
        statistics_of(cube_of(block))
    assert caught.value.hint is not None
    assert "hsisr info" in caught.value.hint


def test_neighbours_are_compared_as_by_numpy(scene: Scene) -> None:
    block = scene(5, 30, 24)
    block[:, 4:9, 10:17] = np.nan
    block[2, 20, 3:8] = np.nan
    statistics = Statistics(5)
    for rows in (slice(0, 11), slice(11, 12), slice(12, 30)):
        statistics.add(block[:, rows])
    for band, found in enumerate(statistics.correlations):
        differences = np.diff(block[band].astype(np.float64), axis=1)
        # a sample that is missing counts as the mean of its band in the variance
        values = block[band][np.isfinite(block[3])].astype(np.float64)
        expected = 1 - np.nanmean(differences**2) / (2 * np.nanvar(values))
        assert found == pytest.approx(expected, abs=0.01 if band == 2 else 1e-6)


@pytest.mark.parametrize("loudness", [1e-2, 1e3])
def test_a_band_of_noise_has_no_part_however_loud(scene: Scene, loudness: float) -> None:
    clear = scene(6, 40, 50)
    noise = np.random.default_rng(1).normal(500, loudness, (1, 40, 50)).astype(np.float32)
    found = subspace_of(cube_of(np.concatenate((clear[:3], noise, clear[3:]))), 4)
    assert not found.axes[3].any()
    expected = subspace_of(cube_of(clear), 4)
    np.testing.assert_allclose(found.spread, expected.spread, rtol=1e-5)
    same = (found.axes[[0, 1, 2, 4, 5, 6]] * expected.axes).sum(0).abs()
    np.testing.assert_allclose(same, 1, atol=1e-5)


def test_a_scene_of_noise_alone_keeps_its_bands(scene: Scene) -> None:
    noise = np.random.default_rng(0).normal(500, 20, (4, 30, 30)).astype(np.float32)
    assert len(subspace_of(cube_of(noise), 4).spread) == 4


def test_a_scene_of_one_column_has_no_neighbours(scene: Scene) -> None:
    assert len(subspace_of(cube_of(scene(5, 60, 1)), 3).spread) == 3
