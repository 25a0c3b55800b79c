"""Windows are rectangles of integers, and a plan writes every output pixel exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsisr.window import TilePlan, Window

SIZES = st.integers(1, 40)
PLANS = st.builds(
    TilePlan,
    SIZES,
    SIZES,
    tile=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    halo=st.integers(0, 12),
    scale=st.integers(1, 5),
)


@given(PLANS)
def test_every_output_pixel_is_written_exactly_once(plan: TilePlan) -> None:
    written = np.zeros((plan.rows * plan.scale, plan.cols * plan.scale), int)
    for tile in plan:
        written[tile.write.slices] += 1
    assert (written == 1).all()


@given(PLANS)
def test_a_plan_is_as_long_as_it_says(plan: TilePlan) -> None:
    assert len(plan) == len(list(plan))


@given(PLANS)
def test_a_tile_keeps_the_pixels_that_it_writes(plan: TilePlan) -> None:
    """Reading the coordinates themselves, cropping and enlarging them gives those written."""
    rows, cols = np.mgrid[: plan.rows, : plan.cols]
    fine_rows, fine_cols = (
        np.mgrid[: plan.rows * plan.scale, : plan.cols * plan.scale] // plan.scale
    )
    for tile in plan:
        for coarse, fine in ((rows, fine_rows), (cols, fine_cols)):
            kept = coarse[tile.read.slices][tile.kept.slices]
            enlarged = kept.repeat(plan.scale, 0).repeat(plan.scale, 1)
            np.testing.assert_array_equal(enlarged, fine[tile.write.slices])


@given(PLANS, st.integers(1, 5), st.sets(st.integers(0, 40)))
def test_slabs_hold_the_tiles_that_are_wanted_in_their_order(
    plan: TilePlan, longest: int, unwanted: set[int]
) -> None:
    tiles, slabs = list(plan), list(plan.slabs(longest, lambda number: number not in unwanted))
    numbers = [number for slab in slabs for number in slab.numbers]
    assert numbers == [number for number in range(len(plan)) if number not in unwanted]
    for slab in slabs:
        assert slab.tiles == tuple(tiles[number] for number in slab.numbers)
        assert 1 <= len(slab.tiles) <= longest
        assert len({tile.write.row for tile in slab.tiles}) == 1
        for whole, part in ((slab.read, "read"), (slab.write, "write")):
            covered = np.zeros((plan.rows * plan.scale, plan.cols * plan.scale), bool)
            for tile in slab.tiles:
                covered[getattr(tile, part).slices] = True
            assert covered[whole.slices].all()
            assert covered.sum() == whole.height * whole.width


@given(PLANS)
def test_neighbours_are_joined_as_far_as_they_may(plan: TilePlan) -> None:
    assert all(len(slab.tiles) == plan.across for slab in plan.slabs(1000, lambda _: True))


@given(PLANS)
def test_the_halo_is_whole_inside_and_cut_off_at_the_border(plan: TilePlan) -> None:
    for tile in plan:
        row, col = tile.write.row // plan.scale, tile.write.col // plan.scale
        row_stop, col_stop = tile.write.row_stop // plan.scale, tile.write.col_stop // plan.scale
        assert tile.read.row == max(0, row - plan.halo)
        assert tile.read.col == max(0, col - plan.halo)
        assert tile.read.row_stop == min(plan.rows, row_stop + plan.halo)
        assert tile.read.col_stop == min(plan.cols, col_stop + plan.halo)


def test_tiles_come_row_by_row() -> None:
    cut = TilePlan(5, 7, tile=(2, 3), halo=1, scale=2)
    corners = [(tile.write.row, tile.write.col) for tile in cut]
    assert corners == [(row, col) for row in (0, 4, 8) for col in (0, 6, 12)]
    assert (cut.down, cut.across) == (3, 3)


@given(st.builds(Window, *[st.integers(0, 9)] * 2, *[SIZES] * 2), st.integers(1, 4))
def test_a_zoomed_window_covers_the_same_ground(window: Window, scale: int) -> None:
    coarse = np.zeros((50, 50), bool)
    coarse[window.slices] = True
    fine = np.zeros((50 * scale, 50 * scale), bool)
    fine[window.zoomed(scale).slices] = True
    np.testing.assert_array_equal(coarse.repeat(scale, 0).repeat(scale, 1), fine)


@pytest.mark.parametrize(
    ("other", "inside"),
    [
        (Window(1, 2, 3, 4), True),
        (Window(2, 3, 1, 1), True),
        (Window(0, 2, 3, 4), False),
        (Window(1, 1, 3, 4), False),
        (Window(1, 2, 3, 5), False),
        (Window(2, 2, 3, 4), False),
        (Window(9, 9, 1, 1), False),
    ],
)
def test_a_window_contains_what_lies_wholly_inside(other: Window, inside: bool) -> None:
    assert Window(1, 2, 3, 4).contains(other) == inside


def test_a_grown_window_stays_within_another_that_does_not_begin_at_zero() -> None:
    assert Window(5, 6, 1, 1).grown(3, Window(4, 5, 10, 3)) == Window(4, 5, 5, 3)
