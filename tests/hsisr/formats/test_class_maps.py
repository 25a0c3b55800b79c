"""Maps of classes have names and colours in the programs that people open them with."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import spectral
import tifffile
from numpy.typing import NDArray
from rasterio.warp import transform

from hsisr.cube import Class, CubeSpec, Geo
from hsisr.encoding import write_block
from hsisr.errors import InputError
from hsisr.formats import create_cube, open_cube
from hsisr.results.export import write_endmembers
from hsisr.results.palette import classes, colours
from tests.hsisr.formats.test_tiff_writing import WKT

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

NAMES = ["none", "water, deep", "oak {old} & soil", "rök"]
COLOURS = [(0, 0, 0), (0, 114, 178), (230, 159, 255), (1, 2, 3)]
CLASSES = [Class(name, colour) for name, colour in zip(NAMES, COLOURS, strict=True)]
PLACE = (30.0, 0.0, 500_000.0, 0.0, -30.0, 4_600_020.0)


def written(path: Path, format_name: str, crs: str | None = "EPSG:32633") -> NDArray[np.uint8]:
    geo = Geo(PLACE, crs) if crs else None
    scene = CubeSpec(30, 9, 7, np.dtype(np.int16), geo=geo, interleave="bil")
    spec = scene.classified(CLASSES, description="dominant endmember")
    values = np.random.default_rng(0).integers(0, 4, (1, 9, 7), np.uint8)
    with create_cube(path, spec, format_name) as writer:
        # what is no data and what is of no class is stored alike
        block = np.where(values + np.eye(9, 7), values, np.nan)
        write_block(writer, spec.window, block.astype(np.float32))
    return values


def names_by_gdal(path: Path) -> list[str | None]:
    """As GDAL tells them in the description of a virtual raster."""
    rasterio.shutil.copy(path, path.with_suffix(".vrt"), driver="VRT")
    described = ElementTree.parse(path.with_suffix(".vrt"))
    return [category.text for category in described.iter("Category")]


@pytest.mark.parametrize("crs", ["EPSG:32633", WKT], ids=["code", "wkt"])
@pytest.mark.parametrize(("format_name", "file"), [("envi", "class.img"), ("tiff", "class.tif")])
def test_gdal_reads_classes_with_colours_and_names(
    tmp_path: Path, format_name: str, file: str, crs: str
) -> None:
    values = written(tmp_path / file, format_name, crs)
    with rasterio.open(tmp_path / file) as found:
        np.testing.assert_array_equal(found.read(), values)
        assert found.dtypes == ("uint8",)
        assert found.nodata == 0
        assert found.colorinterp == (rasterio.enums.ColorInterp.palette,)
        colours = [found.colormap(1)[value][:3] for value in range(len(COLOURS))]
        places = (
            transform(system, "EPSG:4326", [PLACE[2]], [PLACE[5]]) for system in (found.crs, crs)
        )
        np.testing.assert_allclose(*places, rtol=1e-9)
        assert found.transform[:6] == (PLACE[0], PLACE[1], PLACE[2], PLACE[3], PLACE[4], PLACE[5])
    assert colours == COLOURS
    plain = ["none", "water; deep", "oak (old) & soil", "rök"]
    assert names_by_gdal(tmp_path / file) == (plain if format_name == "envi" else NAMES)


def test_spectral_reads_an_envi_classification(tmp_path: Path) -> None:
    values = written(tmp_path / "class.img", "envi")
    found = spectral.open_image(str(tmp_path / "class.hdr"))
    np.testing.assert_array_equal(found.read_band(0), values[0])
    assert found.metadata["file type"] == "ENVI Classification"
    assert found.metadata["classes"] == "4"
    assert found.metadata["class names"] == ["none", "water; deep", "oak (old) & soil", "rök"]
    assert list(map(int, found.metadata["class lookup"])) == np.ravel(COLOURS).tolist()
    assert found.metadata["band names"] == ["class"]


def test_tifffile_reads_the_colours_of_a_palette(tmp_path: Path) -> None:
    values = written(tmp_path / "class.tif", "tiff")
    with tifffile.TiffFile(tmp_path / "class.tif") as found:
        page = found.pages.first
        assert page.photometric == tifffile.PHOTOMETRIC.PALETTE
        np.testing.assert_array_equal(page.colormap[:, :4] / 257, np.transpose(COLOURS))
        np.testing.assert_array_equal(page.asarray(), values[0])


@pytest.mark.parametrize(("format_name", "file"), [("envi", "many.img"), ("tiff", "many.tif")])
def test_more_classes_than_a_byte_counts_are_words(
    tmp_path: Path, format_name: str, file: str
) -> None:
    spec = CubeSpec(4, 2, 200, np.dtype(np.float32)).classified(classes(["rock"] * 399))
    values = np.arange(400).reshape(1, 2, 200)
    with create_cube(tmp_path / file, spec, format_name) as writer:
        write_block(writer, spec.window, values.astype(np.float32))
    with rasterio.open(tmp_path / file) as found:
        assert found.dtypes == ("uint16",)
        np.testing.assert_array_equal(found.read(), values)
        assert found.colormap(1)[399][:3] == colours(399)[-1]
    assert len(names_by_gdal(tmp_path / file)) == 400


def test_without_a_place_on_the_map_names_stay(tmp_path: Path) -> None:
    written(tmp_path / "class.tif", "tiff", crs=None)
    assert names_by_gdal(tmp_path / "class.tif") == NAMES


def test_other_formats_hold_plain_bytes(tmp_path: Path) -> None:
    values = written(tmp_path / "class.npy", "npy")
    found = np.load(tmp_path / "class.npy")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(np.squeeze(found), values[0])


def test_other_maps_of_the_same_grid_have_no_classes(tmp_path: Path) -> None:
    scene = CubeSpec(3, 4, 5, np.dtype(np.int16))
    again = scene.classified(CLASSES).with_bands(["a", "b"])
    with create_cube(tmp_path / "a.img", again, "envi") as writer:
        write_block(writer, again.window, np.zeros(again.shape, np.float32))
    header = (tmp_path / "a.hdr").read_text()
    assert "ENVI Standard" in header
    assert "class" not in header


@pytest.mark.parametrize(("name", "kind"), [("class.img", "envi"), ("class.tif", "tiff")])
def test_read_as_a_scene_a_map_of_classes_is_called_so(
    tmp_path: Path, name: str, kind: str
) -> None:
    written(tmp_path / name, kind)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / name)
    assert "a map of classes" in (caught.value.hint or "")


def test_read_as_a_scene_a_library_of_spectra_is_called_so(tmp_path: Path) -> None:
    write_endmembers(tmp_path / "materials", np.ones((2, 5), np.float32), None)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "materials.hdr")
    assert "--library" in (caught.value.hint or "")
