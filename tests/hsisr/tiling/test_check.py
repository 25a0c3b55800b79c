"""What a run tells of its own quality, against the same worked out by hand on whole arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import ALL, ArrayCube, Block, CubeSpec
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.check import (
    Agreement,
    abundance_consistency,
    consistency,
    consistency_steps,
    rounding,
    sample,
    self_check,
)
from hsisr.tiling.ensemble import Ensemble
from hsisr.tiling.operations import UnmixLinearly
from hsisr.window import Window
from hsisr_models.abundances import SHELF as SOLVERS
from hsisr_models.imaging import OPERATORS, degrade, upscale_bicubic
from hsisr_models.rendering import Area, Renderer, cut

Scene = Callable[..., NDArray[np.float32]]


@dataclass(frozen=True)
class Repeated:
    """Every pixel repeated, brighter by a constant."""

    scale: int
    by: float = 0.0
    reach: int | None = 0

    def __call__(self, values: Tensor) -> Tensor:
        return self.by + values.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        del kept
        return cut(self(scene), self.scale)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())


class Rounded(Repeated):
    """The same in the precision of an autocast."""

    def __call__(self, values: Tensor) -> Tensor:
        reduced = torch.is_autocast_enabled("cpu")
        return super().__call__(values.bfloat16().float() if reduced else values)


def cube_of(block: Block) -> ArrayCube:
    return ArrayCube(block, Path("scene"))


def psnr(truth: NDArray[np.float64], estimate: NDArray[np.float64]) -> float:
    """The mean over bands, in dB, by the largest true value."""
    errors = np.nanmean((truth - estimate) ** 2, axis=tuple(range(1, truth.ndim)))
    return float(np.mean(10 * np.log10(np.nanmax(truth) ** 2 / errors)))


def sam(truth: NDArray[np.float64], estimate: NDArray[np.float64]) -> float:
    """The mean over pixels, in degrees."""
    u, v = (x.reshape(len(x), -1) for x in (truth, estimate))
    cosines = (u * v).sum(0) / np.linalg.norm(u, axis=0) / np.linalg.norm(v, axis=0)
    return float(np.degrees(np.nanmean(np.arccos(cosines))))


def low_of(block: Block, scale: int, operator: str) -> Tensor:
    return degrade(torch.from_numpy(block.astype(np.float64))[None], scale, operator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_self_check_is_what_one_finds_by_hand(
    scene: Scene, cpu: Runtime, operator: str
) -> None:
    block, scale = scene(4, 30, 41), 4
    cube, operation = cube_of(block), Repeated(scale)
    windows = sample(cube, scale)
    assert windows == [Window(0, 0, 28, 40)]
    truth = block[:, *windows[0].slices].astype(np.float64)
    low = low_of(truth.astype(np.float32), scale, operator)
    found = self_check(cube, windows, operation, survey(cube), operator=operator, runtime=cpu)
    assert found is not None
    assert found.blocks == 1
    for agreement, method in (
        (found.model, operation),
        (found.bicubic, lambda x: upscale_bicubic(x, scale)),
    ):
        estimate = method(low)[0].numpy()
        assert agreement.psnr == pytest.approx(psnr(truth, estimate), abs=1e-3)
        assert agreement.sam == pytest.approx(sam(truth, estimate), abs=1e-3)
        worst = np.abs(estimate - truth).max() / np.ptp(truth)
        assert agreement.worst == pytest.approx(worst, rel=1e-4)
    assert found.lost == (found.model.psnr < found.bicubic.psnr)


def test_all_blocks_count_as_one_image(scene: Scene, cpu: Runtime) -> None:
    block, scale = scene(3, 200, 300), 2
    cube, operation = cube_of(block), Repeated(scale)
    windows = sample(cube, scale)
    assert len(windows) == 6
    truths = np.stack([block[:, *window.slices] for window in windows], 1).astype(np.float64)
    lows = [low_of(truths[:, i].astype(np.float32), scale, "area") for i in range(6)]
    estimates = np.stack([operation(low)[0].numpy() for low in lows], 1)
    found = self_check(cube, windows, operation, survey(cube), operator="area", runtime=cpu)
    assert found is not None
    assert found.blocks == 6
    assert found.model.psnr == pytest.approx(psnr(truths, estimates), abs=1e-3)
    assert found.model.sam == pytest.approx(sam(truths, estimates), abs=1e-3)


def test_a_model_that_is_worse_than_bicubic_has_lost(scene: Scene, cpu: Runtime) -> None:
    cube = cube_of(scene(3, 40, 40))
    worse = Repeated(2, by=300.0)
    found = self_check(cube, sample(cube, 2), worse, survey(cube), operator="bicubic", runtime=cpu)
    assert found is not None
    assert found.lost
    # the spread of an ensemble is no band that is compared
    ensemble = self_check(
        cube,
        sample(cube, 2),
        Ensemble(worse, spread=True),
        survey(cube),
        operator="bicubic",
        runtime=cpu,
    )
    assert ensemble is not None
    assert ensemble.model.psnr == pytest.approx(found.model.psnr)


def test_rounding_is_what_one_finds_by_hand(scene: Scene, cpu: Runtime) -> None:
    seen, reduced = survey(cube_of(scene(4, 70, 20))), Runtime(cpu.device, torch.bfloat16)
    middles = np.stack([sample[:, 10:22, 4:16] for sample in seen.samples], 1)
    exact = middles.repeat(2, 2).repeat(2, 3)
    # bfloat16 is the upper half of float32, rounded to the nearest, halves to even
    bits = exact.view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    estimate = bits.view(np.float32).astype(np.float64)
    found = rounding(Rounded(2), seen, reduced)
    assert found.psnr == pytest.approx(psnr(exact, estimate), abs=1e-3)
    assert found.sam == pytest.approx(sam(exact.astype(np.float64), estimate), abs=1e-3)
    assert rounding(Rounded(2), seen, cpu).worst == 0
    # the spread of an ensemble is no band that is compared
    spread = rounding(Ensemble(Rounded(2), spread=True), seen, reduced)
    assert spread.sam == pytest.approx(found.sam, rel=1e-3)


@pytest.mark.parametrize(
    ("psnr", "sam", "faithful"),
    [
        (60.0, 0.05, True),
        (59.9, 0.01, False),
        (80.0, 0.051, False),
        (math.inf, 0.0, True),
        (math.nan, 0.2, False),
        (math.nan, math.nan, True),
    ],
)
def test_what_may_stand_for_float32(psnr: float, sam: float, faithful: bool) -> None:
    assert Agreement(psnr, sam, worst=0.1).faithful == faithful


def test_no_more_blocks_are_read_than_are_needed() -> None:
    """Six complete ones cannot be bettered; with a hole in the first, one more is looked at."""

    class Counting(ArrayCube):
        reads = 0

        def read(self, window: Window, bands: slice = ALL) -> Block:
            self.reads += 1
            return super().read(window, bands)

    for holes, reads in ((0, 6), (1, 7)):
        block = np.ones((1, 400, 500), np.float32)
        block[:, :1, :holes] = np.nan
        cube = Counting(block, Path("scene.img"))
        assert len(sample(cube, 2)) == 6
        assert cube.reads == reads


@pytest.mark.parametrize("scale", [2, 3, 8])
@pytest.mark.parametrize("size", [(37, 401), (400, 300), (1000, 900)], ids=str)
def test_blocks_are_spread_over_the_scene(scale: int, size: tuple[int, int]) -> None:
    cube = cube_of(np.ones((1, *size), np.float32))
    windows = sample(cube, scale)
    assert 1 <= len(windows) <= 6
    covered = np.zeros(size, int)
    for window in windows:
        assert cube.spec.window.contains(window)
        assert window.height % scale == window.width % scale == 0
        assert 4 * scale <= min(window.height, window.width)
        assert max(window.height, window.width) <= 48 * scale
        covered[window.slices] += 1
    assert covered.max() == 1
    if len(windows) == 6:
        # from border to border
        for axis in (0, 1):
            assert covered.any(axis)[[0, -1]].all()


@pytest.mark.parametrize(("bands", "side"), [(10, 48 * 8), (425, 35 * 8), (3000, 13 * 8)])
def test_of_many_bands_blocks_are_small(bands: int, side: int) -> None:
    """No block holds more than 2^25 values, 128 MiB."""
    cube = cube_of(np.broadcast_to(np.float32(1), (bands, 400, 400)))
    blocks = sample(cube, 8)
    assert {(block.height, block.width) for block in blocks} == {(side, side)}
    assert bands * side**2 <= 2**25


def test_blocks_avoid_missing_data(scene: Scene, cpu: Runtime) -> None:
    block = scene(2, 300, 400)
    block[:, :100] = np.nan
    block[:, :, :200] = np.nan
    block[1, 299, 399] = np.nan
    cube = cube_of(block)
    windows = sample(cube, 2)
    missing = [np.isnan(block[:, *w.slices]).sum() for w in windows]
    # the complete ones, then the one that lacks a sample, and none without data
    assert missing == [0, 0, 0, 1]
    found = self_check(cube, windows, Repeated(2), survey(cube), operator="bicubic", runtime=cpu)
    assert found is not None
    assert all(map(math.isfinite, (found.model.psnr, found.bicubic.psnr, found.bicubic.sam)))


def test_a_scene_that_is_too_small_or_empty_has_no_blocks(scene: Scene, cpu: Runtime) -> None:
    for block in (scene(3, 1, 50), scene(3, 15, 50), np.full((2, 50, 50), np.nan, np.float32)):
        assert sample(cube_of(block), 4) == []
    assert len(sample(cube_of(scene(3, 16, 16)), 4)) == 1
    cube = cube_of(scene(3, 9, 9))
    assert self_check(cube, [], Repeated(4), survey(cube), operator="area", runtime=cpu) is None


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("scale", "size"), [(2, (150, 140)), (8, (37, 45)), (3, (1, 90))])
def test_consistency_is_what_one_finds_on_the_whole_scene(
    scene: Scene, operator: str, scale: int, size: tuple[int, int]
) -> None:
    block = scene(3, *size)
    output = block.repeat(scale, 1).repeat(scale, 2)
    output += np.random.default_rng(1).normal(0, 20, output.shape).astype(np.float32)
    steps, complete = consistency_steps(cube_of(block).spec, scale)
    assert complete
    found = consistency(steps, cube_of(output), cube_of(block), operator=operator)
    low = low_of(output, scale, operator)[0].numpy()
    truth = block.astype(np.float64)
    assert found.psnr == pytest.approx(psnr(truth, low), abs=1e-3)
    assert found.sam == pytest.approx(sam(truth, low), abs=1e-3)
    assert found.worst == pytest.approx(np.abs(truth - low).max() / np.ptp(truth), rel=1e-3)


def test_what_the_degradation_cannot_see_is_not_compared(scene: Scene) -> None:
    block = scene(3, 40, 50)
    output = block.repeat(4, 1).repeat(4, 2)
    block[:, 10:14, 20:25] = np.nan
    output[:, 40:56, 80:100] = np.nan
    block[2, 30, 30] = np.nan
    steps, complete = consistency_steps(cube_of(block).spec, 4)
    assert complete
    found = consistency(steps, cube_of(output), cube_of(block), operator="bicubic")
    low = low_of(output, 4, "bicubic")[0].numpy()
    seen = np.isfinite(low) & np.isfinite(block)
    assert seen.sum() < np.isfinite(block).sum()
    worst = np.abs(low - block)[seen].max() / np.ptp(block[seen])
    assert found.worst == pytest.approx(worst, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "by", "psnr", "worst"),
    [
        (5, 0, math.inf, 0),
        (5, 1, 10 * math.log10(25), math.inf),
        (-5, 0, math.nan, 0),
        (-5, 1, math.nan, math.inf),
        (5, math.nan, math.nan, math.nan),
    ],
)
def test_a_flat_scene_has_no_range_to_compare_with(
    value: float, by: float, psnr: float, worst: float
) -> None:
    block = np.full((2, 6, 6), value, np.float32)
    output = block.repeat(2, 1).repeat(2, 2) + np.float32(by)
    steps, complete = consistency_steps(cube_of(block).spec, 2)
    assert complete
    found = consistency(steps, cube_of(output), cube_of(block), operator="area")
    assert found.psnr == pytest.approx(psnr, nan_ok=True)
    assert found.worst == pytest.approx(worst, nan_ok=True)


def test_of_a_large_scene_windows_spread_over_it_are_compared() -> None:
    spec = CubeSpec(2, 3000, 500, np.dtype(np.int16))
    steps, complete = consistency_steps(spec, 4)
    assert not complete
    assert len(steps) == len({step.write for step in steps}) == 64
    assert steps[0].write.row == steps[0].write.col == 0
    assert (steps[-1].write.row_stop, steps[-1].write.col_stop) == (3000, 500)
    rows = sorted(step.write.row for step in steps)
    assert max(after - before for before, after in pairwise(rows)) <= 128
    many, _ = consistency_steps(replace(spec, bands=425), 4)
    assert {step.write.width for step in many} <= {35, 500 % 35}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("holes", [False, True])
def test_abundances_are_compared_with_those_of_the_scene(
    scene: Scene, cpu: Runtime, operator: str, holes: bool
) -> None:
    block = scene(6, 90, 70)
    known = block[:, [3, 40, 80], [5, 60, 33]].T
    output = np.random.default_rng(1).uniform(0, 1, (3, 360, 280)).astype(np.float32)
    if holes:
        block[:, 10:14, 20:25] = np.nan
        output[:, 80:96, 120:140] = np.nan
    unmix = UnmixLinearly(SOLVERS["ls"].solve, torch.from_numpy(known), torch.ones(6).bool())
    cube = cube_of(block)
    steps, complete = consistency_steps(cube.spec, 4)
    assert complete
    found = abundance_consistency(
        steps, cube_of(output), cube, unmix, survey(cube), operator=operator, runtime=cpu
    )
    truth = np.einsum("bp,bij->pij", np.linalg.pinv(known.astype(np.float64)), block)
    differences = np.abs(low_of(output, 4, operator)[0].numpy() - truth)
    assert holes == np.isnan(differences).any()
    assert found.mean == pytest.approx(np.nanmean(differences), rel=1e-4)
    assert found.worst == pytest.approx(np.nanmax(differences), rel=1e-4)


def test_of_no_abundances_there_is_no_difference(cpu: Runtime) -> None:
    cube = cube_of(np.ones((6, 9, 9), np.float32))
    output = np.full((2, 18, 18), np.nan, np.float32)
    unmix = UnmixLinearly(SOLVERS["ls"].solve, torch.eye(2, 6), torch.ones(6).bool())
    steps, _ = consistency_steps(cube.spec, 2)
    found = abundance_consistency(
        steps, cube_of(output), cube, unmix, survey(cube), operator="area", runtime=cpu
    )
    assert math.isnan(found.mean)
    assert math.isnan(found.worst)
