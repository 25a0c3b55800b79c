"""Holes are filled from their neighbourhood alone, so a tile fills them as the whole scene does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt

from hsisr.scene import gaps
from hsisr.window import TilePlan


def scene_with_holes(seed: int, shape: tuple[int, int, int], share: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    block = rng.normal(100, 30, shape).astype(np.float32)
    block[rng.random(shape) < share] = np.nan
    block[:, : shape[1] // 3, shape[2] // 2 :] = np.nan
    return block


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30)),
    share=st.sampled_from([0.0, 0.05, 0.9]),
    tile=st.integers(1, 32),
)
def test_tiles_are_filled_as_the_whole_scene_to_the_last_bit(
    seed: int, shape: tuple[int, int, int], share: float, tile: int
) -> None:
    block = scene_with_holes(seed, shape, share)
    means = gaps.band_means(block)
    whole = gaps.fill(block, means)
    for step in TilePlan(shape[1], shape[2], (tile, tile), gaps.REACH):
        filled = gaps.fill(block[:, *step.read.slices], means)
        np.testing.assert_array_equal(
            filled[:, *step.kept.slices], whole[:, *step.write.slices], strict=True
        )


def test_data_stays_and_nothing_is_missing(rng: np.random.Generator) -> None:
    block = scene_with_holes(1, (3, 20, 30), 0.2)
    filled = gaps.fill(block, gaps.band_means(block))
    there = np.isfinite(block)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[there], block[there])
    # what was made up lies among what is known
    for known, made in zip(block, filled, strict=True):
        assert np.nanmin(known) <= made.min()
        assert made.max() <= np.nanmax(known)


def test_a_ring_is_the_mean_of_its_known_neighbours() -> None:
    block = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    expected = (block.sum() - 5 - block[0, :, 3].sum()) / 8
    block[0, 1, 1] = np.nan
    assert gaps.fill(block, np.zeros(1, np.float32))[0, 1, 1] == pytest.approx(expected)


@pytest.mark.parametrize("depth", [0, 1, 2, gaps.REACH, 9])
def test_only_what_lies_deeper_gets_the_mean(depth: int) -> None:
    block = np.full((2, 25, 25), 7, np.float32)
    block[:, 3:22, 2:24] = np.nan
    filled = gaps.fill(block, np.array([-1, -2], np.float32), depth)
    rings = distance_transform_cdt(np.isnan(block[0]), "chessboard")
    for band, mean in zip(filled, (-1, -2), strict=True):
        np.testing.assert_array_equal(band, np.where(rings > depth, mean, 7))


def test_a_complete_block_is_handed_back(rng: np.random.Generator) -> None:
    block = rng.random((2, 3, 4)).astype(np.float32)
    assert gaps.fill(block, gaps.band_means(block)) is block


def test_bands_have_holes_of_their_own() -> None:
    block = np.ones((2, 5, 5), np.float32)
    block[1] = 3
    block[0, 2, 2] = np.nan
    filled = gaps.fill(block, np.zeros(2, np.float32))
    np.testing.assert_array_equal(filled, np.stack([np.ones((5, 5)), np.full((5, 5), 3)]))


def test_band_means_count_what_is_there() -> None:
    block = scene_with_holes(3, (4, 30, 20), 0.3) + np.float32(1e6)
    block[3] = np.nan
    expected = [*np.nanmean(block[:3].astype(np.float64), (1, 2)), 0]
    np.testing.assert_allclose(gaps.band_means(block), expected, rtol=1e-7)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_a_pooled_mask_holds_whatever_touches_a_coarse_pixel(
    rows: int, cols: int, scale: int, seed: int
) -> None:
    fine = np.random.default_rng(seed).random((2, rows * scale, cols * scale)) < 0.1
    coarse = gaps.pooled(fine, scale)
    for band, row, col in np.ndindex(2, rows, cols):
        under = fine[band, row * scale : (row + 1) * scale, col * scale : (col + 1) * scale]
        assert coarse[band, row, col] == under.any()
    np.testing.assert_array_equal(gaps.pooled(gaps.zoomed(coarse, scale), scale), coarse)
