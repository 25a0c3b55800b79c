"""Scenes larger than a tile are written in tiles, at places that are known before anything is."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube
from hsisr.formats._layout import TiledLayout
from hsisr.formats.tiff.header import render_header
from hsisr.formats.tiff.layout import layout_of
from hsisr.window import TilePlan, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHAPES = [(1, 300, 521), (5, 600, 270), (200, 257, 259)]


def spec_of(shape: tuple[int, int, int], dtype: str = "int16", **fields: object) -> CubeSpec:
    return CubeSpec(*shape, np.dtype(dtype), **fields)  # type: ignore[arg-type]


def numbers(spec: CubeSpec) -> NDArray[np.float32]:
    return np.random.default_rng(1).integers(1, 120, spec.shape).astype(np.float32)


def written(path: Path, spec: CubeSpec, tile: tuple[int, int] = (70, 999)) -> NDArray[np.float32]:
    block = numbers(spec)
    with create_cube(path, spec, "tiff") as writer:
        for part in TilePlan(spec.rows, spec.cols, tile, 0):
            write_block(writer, part.write, block[:, *part.write.slices])
    return block


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("interleave", ["bsq", "bip"])
def test_other_programs_read_the_tiles(
    tmp_path: Path, shape: tuple[int, int, int], dtype: str, interleave: str
) -> None:
    path = tmp_path / "scene.tif"
    block = written(path, spec_of(shape, dtype, interleave=interleave))
    by_pixel = interleave == "bip" and shape[0] == 5
    with rasterio.open(path) as file:
        assert all(16 <= side <= 256 and side % 16 == 0 for side in file.block_shapes[0])
        assert file.profile["tiled"]
        assert file.profile.get("compress") is None
        assert shape[0] == 1 or file.interleaving.value == ("PIXEL" if by_pixel else "BAND")
        np.testing.assert_array_equal(file.read(), block.astype(dtype))
    stored = tifffile.imread(path)
    stored = np.moveaxis(stored, -1, 0) if by_pixel else stored.reshape(shape)
    np.testing.assert_array_equal(stored, block.astype(dtype))
    with open_cube(path) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), block)


@settings(max_examples=20, deadline=None)
@given(
    bands=st.integers(1, 4),
    rows=st.integers(240, 560),
    cols=st.integers(240, 560),
    tile=st.tuples(st.integers(50, 600), st.integers(50, 600)),
    interleave=st.sampled_from(["bsq", "bip"]),
    data=st.data(),
)
def test_any_window_is_found_again(
    tmp_path_factory: pytest.TempPathFactory,
    bands: int,
    rows: int,
    cols: int,
    tile: tuple[int, int],
    interleave: str,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("again") / "scene.tif"
    block = written(path, spec_of((bands, rows, cols), interleave=interleave), tile)
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    height, width = data.draw(st.integers(1, rows - row)), data.draw(st.integers(1, cols - col))
    window = Window(row, col, height, width)
    with open_cube(path) as cube:
        np.testing.assert_array_equal(cube.read(window), block[:, *window.slices])
    with rasterio.open(path) as file:
        found = file.read(window=((row, row + height), (col, col + width)))
        np.testing.assert_array_equal(found, block[:, *window.slices])


@pytest.mark.parametrize("shape", [(3, 256, 900), (3, 900, 256), (1, 256, 256)], ids=str)
def test_a_scene_as_narrow_as_a_tile_stays_in_strips(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    path = tmp_path / "scene.tif"
    written(path, spec_of(shape))
    with tifffile.TiffFile(path) as file:
        assert not file.pages.first.is_tiled


@pytest.mark.parametrize("interleave", ["bsq", "bip"])
def test_tiles_fill_the_file_and_are_zero_beyond_the_scene(tmp_path: Path, interleave: str) -> None:
    path = tmp_path / "scene.tif"
    spec = spec_of((3, 300, 521), interleave=interleave)
    written(path, spec)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        starts, sizes = np.array(page.dataoffsets), np.array(page.databytecounts)
        depth = page.samplesperpixel if interleave == "bip" else 1
        shape = page.tilelength, page.tilewidth, depth
    ordered = np.sort(starts)
    assert set(sizes) == {np.prod(shape) * 2}
    assert set(np.diff(ordered)) == set(sizes)
    assert ordered[0] % 4096 == 0
    assert ordered[-1] + sizes[0] == path.stat().st_size
    content = path.read_bytes()
    tiles = np.stack([np.frombuffer(content, "<i2", np.prod(shape), start) for start in starts])
    down, across = -(-300 // shape[0]), -(-521 // shape[1])
    grid = tiles.reshape(-1, down, across, *shape).transpose(0, 1, 3, 2, 4, 5)
    whole = grid.reshape(-1, down * shape[0], across * shape[1], depth)
    assert (whole[:, :300, :521] > 0).all()
    assert not whole[:, 300:].any()
    assert not whole[:, :, 521:].any()


@pytest.mark.parametrize("interleave", ["bsq", "bip"])
def test_rows_of_full_width_lie_in_one_piece_for_every_band_and_tile(interleave: str) -> None:
    layout = layout_of(spec_of((4, 1000, 1000), interleave=interleave))
    assert isinstance(layout, TiledLayout)
    pieces = [
        offset
        for part in layout.parts(Window(100, 0, 50, 1000))
        for _, _, offsets in part.layout.slabs(part.layout.box(part.inside))
        for offset in offsets
    ]
    assert len(pieces) == layout.grid[1] * (4 if interleave == "bsq" else 1)
    assert pieces == sorted(pieces)


def test_what_is_said_about_a_scene_is_said_of_one_in_tiles(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    place = Geo((30.0, 0.0, 500_000.0, 0.0, -30.0, 4_600_020.0), "EPSG:32633")
    spectrum = Spectrum((450.0, 550.0, 865.0))
    spec = spec_of((3, 280, 300), nodata=-9999.0, geo=place, spectrum=spectrum)
    block = numbers(spec)
    block[1, 2, 3] = np.nan
    with create_cube(path, spec, "tiff") as writer:
        write_block(writer, spec.window, block)
    with rasterio.open(path) as file:
        assert file.profile["tiled"]
        assert file.nodata == -9999
        assert file.crs.to_epsg() == 32633
        assert file.transform[:6] == place.transform
        assert float(file.tags(3)["wavelength"]) == 865
        assert np.count_nonzero(file.read_masks() == 0) == 1
    with open_cube(path) as cube:
        assert (cube.spec.nodata, cube.spec.geo, cube.spec.spectrum) == (-9999, place, spectrum)
        np.testing.assert_array_equal(cube.read(spec.window), block)


@pytest.mark.parametrize("interleave", ["bsq", "bip"])
@pytest.mark.parametrize(("rows", "magic"), [(3800, b"II*\0"), (60_000, b"II+\0")])
def test_offsets_beyond_4_gib_are_those_of_a_bigtiff(
    tmp_path: Path, rows: int, magic: bytes, interleave: str
) -> None:
    spec = replace(spec_of((4, rows, 20_005), "uint8"), interleave=interleave)
    header = render_header(spec)
    assert header[:4] == magic
    layout = layout_of(spec, len(header))
    path = tmp_path / "scene.tif"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(layout.file_size)
        [(tile, inside, _)] = layout.parts(Window(rows - 1, 20_003, 1, 1))
        [(_, _, offsets)] = tile.slabs(tile.box(inside))
        size = 4 // len(offsets)
        for i, offset in enumerate(offsets):
            os.pwrite(file.fileno(), b"\1\2\3\4"[i * size : (i + 1) * size], offset)
    last = ((rows - 1, rows), (20_003, 20_004))
    with rasterio.open(path) as scene:
        assert scene.read(window=last).ravel().tolist() == [1, 2, 3, 4]
    with open_cube(path) as cube:
        assert cube.read(Window(rows - 1, 20_003, 1, 1)).ravel().tolist() == [1, 2, 3, 4]


def test_a_window_beyond_the_scene_is_a_mistake_even_within_its_last_tile(tmp_path: Path) -> None:
    spec = spec_of((1, 300, 300))
    with create_cube(tmp_path / "scene.tif", spec, "tiff") as writer:
        writer.keep(False)
        with pytest.raises(ValueError, match="not inside"):
            writer.store(Window(0, 299, 1, 2), np.zeros((1, 1, 2), np.int16))
        write_block(writer, spec.window, numbers(spec))
