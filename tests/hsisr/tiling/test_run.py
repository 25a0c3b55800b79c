"""Tiles are bit for bit what the whole scene gives, and no data stays no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import ArrayCube, Block, Cube, Spectrum
from hsisr.runtime import Runtime
from hsisr.scene import gaps
from hsisr.scene.survey import survey
from hsisr.tiling.operations import Operation, Sharpen, Unmix
from hsisr.tiling.run import Seam, freeze, gather_strips, run, run_blended
from hsisr_models.imaging import upscale_bicubic
from hsisr_models.networks import TokenNetwork
from hsisr_models.rendering import Area, Renderer, cut
from hsisr_models.resolver import SuperResolver
from hsisr_models.unmix import SHELF as METHODS
from tests.hsisr.tiles import PEAK, Pointwise, any_sensor, cube_of, operations, whole, with_holes

TILES = (1, 7, 16, 31, 32, 33, 48, 64, 97, 128, 200, 10**6)
SIZES = ((1, 40), (37, 1), (13, 57), (41, 29), (64, 64), (2, 3))
Scene = Callable[..., NDArray[np.float32]]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def assert_tiles_agree(
    both: tuple[Sharpen, Unmix], block: Block, tiles: Iterable[int], runtime: Runtime
) -> None:
    cube = cube_of(block)
    seen = survey(cube)
    assert isinstance(both[0].resolver, SuperResolver)
    freeze(both[0].resolver, seen, PEAK, runtime)
    for operation in both:
        expected: Block | None = None
        for tile in tiles:
            windows = run(cube, operation, seen, tile=tile, runtime=runtime)
            output = whole(windows, cube, operation.scale)
            if expected is None:
                expected = output
                # it is no constant, and holes are where they were
                assert np.nanstd(output) > 0
                assert np.isnan(output).any() == np.isnan(block).any()
            np.testing.assert_array_equal(output, expected, err_msg=f"{type(operation)} {tile}")


@pytest.mark.parametrize("name", ["default", "paper", "tiny"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_are_the_whole_scene_to_the_last_bit(
    scene: Scene, cpu: Runtime, name: str, size: tuple[int, int]
) -> None:
    both = operations(name, bands=5, scale=2, width=16, depth=2)
    tiles = [tile for tile in reversed(TILES) if size[0] * size[1] / tile**2 < 100]
    assert_tiles_agree(both, with_holes(scene(5, *size)), tiles, cpu)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_networks_of_full_size_agree_too(scene: Scene, cpu: Runtime, name: str) -> None:
    both = operations(name, bands=31, scale=4)
    assert both[0].reach is not None
    assert both[0].reach > 28
    assert_tiles_agree(both, with_holes(scene(31, 13, 57)), (10**6, 7, 32), cpu)
    assert_tiles_agree(both, scene(31, 1, 40), (10**6, 16), cpu)


@pytest.mark.parametrize("scale", [3, 8])
@pytest.mark.parametrize("bands", [1, 2, 128])
def test_any_scale_and_number_of_bands_agrees(
    scene: Scene, cpu: Runtime, scale: int, bands: int
) -> None:
    both = operations("default", bands=bands, scale=scale, width=8, depth=1)
    assert_tiles_agree(both, with_holes(scene(bands, 21, 19)), (10**6, 6, 16), cpu)


def test_two_threads_agree(scene: Scene, cpu: Runtime) -> None:
    with threads(2):
        both = operations("default", bands=5, scale=2, width=16, depth=1)
        assert_tiles_agree(both, with_holes(scene(5, 13, 57)), (10**6, 16), cpu)


def assert_tiles_of_tokens_agree(
    resolver: SuperResolver, cube: Cube, tiles: Iterable[int], runtime: Runtime
) -> Block:
    core = resolver.network
    assert isinstance(core, TokenNetwork)
    seen = survey(cube, core.tokens)
    core.subspace = seen.subspace
    operation = Sharpen(resolver, core.scale, resolver.reach, 1.0)
    outputs = [
        whole(run(cube, operation, seen, tile=tile, runtime=runtime), cube, operation.scale)
        for tile in (10**6, *tiles)
    ]
    for tile, output in zip(tiles, outputs[1:], strict=True):
        np.testing.assert_array_equal(output, outputs[0], err_msg=str(tile))
    return outputs[0]


@pytest.mark.parametrize("bands", [1, 4, 31, 224, 450])
@pytest.mark.parametrize("size", [(1, 40), (37, 1), (29, 41)], ids=str)
def test_tiles_of_any_sensor_are_the_whole_scene_to_the_last_bit(
    scene: Scene, cpu: Runtime, bands: int, size: tuple[int, int]
) -> None:
    block = with_holes(scene(bands, *size))
    resolver = any_sensor(2, width=8, depth=2)
    output = assert_tiles_of_tokens_agree(resolver, cube_of(block), (7, 16, 33), cpu)
    np.testing.assert_array_equal(np.isnan(output), gaps.zoomed(np.isnan(block), 2))
    smooth = upscale_bicubic(torch.from_numpy(np.nan_to_num(block))[None], 2)[0].numpy()
    assert np.nanmax(np.abs(output - smooth)) > 1


@pytest.mark.parametrize("scale", [3, 4, 8])
def test_dead_bands_are_interpolated_and_leave_the_tiles_equal(
    scene: Scene, cpu: Runtime, scale: int
) -> None:
    """The constant one, the empty one and the one that is marked as bad."""
    block = with_holes(scene(7, 23, 19))
    block[1], block[3], block[5] = 12.5, np.nan, block[5] * np.float32(50)
    good = tuple(band != 5 for band in range(7))
    cube = ArrayCube(block, Path("scene"), Spectrum(tuple(500.0 + b for b in range(7)), good=good))
    resolver = any_sensor(scale, width=8, depth=1)
    output = assert_tiles_of_tokens_agree(resolver, cube, (5, 16), cpu)
    assert np.isnan(output[3]).all()
    assert (output[1] == 12.5).all()
    # without its holes, the bad band is that of bicubic interpolation to the last bit
    filled = gaps.fill(block, survey(cube).means)
    smooth = upscale_bicubic(torch.from_numpy(filled)[None], scale)[0].numpy()
    there = np.isfinite(output)
    np.testing.assert_array_equal(output[5][there[5]], smooth[5][there[5]])
    assert np.abs(output - smooth)[0][there[0]].max() > 1


@pytest.mark.parametrize(("bands", "count"), [(31, 1), (3, 3)])
def test_tiles_of_any_sensor_agree_at_full_size(
    scene: Scene, cpu: Runtime, bands: int, count: int
) -> None:
    """Also where threads share the pixels of an image among them."""
    resolver = any_sensor(2, width=48, depth=8)
    assert resolver.reach is not None
    block = with_holes(scene(bands, 13, 57))
    with threads(count):
        assert_tiles_of_tokens_agree(resolver, cube_of(block), (7, 32), cpu)


@dataclass(frozen=True)
class Levelled:
    """The difference from the mean of the image, which is anything but local."""

    scale: int = 1
    reach: int | None = None

    def __call__(self, values: Tensor) -> Tensor:
        return values - values.mean((2, 3), keepdim=True)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        del kept
        return cut(self(scene), self.scale)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())


@pytest.mark.parametrize("tile", [1, 5, 64])
def test_a_tile_goes_where_it_came_from(scene: Scene, cpu: Runtime, tile: int) -> None:
    block = with_holes(scene(4, 17, 23))
    cube = cube_of(block)
    output = whole(run(cube, Pointwise(), survey(cube), tile=tile, runtime=cpu), cube, 3)
    np.testing.assert_array_equal(output, 2 * block.repeat(3, 1).repeat(3, 2))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_holes_are_the_holes_of_the_input_and_all_else_is_finite(
    scene: Scene, precision: torch.dtype
) -> None:
    block = with_holes(scene(5, 30, 26))
    cube, runtime = cube_of(block), Runtime(torch.device("cpu"), precision)
    sharpen, unmix = operations("default", bands=5, scale=4, width=8, depth=1)
    seen = survey(cube)
    sharp = whole(run(cube, sharpen, seen, tile=16, runtime=runtime), cube, 4)
    np.testing.assert_array_equal(np.isnan(sharp), gaps.zoomed(np.isnan(block), 4))
    maps = whole(run(cube, unmix, seen, tile=16, runtime=runtime), cube, 1)
    mostly = np.isnan(block).mean(0) >= 0.5
    np.testing.assert_array_equal(np.isnan(maps), np.broadcast_to(mostly, maps.shape))
    assert not np.isinf(sharp).any()
    np.testing.assert_allclose(np.nansum(maps[:3], 0)[~mostly], 1, rtol=1e-5)


def test_what_is_not_local_sees_the_whole_scene_from_every_tile(scene: Scene, cpu: Runtime) -> None:
    cube = cube_of(scene(5, 30, 26))
    network = METHODS["deeptrans"].build(bands=5, endmembers=2).eval().requires_grad_(False)
    assert network.reach is None
    unmix = Unmix(network.encode, network.decode, network.reach, PEAK)
    seen = survey(cube)
    first, *others = (
        whole(run(cube, unmix, seen, tile=tile, runtime=cpu), cube, 1) for tile in (100, 16, 7)
    )
    assert np.std(first[0]) > 0
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_unmixing_tells_its_error_in_the_units_of_the_scene(scene: Scene, cpu: Runtime) -> None:
    block = scene(6, 12, 14)
    cube = cube_of(block)
    _, unmix = operations("default", bands=6, scale=2, width=8, depth=1)
    maps = whole(run(cube, unmix, survey(cube), tile=100, runtime=cpu), cube, 1)
    mixed = unmix.decode(torch.from_numpy(maps[None, :3]))[0].numpy() * PEAK
    expected = np.sqrt(np.mean((mixed - block).astype(np.float64) ** 2, 0))
    np.testing.assert_allclose(maps[3], expected, rtol=1e-4)


@pytest.mark.parametrize(("tile", "overlap"), [(8, 3), (8, 0), (1, 0), (16, 8), (10, 9), (100, 16)])
@pytest.mark.parametrize("size", [(1, 40), (37, 1), (23, 29), (8, 8)], ids=str)
def test_blending_a_local_operation_changes_nothing(
    scene: Scene, cpu: Runtime, size: tuple[int, int], tile: int, overlap: int
) -> None:
    block = with_holes(scene(3, *size))
    cube, seam = cube_of(block), Seam()
    operation: Operation = Pointwise(reach=None)
    windows = list(
        run_blended(cube, operation, survey(cube), seam, tile=tile, overlap=overlap, runtime=cpu)
    )
    assert all(window.width == 3 * size[1] for window, _ in windows)
    output = whole(windows, cube, 3)
    np.testing.assert_allclose(output, 2 * block.repeat(3, 1).repeat(3, 2), rtol=1e-5)
    assert seam.worst <= 0.01
    assert (seam.count > 0) == (overlap > 0 and max(size) > tile)


def test_the_seam_of_a_global_operation_is_reported(scene: Scene, cpu: Runtime) -> None:
    cube, seam = cube_of(scene(3, 40, 40)), Seam()
    blended = run_blended(cube, Levelled(), survey(cube), seam, tile=16, overlap=6, runtime=cpu)
    output = whole(blended, cube, 1)
    assert seam.worst > seam.rms > 1
    # no step is left: neighbours differ by little more than they do in the scene
    jump = np.abs(np.diff(output, axis=2)).max()
    assert jump < np.abs(np.diff(cube.read(cube.spec.window), axis=2)).max() + seam.worst / 2


def test_the_seam_is_the_difference_of_two_tiles(cpu: Runtime) -> None:
    block = np.zeros((1, 4, 6), np.float32)
    block[:, :, 4:] = 6
    cube, seam = cube_of(block), Seam()
    list(run_blended(cube, Levelled(), survey(cube), seam, tile=4, overlap=2, runtime=cpu))
    # the first tile has the mean 0, the second 3; they share 4 x 2 pixels
    assert (seam.worst, seam.rms, seam.count) == (3, 3, 8)


def test_windows_are_gathered_into_strips(scene: Scene, cpu: Runtime) -> None:
    cube = cube_of(scene(3, 20, 26))
    windows = run(cube, Pointwise(), survey(cube), tile=7, runtime=cpu)
    strips = list(gather_strips(windows, 26 * 3))
    assert [(strip.row, strip.height) for strip, _ in strips] == [(0, 21), (21, 21), (42, 18)]
    expected = 2 * cube.read(cube.spec.window).repeat(3, 1).repeat(3, 2)
    np.testing.assert_array_equal(whole(strips, cube, 3), expected)
