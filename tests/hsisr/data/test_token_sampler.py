"""Batches of tokens: pairs lie over one another, and batch k is always the same."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from hsisr.data.token_sampler import TokenSampler
from hsisr.errors import InputError
from tests.hsisr.made_up import Parts, stored_tokens

WEIGHTS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.05, 0.04, 0.03)


def ramp(tokens: int, rows: int, cols: int, scale: int = 2, mark: float = 0.0) -> Parts:
    """The first token of a pixel is its row, the second its column, the others a mark."""

    def side(height: int, width: int) -> np.ndarray:
        block = np.full((tokens, height, width), mark, np.float32)
        block[:2] = np.mgrid[:height, :width][:tokens]
        return block

    low, high = side(rows, cols), side(rows * scale, cols * scale)
    return low, high, WEIGHTS[:tokens]


def sampler(run: Path, scale: int = 2, seed: int = 0, **examples: Parts) -> TokenSampler:
    data = stored_tokens(run, scale, 8, examples)
    return TokenSampler(data, patch=5, batch=6, seed=seed)


@pytest.mark.parametrize("scale", [2, 3])
def test_patches_lie_over_one_another(tmp_path: Path, scale: int) -> None:
    """Below the pixel (r, c) lie the pixels of rows n r to n r + n - 1, and so do columns."""
    drawn = sampler(tmp_path, scale, train_a=ramp(3, 20, 30, scale))
    corners, turns = set(), set()
    for step in range(20):
        low, high, _ = (side.numpy() for side in drawn.draw(step))
        assert low.shape[2:] == (5, 5)
        assert high.shape[2:] == (5 * scale, 5 * scale)
        below = high.reshape(*low.shape[:2], 5, scale, 5, scale).swapaxes(3, 4)
        np.testing.assert_array_equal(
            below[:, :2] // scale, np.broadcast_to(low[:, :2, ..., None, None], below[:, :2].shape)
        )
        # all of the pixels below a pixel are there
        places = below[:, 0] * 1000 + below[:, 1]
        assert np.unique(places[0]).size == (5 * scale) ** 2
        corners |= {(patch[0].min(), patch[1].min()) for patch in low}
        turns |= {tuple(patch[:2, 1, 1] - patch[:2, 0, 1]) for patch in low}
    rows, cols = (np.array(values) for values in zip(*corners, strict=True))
    assert (rows.min(), rows.max()) == (0, 15)
    assert (cols.min(), cols.max()) == (0, 25)
    assert turns == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_all_eight_orientations_are_drawn(tmp_path: Path) -> None:
    drawn = sampler(tmp_path, train_a=ramp(4, 12, 12))
    found = {
        (*(patch[:2, 1, 0] - patch[:2, 0, 0]), *(patch[:2, 0, 1] - patch[:2, 0, 0]))
        for step in range(20)
        for patch in drawn.draw(step)[0].numpy()
    }
    assert len(found) == 8


def test_batches_depend_on_the_seed_and_the_step_alone(tmp_path: Path) -> None:
    examples = {"train_a": ramp(3, 12, 14), "train_b": ramp(8, 20, 9)}
    data = stored_tokens(tmp_path, 2, 8, examples)
    first, again, other = (TokenSampler(data, patch=5, batch=6, seed=seed) for seed in (0, 0, 1))
    forward = [first.draw(step) for step in range(5)]
    torch.manual_seed(123)
    backward = [again.draw(step) for step in reversed(range(5))][::-1]
    for batch, same in zip(forward, backward, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, same, strict=True))
    lows = [low for low, _, _ in forward]
    assert not any(torch.equal(a, b) for a, b in combinations(lows, 2))
    assert not any(torch.equal(low, other.draw(k)[0]) for k, low in enumerate(lows))


@pytest.mark.parametrize(("tokens", "padded"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8)])
def test_tokens_that_are_not_there_weigh_nothing(tmp_path: Path, tokens: int, padded: int) -> None:
    """And every batch holds as many images, whatever the number of bands of its scenes."""
    low, high, weights = sampler(tmp_path, train_a=ramp(tokens, 12, 14, mark=7)).draw(0)
    assert len(low) == 6 * 8 // padded
    assert low.shape == (len(low), padded, 5, 5)
    assert high.shape == (len(low), padded, 10, 10)
    expected = np.zeros(padded, np.float32)
    expected[:tokens] = WEIGHTS[:tokens]
    np.testing.assert_array_equal(weights, np.tile(expected, (len(low), 1)))
    assert not low[:, tokens:].any()
    assert not high[:, tokens:].any()
    assert (low[:, 2:tokens] == 7).all()


def test_a_batch_holds_scenes_of_about_as_many_tokens(tmp_path: Path) -> None:
    drawn = sampler(
        tmp_path,
        train_a=ramp(3, 12, 12, mark=3),
        train_b=ramp(4, 12, 12, mark=4),
        train_c=ramp(8, 12, 12, mark=8),
    )
    marks = []
    for step in range(40):
        low, _, weights = drawn.draw(step)
        counts = (weights > 0).sum(1)
        assert torch.equal(low[:, 2, 0, 0], counts.float())
        marks.append(tuple(sorted(set(counts.tolist()))))
    assert set(marks) == {(3, 4), (8,)}


def test_scenes_of_more_tokens_and_larger_ones_are_drawn_more_often(tmp_path: Path) -> None:
    """By the square root of the tokens and the fourth root of the pixels."""
    by_tokens = sampler(tmp_path / "a", train_a=ramp(2, 9, 9), train_b=ramp(8, 9, 9))
    wide = [by_tokens.draw(step)[0].shape[1] == 8 for step in range(400)]
    assert np.mean(wide) == pytest.approx(2 / 3, abs=0.05)
    by_size = sampler(tmp_path / "b", train_a=ramp(3, 9, 9, mark=1), train_b=ramp(3, 36, 36))
    small = torch.cat([by_size.draw(step)[0][:, 2, 0, 0] for step in range(60)])
    assert float(small.mean()) == pytest.approx(1 / 3, abs=0.05)


def test_a_batch_holds_nothing_missing(tmp_path: Path) -> None:
    low, high, weights = ramp(3, 20, 20)
    low[:, 8:10, 8:10] = np.nan
    high[1, 30, 31] = np.nan
    drawn = sampler(tmp_path, train_a=(low, high, weights))
    seen = set()
    for step in range(60):
        low, high, _ = drawn.draw(step)
        assert low.isfinite().all()
        assert high.isfinite().all()
        seen |= {(int(patch[0].min()), int(patch[1].min())) for patch in low}
    whole = np.ones((20, 20), bool)
    whole[8:10, 8:10] = whole[15, 15] = False
    fits = {
        (row, col)
        for row in range(16)
        for col in range(16)
        if whole[row : row + 5, col : col + 5].all()
    }
    assert seen <= fits
    assert len(seen) > 0.9 * len(fits)


def test_smaller_scenes_give_smaller_patches(tmp_path: Path) -> None:
    """And more of them, so that a batch is as large."""
    examples = {"train_a": ramp(4, 9, 30), "train_b": ramp(4, 30, 30)}
    drawn = TokenSampler(stored_tokens(tmp_path, 2, 8, examples), patch=12, batch=4, seed=0)
    shapes = {tuple(drawn.draw(step)[0].shape) for step in range(20)}
    assert shapes == {(8, 4, 12, 12), (8 * 144 // 81, 4, 9, 9)}


def test_scenes_that_are_too_small_or_full_of_holes_are_left_out(tmp_path: Path) -> None:
    low, high, weights = ramp(3, 20, 20, mark=9)
    low[:, ::7, ::7] = np.nan
    examples = {
        "train_small": ramp(3, 7, 50, mark=9),
        "train_holes": (low, high, weights),
        "train_large": ramp(3, 8, 9),
    }
    drawn = TokenSampler(stored_tokens(tmp_path, 2, 8, examples), patch=12, batch=4, seed=0)
    for step in range(10):
        assert not (drawn.draw(step)[0][:, 2] == 9).any()


@pytest.mark.parametrize("patch", [5, 8, 24])
def test_without_a_scene_that_is_large_enough_there_is_no_training(
    tmp_path: Path, patch: int
) -> None:
    examples = {"train_a": ramp(3, min(patch, 8) - 1, 50), "validation_b": ramp(3, 50, 50)}
    data = stored_tokens(tmp_path, 2, 8, examples)
    with pytest.raises(InputError, match="8 x 8 low-resolution pixels") as caught:
        TokenSampler(data, patch=patch, batch=2, seed=0)
    assert "smaller --scale" in str(caught.value.hint)


def test_only_training_scenes_are_drawn(tmp_path: Path) -> None:
    drawn = sampler(tmp_path, train_a=ramp(3, 9, 9), validation_b=ramp(3, 90, 90, mark=1))
    assert not any(bool(drawn.draw(step)[0][:, 2].any()) for step in range(20))
