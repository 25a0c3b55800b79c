"""Pictures show the right bands, from the right values, and end as PNG files that others read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsisr.cube import ALL, ArrayCube, Block, CubeSpec, Spectrum
from hsisr.results.picture import (
    enlarged,
    grey,
    overview,
    rgb_bands,
    row_of,
    sheet,
    stretched,
    write_png,
)
from hsisr.window import Window

Scene = Callable[..., NDArray[np.float32]]


def spec_of(bands: int, spectrum: Spectrum | None = None) -> CubeSpec:
    return CubeSpec(bands, 5, 5, np.dtype(np.float32), spectrum=spectrum)


def test_true_colour_is_chosen_by_wavelength() -> None:
    centres = tuple(float(x) for x in range(400, 2500, 10))
    red, green, blue = rgb_bands(spec_of(len(centres), Spectrum(centres)))
    assert (centres[red], centres[green], centres[blue]) == (640, 550, 460)
    backwards = tuple(reversed(centres))
    red, green, blue = rgb_bands(spec_of(len(centres), Spectrum(backwards)))
    assert (backwards[red], backwards[green], backwards[blue]) == (640, 550, 460)


@pytest.mark.parametrize("spectrum", [None, Spectrum((1000.0, 1200.0, 1500.0, 2000.0))])
def test_without_visible_bands_they_are_spread(spectrum: Spectrum | None) -> None:
    assert rgb_bands(spec_of(4, spectrum)) == (2, 1, 0)
    assert rgb_bands(spec_of(1)) == (0, 0, 0)


class Counting(ArrayCube):
    """A cube that notes how much of it is held at once."""

    largest = 0

    def read(self, window: Window, bands: slice = ALL) -> Block:
        self.largest = max(self.largest, window.height * window.width)
        return super().read(window, bands)


@pytest.mark.parametrize("size", [(200, 150), (1, 300), (300, 1), (64, 64), (129, 40)], ids=str)
@pytest.mark.parametrize("longest", [1, 30, 100, 1024])
def test_an_overview_is_every_nth_pixel(scene: Scene, size: tuple[int, int], longest: int) -> None:
    block = scene(4, *size)
    cube = Counting(block, Path("x"))
    step = max(1, -(-max(size) // longest))
    found = overview(cube, (3, 0), longest)
    np.testing.assert_array_equal(found, block[[3, 0], ::step, ::step])
    assert max(found.shape[1:]) <= longest
    # a scene that is larger than the memory has an overview too
    assert cube.largest <= max(64, size[1] * 64) if step == 1 else cube.largest <= size[1]


def test_a_stretch_goes_from_the_2_to_the_98_per_cent_quantile(scene: Scene) -> None:
    values = scene(3, 40, 30)
    values[0, :2] = np.nan
    image = stretched(values)
    for channel in range(3):
        there = np.isfinite(values[channel])
        low, high = np.nanquantile(values[channel].astype(float), (0.02, 0.98))
        expected = np.clip((values[channel].astype(float) - low) / (high - low), 0, 1) * 255
        found = image[:, :, channel]
        np.testing.assert_allclose(found[there], expected[there], atol=0.51)
        assert (found[~there] == 0).all()


def test_two_pictures_can_share_one_stretch(scene: Scene) -> None:
    values = scene(3, 20, 20)
    both = stretched(np.concatenate([values, values * 3], 2), like=values)
    np.testing.assert_array_equal(both[:, :20], stretched(values))
    assert (both[:, 20:] >= both[:, :20]).all()


@pytest.mark.parametrize("values", [0.0, 7.5, -3.0, np.nan])
def test_a_scene_of_one_colour_is_no_crash(values: float) -> None:
    assert stretched(np.full((3, 6, 5), values, np.float32)).shape == (6, 5, 3)


def test_outliers_do_not_overflow() -> None:
    values = np.zeros((3, 20, 20), np.float32)
    values[:, 3, 3], values[:, 4, 4] = 3e38, -3e38
    image = stretched(values)
    assert (image[3, 3] >= image[0, 0]).all()


def test_a_grey_picture_is_linear() -> None:
    values = np.array([[0, 0.5, 1], [-1, 2, np.nan]], np.float32)
    found = grey(values, 0, 1)
    assert found.shape == (2, 3, 3)
    assert found[:, :, 0].tolist() == [[0, 128, 255], [0, 255, 0]]
    assert (found == found[:, :, :1]).all()


def test_enlarging_repeats_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(image, 3)
    for row, col in np.ndindex(6, 6):
        assert (large[row, col] == image[row // 3, col // 3]).all()


@pytest.mark.parametrize(("count", "across"), [(1, 1), (3, 2), (4, 2), (5, 5), (2, 4)])
def test_a_sheet_holds_every_picture_on_white(count: int, across: int) -> None:
    images = [np.full((4, 6, 3), i, np.uint8) for i in range(count)]
    page = sheet(images, across)
    rows = -(-count // across)
    assert page.shape == (rows * 8 - 4, across * 10 - 4, 3)
    assert [int((page == i).all(2).sum()) for i in range(count)] == [24] * count
    assert (page == 255).all(2).sum() == page.shape[0] * page.shape[1] - 24 * count
    assert row_of(images).shape == (4, count * 10 - 4, 3)


def test_a_png_is_what_others_read(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (13, 17, 3), np.uint8)
    write_png(tmp_path / "a.png", image)
    with Image.open(tmp_path / "a.png") as found:
        assert (found.format, found.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(found), image)
    write_png(tmp_path / "a.png", image[::-1, ::2])
    with Image.open(tmp_path / "a.png") as found:
        np.testing.assert_array_equal(np.asarray(found), image[::-1, ::2])
