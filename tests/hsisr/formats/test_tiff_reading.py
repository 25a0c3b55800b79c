"""Pixels of TIFF files of every kind, compared with the arrays they were made of and with GDAL."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.vrt import WarpedVRT

from hsisr.errors import InputError, UsageError
from hsisr.formats import ReadOptions, open_cube, tiff
from hsisr.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

BANDS, ROWS, COLS = 5, 37, 41
INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float32", "float64")
CODECS = {
    "none": (None, 1),
    "packbits": ("packbits", 1),
    "lzw": ("lzw", 1),
    "lzw, differences": ("lzw", 2),
    "deflate": ("deflate", 1),
    "deflate, differences": ("deflate", 2),
    "deflate, differences of floats": ("deflate", 3),
    "zstd": ("zstd", 1),
    "zstd, differences": ("zstd", 2),
    "zstd, differences of floats": ("zstd", 3),
}


def samples(dtype: str, bands: int = BANDS, rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    random = np.random.default_rng(7)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=(bands, rows, cols)).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, (bands, rows, cols), dtype=dtype, endpoint=True)


def whole(path: Path, axes: str | None = None) -> np.ndarray:
    with tiff.read(path, ReadOptions(axes=axes)) as cube:
        return cube.read(cube.spec.window)


def write_with_gdal(path: Path, cube: np.ndarray, **options: object) -> None:
    bands, rows, cols = cube.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=rows,
        width=cols,
        dtype=cube.dtype,
        **{key: value for key, value in options.items() if value is not None},
    ) as file:
        file.write(cube)


def write_with_tifffile(
    path: Path, cube: np.ndarray, layout: str, order: str, **options: object
) -> None:
    planar = {"by pixel": "contig", "by plane": "separate", "by page": None}[layout]
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=order == ">") as writer:
        for image in cube if planar is None else [cube]:
            writer.write(
                np.moveaxis(image, 0, -1) if planar == "contig" else image,
                photometric="minisblack",
                planarconfig=planar,
                metadata=None,
                **options,
            )


def read_with_gdal(path: Path, pages: int) -> np.ndarray:
    names = [path] if pages == 1 else [f"GTIFF_DIR:{i}:{path}" for i in range(1, pages + 1)]
    blocks = []
    for name in names:
        with rasterio.open(name) as file:
            blocks.append(file.read())
    return np.concatenate(blocks)


DTYPES = {1: (*INTEGERS, *FLOATS), 2: (*INTEGERS, *FLOATS), 3: FLOATS}
"""What each predictor takes; GDAL forms the differences of the bits of floats, too."""


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("tiled", [True, False])
def test_what_gdal_writes_is_read_as_it_was(
    tmp_path: Path, codec: str, interleave: str, tiled: bool
) -> None:
    compression, predictor = CODECS[codec]
    for dtype, order in zip(DTYPES[predictor], itertools.cycle(["LITTLE", "BIG"]), strict=False):
        cube = samples(dtype)
        path = tmp_path / f"{dtype}.tif"
        shape = {"blockxsize": 16, "blockysize": 32} if tiled else {"blockysize": 6}
        write_with_gdal(
            path,
            cube,
            interleave=interleave,
            tiled=tiled,
            compress=compression,
            predictor=predictor if predictor > 1 else None,
            endianness=order,
            bigtiff="YES" if dtype.endswith("16") else "NO",
            **shape,
        )
        np.testing.assert_array_equal(whole(path), cube.astype(np.float32), err_msg=dtype)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("layout", ["by pixel", "by plane", "by page"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_tifffile_writes_is_read_as_gdal_reads_it(
    tmp_path: Path, codec: str, layout: str, order: str
) -> None:
    compression, predictor = CODECS[codec]
    dtypes = INTEGERS if predictor == 2 else DTYPES[predictor]
    for dtype, tile in zip(dtypes, itertools.cycle([(16, 32), None]), strict=False):
        cube = samples(dtype)
        path = tmp_path / f"{dtype}.tif"
        write_with_tifffile(
            path,
            cube,
            layout,
            order,
            tile=tile,
            rowsperstrip=None if tile else 6,
            compression=compression,
            predictor=predictor if predictor > 1 else None,
        )
        truth = read_with_gdal(path, BANDS if layout == "by page" else 1)
        np.testing.assert_array_equal(truth, cube, err_msg=dtype)
        np.testing.assert_array_equal(whole(path), truth.astype(np.float32), err_msg=dtype)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One cube in the layouts that differ in how a window is found."""
    folder = tmp_path_factory.mktemp("layouts")
    cube = samples("uint16")
    made = {}
    for layout, tile, compression in itertools.product(
        ("by pixel", "by plane", "by page"), ((16, 16), None), ("zlib", None)
    ):
        name = f"{layout}, {'tiles' if tile else 'strips'}, {compression}"
        made[name] = folder / f"{len(made)}.tif"
        rows = None if tile else 5
        write_with_tifffile(
            made[name], cube, layout, "<", tile=tile, rowsperstrip=rows, compression=compression
        )
    made["one strip"] = folder / "one strip.tif"
    write_with_tifffile(
        made["one strip"], cube, "by plane", ">", rowsperstrip=ROWS, compression="lzw"
    )
    return made


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, ROWS - 1)), draw(st.integers(0, COLS - 1))
    height, width = draw(st.integers(1, ROWS - row)), draw(st.integers(1, COLS - col))
    return Window(row, col, height, width)


@settings(max_examples=25, deadline=None)
@given(asked=st.lists(windows(), min_size=1, max_size=4))
def test_windows_in_any_order_are_parts_of_the_whole(
    files: dict[str, Path], asked: list[Window]
) -> None:
    truth = samples("uint16").astype(np.float32)
    for name, path in files.items():
        with tiff.read(path, ReadOptions()) as cube:
            for window in asked:
                np.testing.assert_array_equal(
                    cube.read(window), truth[:, *window.slices], err_msg=name
                )


def test_a_window_outside_the_scene_is_a_mistake(files: dict[str, Path]) -> None:
    with tiff.read(files["one strip"], ReadOptions()) as cube:
        for window in (Window(-1, 0, 2, 2), Window(ROWS - 1, 0, 2, 1), Window(0, COLS, 1, 1)):
            with pytest.raises(ValueError, match="not inside"):
                cube.read(window)


def test_only_the_segments_of_a_window_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    cube = samples("uint16", 1)
    tifffile.imwrite(path, cube[0], rowsperstrip=5, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        third = file.pages[0].dataoffsets[3]
    with path.open("r+b") as file:
        file.seek(third)
        file.write(b"\xff" * 8)
    with tiff.read(path, ReadOptions()) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 15, COLS)), cube[:, :15])
        np.testing.assert_array_equal(scene.read(Window(20, 3, 9, 4)), cube[:, 20:29, 3:7])
        with pytest.raises(InputError):
            scene.read(Window(14, 0, 2, COLS))


def test_one_huge_strip_costs_only_the_rows_of_the_window(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    rows, cols = 60_000, 50_000
    with path.open("wb") as file, tifffile.TiffWriter(file, bigtiff=True) as writer:
        start, _ = writer.write(
            shape=(rows, cols), dtype="uint8", rowsperstrip=rows, metadata=None, returnoffset=True
        )
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), b"\x07", start + 59_999 * cols + 12)
    with tiff.read(path, ReadOptions()) as cube:
        assert cube.spec.shape == (1, rows, cols)
        assert cube.read(Window(59_998, 11, 2, 3)).tolist() == [[[0, 0, 0], [0, 7, 0]]]


def test_three_or_four_bands_are_bands_not_colours(tmp_path: Path) -> None:
    for bands in (3, 4):
        cube = samples("uint8", bands)
        path = tmp_path / f"{bands}.tif"
        tifffile.imwrite(path, np.moveaxis(cube, 0, -1), photometric="rgb")
        np.testing.assert_array_equal(whole(path), cube)


def test_pages_are_bands_unless_told_otherwise(tmp_path: Path) -> None:
    cube = samples("int16")
    path = tmp_path / "rows.tif"
    tifffile.imwrite(path, cube.transpose(1, 2, 0), photometric="minisblack")
    with open_cube(path) as scene:
        assert scene.spec.shape == (ROWS, COLS, BANDS)
        assert any("--axes" in note for note in scene.notes)
    np.testing.assert_array_equal(whole(path, "YXB"), cube)
    np.testing.assert_array_equal(whole(path, "xyb"), cube.transpose(0, 2, 1))
    with pytest.raises(UsageError):
        whole(path, "YXZ")


def test_a_thousand_pages_are_a_thousand_bands(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    cube = samples("uint16", 1000, 4, 6)
    tifffile.imwrite(path, cube, photometric="minisblack")
    np.testing.assert_array_equal(whole(path), cube)


def test_axes_apply_to_bands_interleaved_by_pixel(tmp_path: Path) -> None:
    cube = samples("int16")
    path = tmp_path / "transposed.tif"
    write_with_gdal(path, cube, interleave="pixel")
    np.testing.assert_array_equal(whole(path, "XYB"), cube.transpose(0, 2, 1))


@pytest.mark.parametrize("inside", [True, False])
def test_overviews_and_masks_are_passed_over(tmp_path: Path, inside: bool) -> None:
    cube = samples("uint16")
    path = tmp_path / "scene.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        tiles = {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}
        write_with_gdal(path, cube, **tiles, crs="EPSG:32633", transform=Affine(2, 0, 9, 0, -2, 9))
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.zeros((ROWS, COLS), bool))
            file.build_overviews([2, 4])
    with tiff.read(path, ReadOptions()) as scene:
        np.testing.assert_array_equal(scene.read(scene.spec.window), cube)
        assert sum("the mask is not applied" in note for note in scene.notes) == 1
    # the warper of GDAL, which gdalwarp runs, applies it
    with rasterio.open(path) as file, WarpedVRT(file, nodata=7) as applied:
        assert (applied.read() == 7).all()


def test_an_alpha_channel_is_a_band_and_noted(tmp_path: Path) -> None:
    cube = samples("uint8", 4)
    path = tmp_path / "scene.tif"
    write_with_gdal(path, cube, photometric="rgb", alpha="yes")
    with open_cube(path) as scene:
        np.testing.assert_array_equal(scene.read(scene.spec.window), cube)
        assert any("band 4 is an alpha channel" in note for note in scene.notes)
    write_with_gdal(path, cube, photometric="minisblack", alpha="no")
    with open_cube(path) as scene:
        assert scene.notes == ()


def test_parts_never_written_are_no_data_or_zero(tmp_path: Path) -> None:
    for nodata, expected in ((-3.0, np.nan), (None, 0.0)):
        path = tmp_path / f"{nodata}.tif"
        cube = np.zeros((2, 64, 64), np.int16)
        with rasterio.open(
            path, "w", driver="GTiff", count=2, height=64, width=64, dtype="int16", nodata=nodata,
            tiled=True, blockxsize=16, blockysize=16, sparse_ok=True,
        ) as file:  # fmt: skip
            file.write(np.full((2, 16, 16), 5, np.int16), window=((16, 32), (32, 48)))
        cube[:, 16:32, 32:48] = 5
        truth = np.where(cube == 5, 5.0, expected).astype(np.float32)
        with tiff.read(path, ReadOptions()) as scene:
            np.testing.assert_array_equal(scene.read(scene.spec.window), truth)
            assert any("never written" in note for note in scene.notes)


def test_a_huge_scene_of_no_data_costs_only_its_windows(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    size = 100_000
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=size, width=size, dtype="float64", nodata=-1,
        tiled=True, blockxsize=4096, blockysize=4096, sparse_ok=True, compress="deflate",
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 20_000
    with tiff.read(path, ReadOptions()) as scene:
        assert scene.spec.shape == (1, size, size)
        assert np.isnan(scene.read(Window(size - 2, size - 3, 2, 3))).all()


def test_equal_tiles_may_be_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    tile = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tifffile.imwrite(path, np.tile(tile, (1, 2)), tile=(16, 16), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags
        for code in (324, 325):
            tags[code].overwrite((tags[code].value[0],) * 2)
    np.testing.assert_array_equal(whole(path), np.tile(tile, (1, 2))[None])


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write_with_gdal(path, samples("uint16"))
    with tiff.read(path, ReadOptions()) as scene:
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(InputError, match="changed"):
            scene.read(Window(0, 0, 4, 4))


def test_a_description_that_contradicts_the_tags_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    tifffile.imwrite(path, samples("uint8", 1)[0], metadata=None, description='{"shape": [9, 9]}')
    with tiff.read(path, ReadOptions()) as scene:
        assert scene.spec.shape == (1, ROWS, COLS)
        assert scene.spec.description is None
        assert any("the tags are followed" in note for note in scene.notes)


def test_reading_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write_with_gdal(path, samples("float32"))
    path.chmod(0o444)
    before = path.read_bytes(), path.stat().st_mtime_ns
    whole(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]
