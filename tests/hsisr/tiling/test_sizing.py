"""Tiles and slabs stay within the memory that is allowed, and are the quickest of those."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import CubeSpec
from hsisr.errors import OutputError, UsageError
from hsisr.tiling.run import plan
from hsisr.tiling.sizing import JUDGED, LAYER, PIECE, PIXEL, Needs, Sizes, allowed, fit, parse_size
from hsisr.window import Shape
from hsisr_models.rendering import Area, Renderer

SPEC = CubeSpec(50, 3000, 700, np.dtype(np.int16))
LEAST, MOST = 470 << 20, 64 << 30


@dataclass(frozen=True)
class Sees:
    """An operation of which only its needs matter."""

    scale: int = 4
    reach: int | None = 30
    footprint: int = 300

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        return 3 * bands * self.scale**2 * rows * cols

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        raise NotImplementedError

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())


def cut(
    budget: int, *, threads: int = 2, tile: Shape | None = None, spec: CubeSpec = SPEC, **needs: int
) -> Sizes:
    operation = Sees(**needs)
    return fit(spec, [spec.upscaled(operation.scale)], operation, threads, budget, tile)


scenes = st.builds(
    lambda bands, rows, cols: replace(SPEC, bands=bands, rows=rows, cols=cols),
    st.integers(1, 450),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
needs = st.fixed_dictionaries(
    {"scale": st.sampled_from((1, 2, 8)), "reach": st.integers(0, 64), "footprint": st.just(200)}
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("800M", 800 * 10**6),
        ("1.5GB", 1_500_000_000),
        (" 2 g ", 2 * 10**9),
        ("2GiB", 2 << 30),
        ("512Mi", 512 << 20),
        ("1T", 10**12),
        ("64kb", 64_000),
        ("1234", 1234),
        ("12b", 12),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "2X", "1,5G", "1e9", "2GG", "nan", "5i", "2 G B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no size") as told:
        parse_size(text)
    assert told.value.hint == "--max-memory 2G"


def test_no_memory_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no memory"):
        parse_size("0 GB")


@pytest.mark.parametrize(("shares", "rows"), [(1, 6), (20, 20), (300, 300), (5000, 375)])
def test_each_share_has_a_row_of_tiles_if_there_can_be_as_many(shares: int, rows: int) -> None:
    sizes = fit(SPEC, [SPEC.upscaled(4)], Sees(), 2, MOST, shares=shares)
    assert len(sizes.plan) // sizes.plan.across >= rows


def enough(budget: int, spec: CubeSpec, needs: dict[str, int]) -> bool:
    """Whether a scene can be cut at all."""
    try:
        return bool(cut(budget, spec=spec, **needs))
    except OutputError:
        return False


@given(scenes, st.integers(LEAST, MOST), st.integers(1, 64), needs)
def test_a_plan_stays_within_the_budget(
    spec: CubeSpec, budget: int, threads: int, needs: dict[str, int]
) -> None:
    assume(enough(budget, spec, needs))
    sizes = cut(budget, threads=threads, spec=spec, **needs)
    assert sizes.memory <= budget
    assert 1 <= sizes.threads <= threads
    assert 1 <= sizes.longest <= sizes.plan.across
    assert (sizes.plan.rows, sizes.plan.cols, sizes.plan.scale) == (
        *(spec.rows, spec.cols),
        needs["scale"],
    )
    assert sizes.plan.halo >= needs["reach"]


def time(sizes: Sizes, spec: CubeSpec = SPEC, **needs: int) -> float:
    operation = Sees(**needs)
    return Needs(spec, [spec.upscaled(operation.scale)], operation).time(sizes)


def judged(sizes: Sizes, spec: CubeSpec, **needs: int) -> float:
    """The time for the beginning of a scene, which a longer one is cut by."""
    row = spec.nbytes // spec.rows
    beginning = replace(spec, rows=min(spec.rows, max(1, JUDGED // row)))
    cut = plan(beginning, Sees(**needs), sizes.plan.tile)
    return time(replace(sizes, plan=cut), beginning, **needs)


@given(scenes, st.lists(st.integers(LEAST, MOST), min_size=2, max_size=2), needs)
def test_more_memory_never_makes_a_run_slower(
    spec: CubeSpec, budgets: list[int], needs: dict[str, int]
) -> None:
    few, many = sorted(budgets)
    assume(enough(few, spec, needs))
    before, after = (cut(budget, threads=8, spec=spec, **needs) for budget in (few, many))
    assert judged(after, spec, **needs) <= judged(before, spec, **needs)


def test_more_memory_makes_more_threads_and_larger_tiles() -> None:
    plans = [cut(size, threads=16) for size in np.geomspace(LEAST, MOST, 60).astype(int)]
    times = [time(sizes) for sizes in plans]
    assert times == sorted(times, reverse=True)
    assert plans[0].threads < plans[-1].threads == 16
    assert all(
        few < many for few, many in zip(plans[0].plan.tile, plans[-1].plan.tile, strict=True)
    )


def test_numbers_of_half_the_size_take_the_memory_of_half_as_many() -> None:
    tile = 64, 64
    few, half = (
        fit(SPEC, [SPEC], Sees(1, 30, footprint), 2, MOST, tile, number=number).memory
        for footprint, number in ((150, 4), (300, 2))
    )
    assert few == half < cut(MOST, tile=tile, scale=1).memory


class Holds(Sees):
    """One whose rendering holds a million numbers more."""

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        return super().workspace(bands, rows, cols) + 10**6


@pytest.mark.parametrize("threads", [1, 3])
def test_what_rendering_holds_is_allowed_for_in_every_thread(threads: int) -> None:
    few, more = (
        fit(SPEC, [SPEC.upscaled(4)], operation, threads, MOST, (16, 16)).memory
        for operation in (Sees(), Holds())
    )
    assert more - few >= threads * 4 * 10**6


SIDES = st.sampled_from((8, 16, 32, 64, 128, 512))


@given(scenes, st.integers(LEAST, MOST), st.tuples(SIDES, SIDES), needs)
def test_no_other_tile_is_quicker(
    spec: CubeSpec, budget: int, tile: Shape, needs: dict[str, int]
) -> None:
    try:
        other = cut(budget, tile=tile, spec=spec, **needs)
    except OutputError:
        return
    best = cut(budget, spec=spec, **needs)
    assert judged(best, spec, **needs) <= judged(other, spec, **needs)


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_time_is_for_what_is_computed_and_for_pieces_of_files(longest: int) -> None:
    operation = Sees(scale=3, reach=10)
    spec = replace(SPEC, rows=150, cols=240)
    cut = plan(spec, operation, (50, 80))
    computed, pieces = 0.0, 0
    for tile in cut:
        # each layer needs one pixel less of the halo than the one before
        seen = (tile.read.height + tile.kept.height) * (tile.read.width + tile.kept.width) / 4
        computed += LAYER * 10 * operation.footprint * seen
        computed += LAYER * 2 * spec.bands * tile.read.height * tile.read.width
        computed += PIXEL * tile.write.height * tile.write.width
    for slab in cut.slabs(longest, lambda _: True):
        if slab.write.width < 3 * spec.cols:
            # those above and below the scene are counted as well
            pieces += spec.bands * (50 + 2 * cut.halo + slab.write.height)
    found = time(Sizes(cut, longest, 1, 0), spec, scale=3, reach=10)
    assert found == pytest.approx(computed + PIECE * pieces)


@pytest.mark.parametrize("cols", [300, 700, 2000])
def test_what_has_hardly_a_halo_is_stored_in_full_rows(cols: int) -> None:
    sizes = cut(allowed(2), spec=replace(SPEC, bands=128, cols=cols), footprint=0, reach=2)
    assert sizes.longest == sizes.plan.across


def test_full_rows_are_not_bought_with_too_much_halo() -> None:
    spec = replace(SPEC, bands=128, cols=2500)
    sizes = cut(allowed(2), spec=spec, footprint=1500)
    low = cut(allowed(2), spec=spec, footprint=1500, tile=(16, 32))
    assert low.longest == low.plan.across
    assert sizes.plan.tile[0] > 16
    assert sizes.longest < sizes.plan.across


@pytest.mark.parametrize("tile", [(1, 1), (20, 20), (64, 40), (100, 300)])
def test_a_tile_that_was_chosen_is_kept(tile: Shape) -> None:
    for budget in (2 << 30, 8 << 30):
        assert cut(budget, tile=tile).plan.tile == tile


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_too_little_memory_is_told_in_bytes(tile: Shape | None) -> None:
    with pytest.raises(OutputError, match=r"memory allowed: 300\.0 MB; this needs") as told:
        cut(300 * 10**6, tile=tile, threads=8)
    assert told.value.exit_code == 5
    option, size = str(told.value.hint).partition(",")[0].split()
    assert option == "--max-memory"
    # what it asks for is enough, and no more than that
    sizes = cut(parse_size(size), tile=tile, threads=8)
    assert sizes.threads == 1
    assert 0 <= parse_size(size) - sizes.memory < 10**6


def test_every_thread_beyond_two_may_use_more() -> None:
    assert allowed(1) == allowed(2)
    assert allowed(4) - allowed(3) == allowed(3) - allowed(2) > 0


def test_the_default_is_enough_for_a_wide_scene_of_many_bands() -> None:
    spec = CubeSpec(425, 4000, 600, np.dtype(np.float32))
    sizes = cut(allowed(2), spec=spec, scale=8)
    assert max(sizes.plan.tile) >= 16


def test_a_longer_scene_is_cut_alike_and_takes_no_more_memory() -> None:
    # 0.7 and 14 GB
    short, long = (replace(SPEC, bands=200, cols=1250, rows=rows) for rows in (1400, 28_000))
    some, many = (cut(1200 << 20, spec=spec, scale=1, reach=0) for spec in (short, long))
    assert (many.plan.tile, many.longest, many.memory) == (
        some.plan.tile,
        some.longest,
        some.memory,
    )
    assert many.plan.rows == 28_000
