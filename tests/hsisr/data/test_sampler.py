"""Pairs of patches lie over one another, and batch k is always the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr.cube import ArrayCube
from hsisr.data.cutting import Layout
from hsisr.data.patches import PatchSet, open_patches, prepare
from hsisr.data.sampler import Sampler
from hsisr.errors import InputError
from hsisr.scene import gaps

Scene = Callable[..., NDArray[np.float32]]


def batches(prepared: PatchSet, seed: int = 0, patch: int = 6) -> Sampler:
    return Sampler(prepared, patch=patch, batch=9, seed=seed)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_batch_holds_pairs_that_lie_over_one_another(
    patches: Callable[..., PatchSet], scale: int
) -> None:
    """Each pair is found in a block, at one place and in one of the 8 orientations."""
    prepared = patches(rows=100, cols=30, scale=scale)
    low, high = batches(prepared).draw(3)
    assert low.shape == (9, 6, 6, 6)
    assert high.shape == (9, 6, 6 * scale, 6 * scale)
    orientations = set()
    for coarse, fine in zip(low.numpy(), high.numpy(), strict=True):
        orientations.add(orientation_of(coarse, fine, prepared))
    assert len(orientations) > 1


def orientation_of(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], prepared: PatchSet
) -> tuple[int, bool]:
    side, scale = coarse.shape[1], prepared.scale
    for turns in range(4):
        for mirrored in (False, True):
            patch, detail = (
                np.rot90(x[:, :, ::-1] if mirrored else x, turns, (1, 2)) for x in (coarse, fine)
            )
            for low, high in prepared.blocks("train"):
                scaled = low * np.float32(1 / prepared.peak)
                windows = np.lib.stride_tricks.sliding_window_view(scaled, patch.shape)[0]
                for row, col in np.argwhere((windows == patch).all((-3, -2, -1))):
                    below = high[
                        :,
                        row * scale : (row + side) * scale,
                        col * scale : (col + side) * scale,
                    ]
                    np.testing.assert_array_equal(detail, below * np.float32(1 / prepared.peak))
                    return turns, mirrored
    raise AssertionError("the patch comes from nowhere")


def test_all_eight_orientations_and_many_places_are_drawn(
    patches: Callable[..., PatchSet],
) -> None:
    prepared = patches(rows=80, cols=24)
    sampler = batches(prepared, patch=12)
    found = {
        orientation_of(coarse, fine, prepared)
        for step in range(6)
        for coarse, fine in zip(*(side.numpy() for side in sampler.draw(step)), strict=True)
    }
    assert len(found) == 8


def test_batches_depend_on_the_seed_and_the_step_alone(
    patches: Callable[..., PatchSet],
) -> None:
    prepared = patches()
    first, again, other = batches(prepared), batches(prepared), batches(prepared, seed=1)
    forward = [first.draw(step)[0] for step in range(4)]
    torch.manual_seed(123)
    np.random.default_rng().random()
    backward = [again.draw(step)[0] for step in reversed(range(4))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not any(torch.equal(a, b) for a, b in combinations(forward, 2))
    assert not torch.equal(first.draw(0)[0], other.draw(0)[0])


def test_patches_hold_nothing_missing(
    tmp_path: Path, cube: Callable[..., ArrayCube], scene: Scene
) -> None:
    block = scene(4, 80, 24)
    block[:, 8:14, 4:9] = np.nan
    block[2, np.random.default_rng(0).random((80, 24)) < 0.005] = np.nan
    list(prepare([cube(80, 24, block=block)], tmp_path, Layout(2)))
    prepared = open_patches(tmp_path)
    low, high = prepared.blocks("train")[0]
    np.testing.assert_array_equal(np.isnan(low), gaps.pooled(np.isnan(high), 2))
    sampler = Sampler(prepared, patch=3, batch=64, seed=0)
    for step in range(10):
        assert all(bool(side.isfinite().all()) for side in sampler.draw(step))


def test_a_scene_full_of_holes_is_refused(
    tmp_path: Path, cube: Callable[..., ArrayCube], scene: Scene
) -> None:
    block = scene(4, 80, 24)
    block[:, ::7, ::7] = np.nan
    list(prepare([cube(80, 24, block=block)], tmp_path, Layout(2)))
    with pytest.raises(InputError, match="no patch of 8 x 8") as caught:
        Sampler(open_patches(tmp_path), patch=8, batch=2, seed=0)
    assert "--set" in str(caught.value.hint)


def test_patches_are_no_larger_than_the_smallest_block(
    patches: Callable[..., PatchSet],
) -> None:
    sampler = Sampler(patches(rows=80, cols=20), patch=100, batch=2, seed=0)
    assert sampler.patch == 10
    assert sampler.draw(0)[0].shape[2:] == (10, 10)


def test_a_block_with_fewer_places_than_a_batch_is_drawn_from_again(
    patches: Callable[..., PatchSet],
) -> None:
    prepared = patches(rows=40, cols=16)
    low, _ = Sampler(prepared, patch=8, batch=500, seed=0).draw(0)
    assert len(low) == 500
