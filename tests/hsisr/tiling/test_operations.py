"""What is put around sharpening does what it says, and tiles stay what the whole scene gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import ArrayCube, Block
from hsisr.runtime import Runtime
from hsisr.scene import gaps
from hsisr.scene.survey import survey
from hsisr.tiling.costs import Memory
from hsisr.tiling.ensemble import Ensemble
from hsisr.tiling.operations import (
    Consistent,
    Operation,
    Sharpen,
    Unmix,
    UnmixLinearly,
    UnmixSharpened,
)
from hsisr.tiling.run import freeze, render, run
from hsisr.window import Window
from hsisr_models.abundances import SHELF as ABUNDANCES
from hsisr_models.blocks import freeze_attention
from hsisr_models.imaging import OPERATORS, degrade
from hsisr_models.networks import SrNetwork, TokenNetwork
from hsisr_models.rendering import Area, Renderer, cut, everything
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.sr.bicubic import Bicubic
from hsisr_models.unmix import SHELF as METHODS
from tests.windows import windows

Scene = Callable[..., NDArray[np.float32]]


@dataclass(frozen=True)
class Leaning:
    """Every pixel repeated, brighter by what lies right of it and darker by what lies below."""

    scale: int = 2
    reach: int | None = 1

    def __call__(self, values: Tensor) -> Tensor:
        right = torch.cat((values[..., 1:], values[..., -1:]), 3)
        below = torch.cat((values[:, :, 1:], values[:, :, -1:]), 2)
        leaning = values + 0.25 * (right - values) - 0.5 * (below - values)
        return leaning.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        del kept
        return cut(self(scene), self.scale)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())


def bicubic(scale: int) -> Sharpen:
    return Sharpen(Bicubic(bands=1, scale=scale), scale, Bicubic.reach, 1.0)


def network(bands: int, scale: int, block: Block, runtime: Runtime) -> Sharpen:
    """A network with all of its weights alive, made local by what it sees of a scene."""
    built = alive("unmixing_sr", bands, scale)
    resolver = SuperResolver(built, None).requires_grad_(False)
    freeze(resolver, survey(cube_of(block)), 1000.0, runtime)
    return Sharpen(resolver, scale, resolver.reach, 1000.0)


def any_sensor(scale: int, block: Block) -> Sharpen:
    """A network at work in the subspace of a scene."""
    built = alive("subspace_sr", 0, scale)
    assert isinstance(built, TokenNetwork)
    built.subspace = survey(cube_of(block), built.tokens).subspace
    resolver = SuperResolver(built, None).requires_grad_(False)
    return Sharpen(resolver, scale, resolver.reach, 1.0)


def alive(name: str, bands: int, scale: int) -> SrNetwork:
    torch.manual_seed(0)
    built = NETWORKS[name].build(bands=bands, scale=scale, endmembers=0, width=8, depth=1)
    with torch.no_grad():
        for value in built.parameters():
            value.add_(torch.randn_like(value) * 0.3 / value[0].numel() ** 0.5)
    return built.eval()


def cube_of(block: Block) -> ArrayCube:
    return ArrayCube(block, Path("scene"))


def applied(operation: Operation, block: Block, tile: int, runtime: Runtime) -> Block:
    """The operation on all of a scene."""
    cube = cube_of(block)
    windows = list(run(cube, operation, survey(cube), tile=tile, runtime=runtime))
    sides = (side * operation.scale for side in block.shape[1:])
    output = np.full((len(windows[0][1]), *sides), np.inf, np.float32)
    for window, part in windows:
        output[:, *window.slices] = part
    assert not np.isinf(output).any()
    return output


def test_a_network_sees_a_scene_in_parts_of_its_peak(scene: Scene, cpu: Runtime) -> None:
    block = scene(5, 9, 11)
    sharpen = network(5, 2, block, cpu)
    seen = torch.from_numpy(block)[None]
    with torch.no_grad():
        found, plain = (
            everything(replace(sharpen, peak=peak).prepare(seen), seen) for peak in (1000.0, 1.0)
        )
        parts = everything(replace(sharpen, peak=1.0).prepare(seen / 1000), seen)
    torch.testing.assert_close(found, 1000 * parts)
    assert (found - plain).abs().max() > 1


def members(operation: Operation, block: Block) -> NDArray[np.float64]:
    """What an operation makes of a scene in each of its 8 orientations, (8, B, h, w)."""
    results = []
    for mirrored in (False, True):
        for quarters in range(4):
            turned = np.rot90(block[:, ::-1] if mirrored else block, quarters, (1, 2)).copy()
            seen = torch.from_numpy(turned)[None]
            sharp = everything(operation.prepare(seen), seen)[0].numpy()
            back = np.rot90(sharp, -quarters, (1, 2))
            results.append(back[:, ::-1] if mirrored else back)
    return np.stack(results).astype(np.float64)


def test_the_ensemble_is_the_mean_over_the_orientations(scene: Scene, cpu: Runtime) -> None:
    block = scene(3, 9, 14)
    expected = members(Leaning(), block).mean(0)
    found = applied(Ensemble(Leaning()), block, 100, cpu)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(found - applied(Leaning(), block, 100, cpu)).max() > 1


def test_the_spread_is_the_deviation_of_the_orientations(scene: Scene, cpu: Runtime) -> None:
    # values far from zero, whose squares leave no digits to a small spread
    block = 20_000 + scene(3, 9, 14) / 10
    expected = np.sqrt(members(Leaning(), block).var(0).mean(0))
    found = applied(Ensemble(Leaning(), spread=True), block, 100, cpu)
    assert found.shape == (4, 18, 28)
    np.testing.assert_allclose(found[3], expected, atol=3e-3)
    assert expected.max() > 1
    np.testing.assert_array_equal(found[:3], applied(Ensemble(Leaning()), block, 100, cpu))


def test_an_operation_without_a_preference_has_no_spread(scene: Scene, cpu: Runtime) -> None:
    block = scene(2, 8, 11)
    found = applied(Ensemble(bicubic(3), spread=True), block, 100, cpu)
    np.testing.assert_allclose(found[:2], applied(bicubic(3), block, 100, cpu), rtol=1e-6)
    assert found[2].max() < 1e-3


def wedge(block: Block) -> Block:
    """The same with a corner without data, and a pixel that lacks one band."""
    block = block.copy()
    block[:, :3, :4] = np.nan
    block[0, 6, 6] = np.nan
    return block


def test_missing_data_stay_missing_and_the_spread_is_missing_with_all_bands(
    scene: Scene, cpu: Runtime
) -> None:
    block = wedge(scene(3, 12, 13))
    holes = gaps.zoomed(np.isnan(block), 2)
    operation = Ensemble(Consistent(Leaning(), "area"), spread=True)
    found = applied(operation, block, 5, cpu)
    np.testing.assert_array_equal(np.isnan(found[:3]), holes)
    np.testing.assert_array_equal(np.isnan(found[3]), holes.all(0))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    ("scale", "rows", "cols"), [(2, 13, 57), (3, 1, 40), (4, 37, 1), (8, 9, 7)]
)
def test_a_consistent_result_degrades_to_the_scene(
    scene: Scene, cpu: Runtime, operator: str, scale: int, rows: int, cols: int
) -> None:
    noise = np.random.default_rng(3).uniform(0, 4000, (2, rows, cols)).astype(np.float32)
    for block in (scene(2, rows, cols), noise):
        for inner in (bicubic(scale), Leaning(scale), network(2, scale, block, cpu)):
            found = applied(Consistent(inner, operator), block, 16, cpu)
            low = degrade(torch.from_numpy(found)[None].double(), scale, operator)[0].numpy()
            assert np.abs(low - block).max() <= 1e-3 * np.ptp(block)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("scale", "size"), [(2, (41, 29)), (3, (1, 40)), (4, (50, 31))])
def test_tiles_are_the_whole_scene_to_the_last_bit(
    scene: Scene, cpu: Runtime, operator: str, scale: int, size: tuple[int, int]
) -> None:
    block = scene(5, *size)
    if min(size) > 10:
        block = wedge(block)
    inner = network(5, scale, block, cpu)
    operation = Ensemble(Consistent(inner, operator), spread=True)
    expected = applied(operation, block, 10**6, cpu)
    assert np.nanstd(expected[5]) > 0
    for tile in (7, 16):
        np.testing.assert_array_equal(applied(operation, block, tile, cpu), expected)


def unmixing(bands: int) -> tuple[Operation, Operation]:
    """By a network, and by known endmembers."""
    torch.manual_seed(0)
    numbers = {"width": 8, "depth": 1, "reduction": 2}
    unmixer = METHODS["gram_autoencoder"].build(bands=bands, endmembers=3, **numbers).eval()
    freeze_attention(unmixer, torch.rand(1, bands, 9, 9))
    good = torch.arange(bands) != 1
    solve = ABUNDANCES["fcls"].solve
    return (
        Unmix(unmixer.encode, unmixer.decode, unmixer.reach, 1000.0),
        UnmixLinearly(solve, 1000 * torch.rand(3, bands), good),
    )


@pytest.mark.parametrize(("bands", "scale"), [(5, 3), (128, 8)])
def test_the_sharper_scene_is_unmixed_pixel_by_pixel(
    scene: Scene, cpu: Runtime, bands: int, scale: int
) -> None:
    block = wedge(scene(bands, 21, 45))
    sharpen, (_, unmix) = network(bands, scale, block, cpu), unmixing(bands)
    operation = UnmixSharpened(sharpen, unmix)
    assert (operation.scale, operation.reach) == (scale, sharpen.reach)
    sharper = applied(sharpen, block, 10**6, cpu)
    expected = applied(unmix, gaps.fill(sharper, gaps.band_means(sharper)), 10**6, cpu)
    # a pixel that lacks one band is unmixed, as the scene is without sharpening
    expected[:, np.isnan(sharper).all(0)] = np.nan
    found = applied(operation, block, 10**6, cpu)
    there = np.isfinite(sharper).all(0)
    np.testing.assert_array_equal(found[:, there], expected[:, there])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_array_equal(applied(operation, block, 7, cpu), found)


def test_a_black_pixel_of_the_sharper_scene_is_no_fault_of_reduced_precision(
    scene: Scene, cpu: Runtime
) -> None:
    block = scene(5, 32, 12)
    block[:, 3, 4] = 0
    _, known = unmixing(5)
    assert isinstance(known, UnmixLinearly)
    operation = UnmixSharpened(bicubic(2), replace(known, solve=ABUNDANCES["sclsu"].solve))
    reduced = Runtime(torch.device("cpu"), torch.bfloat16)

    def recomputed(block: NDArray[np.float32], black: bool) -> list[bool]:
        chunks = list(render(operation, block, Window(0, 0, 32, 12), seen, reduced))
        found = np.concatenate([chunk.block for chunk in chunks], 1)
        assert np.isnan(found[:3, 7, 9]).all() == black
        return [chunk.recomputed for chunk in chunks]

    seen = survey(ArrayCube(block, Path("scene")))
    assert recomputed(np.where(np.arange(12) < 8, 0, block).astype(np.float32), True) == [False] * 2
    block[1, 20, 5] = np.inf
    assert recomputed(block, False) == [False, True]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (23, 17)], ids=str)
def test_a_window_is_that_of_the_whole_to_the_last_bit(
    scene: Scene, cpu: Runtime, size: tuple[int, int]
) -> None:
    block = scene(5, *size)
    seen = torch.from_numpy(block)[None]
    inner = network(5, 2, block, cpu)
    around = (Consistent(inner, "gaussian"), Consistent(bicubic(3), "bicubic"))
    ensembles = (Ensemble(inner), Ensemble(around[0], spread=True))
    with torch.no_grad():
        sharper = (UnmixSharpened(sharpen, unmixing(5)[1]) for sharpen in (inner, around[1]))
        for operation in (bicubic(4), inner, *around, *ensembles, *unmixing(5), *sharper):
            render = operation.prepare(seen)
            whole, scale = everything(render, seen), operation.scale
            assert whole.shape[2:] == (size[0] * scale, size[1] * scale)
            for rows, cols in windows(size, 12):
                expected = cut(whole, scale)(rows, cols)
                assert torch.equal(render(rows, cols), expected), (type(operation), rows, cols)
                alone = operation.prepare(seen, kept=(rows, cols))(rows, cols)
                assert torch.equal(alone, expected), (type(operation), rows, cols)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_bands_agree_too_in_both_precisions(scene: Scene, dtype: torch.dtype) -> None:
    block, runtime = scene(128, 23, 19), Runtime(torch.device("cpu"), dtype)
    sharp = [network(128, 2, block, runtime), any_sensor(2, block)]
    for operation in (
        *(Ensemble(Consistent(inner, "bicubic"), spread=True) for inner in sharp),
        unmixing(128)[0],
    ):
        expected = applied(operation, block, 10**6, runtime)
        assert expected[-1].std() > 0
        np.testing.assert_array_equal(applied(operation, block, 8, runtime), expected)


def test_the_halo_grows_by_what_a_correction_sees(cpu: Runtime) -> None:
    assert Consistent(Leaning(), "area").reach == 1
    bicubic_reach = Consistent(Leaning(), "bicubic").reach
    assert bicubic_reach is not None
    assert 4 < bicubic_reach < 20
    assert Ensemble(Consistent(Leaning(), "bicubic")).reach == bicubic_reach
    assert Consistent(Leaning(reach=None), "bicubic").reach is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell")
@pytest.mark.parametrize("kind", ["plain", "consistent", "mean", "both", "unmixed", "maps"])
def test_rendering_holds_no_more_than_is_told(kind: str, cpu: Runtime) -> None:
    bands, scale = 480, 4
    plain = Sharpen(Bicubic(bands=1, scale=scale), scale, Bicubic.reach, 1.0)
    consistent, (_, unmix) = Consistent(plain, "bicubic"), unmixing(bands)
    operations: dict[str, Operation] = {
        "plain": plain,
        "consistent": consistent,
        "mean": Ensemble(plain, spread=True),
        "both": Ensemble(consistent, spread=True),
        "unmixed": unmix,
        "maps": UnmixSharpened(plain, unmix),
    }
    operation = operations[kind]
    # what the system tells is good to some megabytes
    rows, cols = (16, 70) if operation.scale > 1 else (80, 130)
    render_window = operation.prepare(torch.rand(1, bands, 90, 140))
    window = slice(5, 5 + rows), slice(5, 5 + cols)
    with torch.no_grad(), cpu.precision():
        render_window(slice(30, 31), slice(30, 31))  # what is needed once is not counted
        memory = Memory(cpu.device)
        result = render_window(*window)
        peak = memory.peak()
    told = 4 * operation.workspace(bands, rows, cols)
    assert peak is not None
    assert 4 * result.numel() < peak < told
