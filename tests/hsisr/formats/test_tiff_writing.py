"""What is written as TIFF, read back by GDAL."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.cube import CubeSpec, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError
from hsisr.formats import create_cube, open_cube, tiff
from hsisr.formats._layout import RawLayout
from hsisr.formats.tiff import header as tiff_header
from hsisr.window import TilePlan, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

DTYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
)  # fmt: skip
WKT = (
    'PROJCS["ETRS_1989_LAEA",GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",'
    'SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],'
    'UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Azimuthal_Equal_Area"],'
    'PARAMETER["False_Easting",4321000.0],PARAMETER["False_Northing",3210000.0],'
    'PARAMETER["Central_Meridian",10.0],PARAMETER["Latitude_Of_Origin",52.0],UNIT["Meter",1.0]]'
)
"""A system as ENVI headers describe it."""
PLACE = (30.0, 0.0, 500_000.0, 0.0, -30.0, 4_600_020.0)


def scene(bands: int = 4, rows: int = 19, cols: int = 23, **fields: object) -> CubeSpec:
    return CubeSpec(bands, rows, cols, np.dtype("int16"), **fields)


def numbers(spec: CubeSpec) -> np.ndarray:
    """Physical values that the stored type can hold."""
    random = np.random.default_rng(4)
    return random.integers(0, 100, spec.shape).astype(np.float32)


def written(path: Path, spec: CubeSpec, tile: int = 8) -> np.ndarray:
    block = numbers(spec)
    with create_cube(path, spec, "tiff") as writer:
        for part in TilePlan(spec.rows, spec.cols, (tile, tile), 0):
            write_block(writer, part.write, block[:, *part.write.slices])
    assert all(file.exists() for file in writer.files)
    return block


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_gdal_reads_the_values_that_were_written(
    tmp_path: Path, dtype: str, interleave: str
) -> None:
    path = tmp_path / "scene.tif"
    for bands in (1, 4, 65):
        spec = replace(scene(bands), dtype=np.dtype(dtype), interleave=interleave)
        block = written(path, spec)
        with rasterio.open(path) as file:
            assert set(file.dtypes) == {dtype}
            assert file.profile.get("compress") is None
            np.testing.assert_array_equal(file.read(), block.astype(dtype))
            by_pixel = interleave == "bip" and bands == 4
            assert bands == 1 or file.interleaving.value == ("PIXEL" if by_pixel else "BAND")


@settings(max_examples=25, deadline=None)
@given(
    bands=st.integers(1, 70),
    rows=st.integers(1, 30),
    cols=st.integers(1, 30),
    tile=st.integers(1, 30),
    interleave=st.sampled_from(["bsq", "bip"]),
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    bands: int,
    rows: int,
    cols: int,
    tile: int,
    interleave: str,
) -> None:
    path = tmp_path_factory.mktemp("again") / "scene.tif"
    spec = replace(scene(bands, rows, cols), interleave=interleave)
    block = written(path, spec, tile)
    with open_cube(path) as cube:
        assert cube.spec.shape == spec.shape
        np.testing.assert_array_equal(cube.read(spec.window), block)


def test_big_endian_samples_are_written_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    block = written(path, replace(scene(), dtype=np.dtype(">f8")))
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), block)


@pytest.mark.parametrize("nodata", [-9999.0, 0.0, 0.1, float("nan"), float("inf"), -3.4e38])
def test_gdal_reads_the_no_data_value(tmp_path: Path, nodata: float) -> None:
    path = tmp_path / "scene.tif"
    spec = replace(scene(), dtype=np.dtype("float64"), nodata=nodata)
    block = numbers(spec) + 1
    block[1, 2, 3] = np.nan
    with create_cube(path, spec, "tiff") as writer:
        write_block(writer, spec.window, block)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.nodata, nodata)
        np.testing.assert_array_equal(file.read()[1, 2, 3], nodata)
        assert np.count_nonzero(file.read_masks() == 0) == 1


def test_gdal_reads_everything_about_the_bands(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    names = ("blue", "grün & <rot>", 'nah "IR"', "\x1bbad\ncharacters")
    spectrum = Spectrum((450.1, 550.25, 865.0, 2190.5), (5.5, 6.0, 20.25, 180.0), (True, False) * 2)
    spec = scene(
        band_names=names,
        spectrum=spectrum,
        gain=(0.5, 0.25, 2.0, 1.0),
        offset=(-3.0,),
        description="x8 of scène",
    )
    written(path, spec)
    with rasterio.open(path) as file:
        assert file.descriptions == (*names[:3], "bad\ncharacters")
        assert file.scales == (0.5, 0.25, 2.0, 1.0)
        assert file.offsets == (-3.0,) * 4
        assert file.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "x8 of scène"
        assert "TIFFTAG_SOFTWARE" not in file.tags()
        assert file.tags(ns="ENVI") == {
            "wavelength": "{450.1,550.25,865.0,2190.5}",
            "wavelength_units": "Nanometers",
            "fwhm": "{5.5,6.0,20.25,180.0}",
            "bbl": "{1,0,1,0}",
        }
        for band in range(4):
            tags, imagery = file.tags(band + 1), file.tags(band + 1, ns="IMAGERY")
            assert float(tags["wavelength"]) == spectrum.centres_nm[band]
            assert tags["wavelength_units"] == "Nanometers"
            assert tags["good_band"] == ("true" if band % 2 == 0 else "false")
            assert float(imagery["CENTRAL_WAVELENGTH_UM"]) * 1000 == pytest.approx(
                spectrum.centres_nm[band], rel=1e-12
            )
            assert float(imagery["FWHM_UM"]) * 1000 == pytest.approx(spectrum.widths_nm[band])
    with open_cube(path) as cube:
        assert cube.spec.spectrum == spectrum
        assert cube.spec.gain == spec.gain
        assert cube.spec.offset == spec.offset
        assert cube.spec.description == spec.description


def test_bands_without_names_are_named_by_their_wavelengths(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    written(path, scene(2, spectrum=Spectrum((450.1, 1650.0))))
    with rasterio.open(path) as file:
        assert file.descriptions == ("450.10 nm", "1650.00 nm")


def test_thousands_of_bands_keep_what_is_said_about_them(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    bands = 3000
    centres = tuple(400.0 + band * 0.7 for band in range(bands))
    spectrum = Spectrum(centres, (0.7123456,) * bands, (True,) * bands)
    gain = tuple(1.0 + band / 7 for band in range(bands))
    written(path, scene(bands, 2, 3, spectrum=spectrum, gain=gain, offset=(0.1,)))
    with open_cube(path) as cube:
        assert cube.spec.spectrum == spectrum
        assert cube.spec.gain == gain


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:4258", "EPSG:2154"])
def test_a_code_of_a_known_kind_is_written_as_geokeys(tmp_path: Path, crs: str) -> None:
    path = tmp_path / "scene.tif"
    written(path, scene(geo=Geo(PLACE, crs)))
    assert not (tmp_path / "scene.tif.aux.xml").exists()
    with rasterio.open(path) as file:
        assert file.crs == rasterio.CRS.from_string(crs)
        assert file.crs.to_epsg() == int(crs[5:])
        assert file.transform[:6] == PLACE


def test_codes_written_as_geokeys_are_of_the_kind_that_the_registry_says(tmp_path: Path) -> None:
    kinds = {1: "is_projected", 2: "is_geographic"}
    checked = 0
    for code in [*range(2000, 32767, 37), 3857]:
        keys = tiff_header.epsg_keys(f"EPSG:{code}")
        if keys is None:
            continue
        try:
            crs = rasterio.CRS.from_epsg(code)
        except rasterio.errors.CRSError:
            continue
        checked += 1
        assert getattr(crs, kinds[keys.code(1024)]), code
        assert keys.crs == f"EPSG:{code}"
    assert checked > 100


@pytest.mark.parametrize("crs", [WKT, "EPSG:3035", "EPSG:7844"])
def test_any_system_reaches_gdal_and_comes_back(tmp_path: Path, crs: str) -> None:
    path = tmp_path / "scene.tif"
    written(path, scene(geo=Geo(PLACE, crs)))
    with rasterio.open(path) as file:
        expected = 3035 if crs == WKT else int(crs[5:])
        assert file.crs.to_epsg(confidence_threshold=20) == expected
        assert file.transform[:6] == PLACE
    with open_cube(path) as cube:
        assert cube.spec.geo == Geo(PLACE, crs)
        assert set(cube.files) <= set(tiff.outputs(path))


def test_a_system_in_words_is_published_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    spec = scene(geo=Geo(PLACE, WKT))
    with create_cube(path, spec, "tiff") as writer:
        write_block(writer, spec.window, numbers(spec))
        assert not any(file.exists() for file in writer.files)
    assert writer.files == tiff.outputs(path) == (path, tmp_path / "scene.tif.aux.xml")
    assert ElementTree.parse(writer.files[1]).findtext("SRS") == WKT
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        file.name for file in writer.files
    ]


def test_a_side_file_of_an_older_file_does_not_survive(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    written(path, scene(geo=Geo(PLACE, WKT)))
    written(path, scene(geo=Geo(PLACE, "EPSG:32633")))
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32633
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]


def test_an_error_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    written(path, scene(geo=Geo(PLACE, WKT)))
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    writer = create_cube(path, scene(geo=Geo(PLACE)), "tiff")
    with contextlib.suppress(InterruptedError), writer:
        write_block(writer, Window(0, 0, 2, 2), np.zeros((4, 2, 2), np.float32))
        raise InterruptedError
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    spec = replace(scene(1, 2, 2), dtype=np.dtype("uint8"))
    with create_cube(path, spec, "tiff") as writer:
        block = np.array([[[-5, 0], [255, 300]]], np.float32)
        assert write_block(writer, spec.window, block) == 2
    with rasterio.open(path) as file:
        assert file.read().tolist() == [[[0, 0], [255, 255]]]


def test_what_a_tiff_cannot_hold_is_refused_before_any_work(tmp_path: Path) -> None:
    for spec in (replace(scene(), dtype=np.dtype("float16")), scene(70_000)):
        with pytest.raises(OutputError):
            create_cube(tmp_path / "scene.tif", spec, "tiff")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rows", "magic"), [(3_900_000, b"II*\0"), (3_900_001, b"II+\0")])
@pytest.mark.parametrize("interleave", ["bsq", "bip"])
def test_bigtiff_begins_where_classic_offsets_would_end(
    tmp_path: Path, rows: int, magic: bytes, interleave: str
) -> None:
    spec = CubeSpec(4, rows, 250, np.dtype("uint8"), interleave=interleave)
    header = tiff_header.render_header(spec)
    assert header[:4] == magic
    layout = RawLayout(tiff_header.stored_axes(spec), spec.shape, spec.dtype, len(header))
    path = tmp_path / "scene.tif"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(layout.file_size)
        for row, col, value in ((0, 0, b"\1\2\3\4"), (rows - 1, 249, b"\5\6\7\10")):
            [(_, _, offsets)] = layout.slabs(layout.box(Window(row, col, 1, 1)))
            size = 4 // len(offsets)
            for i, offset in enumerate(offsets):
                os.pwrite(file.fileno(), value[i * size : (i + 1) * size], offset)
    with rasterio.open(path) as file:
        first, last = ((0, 1), (0, 1)), ((rows - 1, rows), (249, 250))
        assert file.read(window=first).ravel().tolist() == [1, 2, 3, 4]
        assert file.read(window=last).ravel().tolist() == [5, 6, 7, 8]
    with open_cube(path) as cube:
        assert cube.read(Window(rows - 1, 249, 1, 1)).ravel().tolist() == [5, 6, 7, 8]


def test_a_file_ends_with_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    spec = scene()
    written(path, spec)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.dataoffsets[-1] + page.databytecounts[-1] == path.stat().st_size
        assert sum(page.databytecounts) == spec.nbytes


@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped"])
def test_a_result_does_not_tell_of_the_images_of_its_source(tmp_path: Path, kind: str) -> None:
    source, target = tmp_path / f"source.{kind}.tif", tmp_path / "target.tif"
    pixels = np.arange(4 * 6 * 5, dtype=np.uint16).reshape(4, 6, 5)
    order = {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}
    tifffile.imwrite(source, pixels, imagej=kind == "imagej", **order)
    with tifffile.TiffFile(source) as file:
        assert getattr(file, f"is_{kind}")
    with open_cube(source) as cube:
        spec = cube.spec.upscaled(2)
    written(target, spec)
    with tifffile.TiffFile(target) as file:
        assert not any((file.is_ome, file.is_imagej, file.is_shaped))
        assert file.series[0].shape == (4, 12, 10)
