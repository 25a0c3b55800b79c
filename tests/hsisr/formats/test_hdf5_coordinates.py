"""NetCDF files of other programs, which say by coordinates where pixels lie; GDAL is the judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import ArrayLike
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.env import Env

from hsisr.cube import CubeSpec, Geo
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube

with Env() as _environment:
    _DRIVERS = set(_environment.drivers())
by_gdal = pytest.mark.skipif("netCDF" not in _DRIVERS, reason="a rasterio without netCDF")

BANDS, ROWS, COLS = 3, 5, 7
UTM = CRS.from_epsg(32633).to_wkt()
METRES = {n: {"units": "m", "standard_name": f"projection_{n}_coordinate"} for n in "xy"}
DEGREES = {"lon": {"units": "degrees_east"}, "lat": {"units": "degrees_north"}}
EAST, NORTH = 400010 + 20.0 * np.arange(COLS), 5000000 - 20.0 * np.arange(ROWS)
NORTH_UP = Affine(20, 0, 400000, 0, -20, 5000010)
NOT_EVEN = "not evenly spaced"
VALUES = np.arange(BANDS * ROWS * COLS, dtype=np.float32).reshape(BANDS, ROWS, COLS)


def cf(
    path: Path,
    coordinates: Mapping[str, ArrayLike],
    attributes: Mapping[str, Mapping[str, object]],
    mapping: Mapping[str, str] | None = None,
    order: str = "BYX",
) -> Path:
    """A cube whose dimensions are `band` and those of `coordinates`, in columns and rows."""
    names = dict(zip("XY", coordinates, strict=True)) | {"B": "band"}
    with h5py.File(path, "w") as file:
        cube = file.create_dataset("cube", data=np.einsum(f"BYX->{order}", VALUES))
        for name, numbers in {**coordinates, "band": np.arange(BANDS)}.items():
            file[name] = numbers
            file[name].attrs.update(attributes.get(name, {}))
            file[name].make_scale(name)
        for axis, letter in enumerate(order):
            cube.dims[axis].attach_scale(file[names[letter]])
        if mapping is not None:
            cube.attrs["grid_mapping"] = "somewhere"
            file["somewhere"] = 0
            file["somewhere"].attrs["grid_mapping_name"] = "transverse_mercator"
            file["somewhere"].attrs.update(mapping)
    return path


def place(path: Path) -> Geo | None:
    with open_cube(path) as cube:
        return cube.spec.geo


def spectra(path: Path) -> np.ndarray:
    """What GDAL finds in the file where hsisr says that each of the pixels lies."""
    geo = place(path)
    assert geo is not None
    centres = [
        Affine(*geo.transform) @ (col + 0.5, row + 0.5)
        for row in range(ROWS)
        for col in range(COLS)
    ]
    with rasterio.open(path) as file:
        return np.array(list(file.sample(centres))).T.reshape(BANDS, ROWS, COLS)


@by_gdal
@pytest.mark.parametrize("north", [NORTH, NORTH[::-1]], ids=["north-up", "south-up"])
def test_pixels_lie_where_gdal_finds_them(tmp_path: Path, north: np.ndarray) -> None:
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": north}, METRES, {"crs_wkt": UTM})
    with rasterio.open(path) as file:
        # its first row is the northernmost, whatever the order in the file
        assert file.transform == NORTH_UP
    geo = place(path)
    assert geo is not None
    assert geo.crs == UTM
    assert geo.transform[0] == 20
    assert geo.transform[4] == north[1] - north[0]
    np.testing.assert_array_equal(spectra(path), VALUES)


@by_gdal
@pytest.mark.parametrize("bottom_up", ["YES", "NO"])
def test_what_gdal_writes_is_not_turned_over(tmp_path: Path, bottom_up: str) -> None:
    spec = CubeSpec(BANDS, ROWS, COLS, np.dtype("f4"), geo=Geo(tuple(NORTH_UP)[:6], "EPSG:32633"))
    with create_cube(tmp_path / "s.nc", spec, "hdf5") as writer:
        write_block(writer, spec.window, VALUES)
    copy = tmp_path / "copy.nc"
    rasterio.shutil.copy(
        tmp_path / "s.nc", copy, driver="netCDF", FORMAT="NC4", WRITE_BOTTOMUP=bottom_up
    )
    with open_cube(copy) as cube:
        block = cube.read(cube.spec.window)
    geo = place(copy)
    assert geo is not None
    # all digits of the transform that GDAL tells, beside which it writes the rows in either order
    assert geo.transform[4] == (20 if bottom_up == "YES" else -20)
    assert {y for _, y in geo.corners(ROWS, COLS)} == {5000010, 4999910}
    assert "-0.0" not in repr(geo.transform)
    np.testing.assert_array_equal(block, spectra(copy))


@by_gdal
@pytest.mark.parametrize("corner", ["300000.0 20.0 0.0 5100000.0", "400010.0 20.0 0.0 5000000.0"])
def test_coordinates_are_believed_rather_than_a_transform(tmp_path: Path, corner: str) -> None:
    told = {"crs_wkt": UTM, "spatial_ref": UTM, "GeoTransform": f"{corner} 0.0 -20.0"}
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": NORTH}, METRES, told)
    assert place(path) == Geo(tuple(NORTH_UP)[:6], UTM)
    with rasterio.open(path) as file:
        assert file.transform == NORTH_UP


def test_coordinates_without_units_are_those_of_the_system_that_is_told(tmp_path: Path) -> None:
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": NORTH}, {}, {"crs_wkt": UTM})
    assert place(path) == Geo(tuple(NORTH_UP)[:6], UTM)


def test_the_order_of_the_axes_does_not_matter(tmp_path: Path) -> None:
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": NORTH}, METRES, {"crs_wkt": UTM}, "YXB")
    assert place(path) == Geo(tuple(NORTH_UP)[:6], UTM)


def test_coordinates_of_few_digits_are_even(tmp_path: Path) -> None:
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": np.float32(NORTH + 0.3)}, METRES)
    geo = place(path)
    assert geo is not None
    np.testing.assert_allclose(geo.transform, tuple(NORTH_UP)[:6], rtol=0, atol=1)


@by_gdal
def test_degrees_without_a_datum_are_taken_as_of_wgs_84(tmp_path: Path) -> None:
    degrees = {"lon": 11 + 0.25 * np.arange(COLS), "lat": 48 - 0.5 * np.arange(ROWS)}
    path = cf(tmp_path / "s.nc", degrees, DEGREES)
    with open_cube(path) as cube:
        assert any("WGS 84" in note for note in cube.notes)
    with rasterio.open(path) as file:
        assert place(path) == Geo(tuple(file.transform)[:6], "EPSG:4326")


def test_degrees_of_a_datum_that_is_told_keep_it(tmp_path: Path) -> None:
    nad = CRS.from_epsg(4269).to_wkt()
    degrees = {"lon": 11 + 0.25 * np.arange(COLS), "lat": 48 - 0.5 * np.arange(ROWS)}
    path = cf(tmp_path / "s.nc", degrees, DEGREES, {"spatial_ref": nad})
    assert place(path) == Geo((0.25, 0, 10.875, 0, -0.5, 48.25), nad)
    with open_cube(path) as cube:
        assert not any("WGS 84" in note for note in cube.notes)


@pytest.mark.parametrize("last", [5e6, 5e6 - 77, np.nan, np.inf, -1.7e308])
@pytest.mark.parametrize("mapping", [{"crs_wkt": UTM}, None])
def test_rows_that_are_not_evenly_spaced_have_no_place(
    tmp_path: Path, mapping: Mapping[str, str] | None, last: float
) -> None:
    uneven = np.array([*NORTH[:-1], last])
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": uneven}, METRES, mapping)
    with open_cube(path) as cube:
        assert cube.spec.geo is None
        assert any(NOT_EVEN in note for note in cube.notes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"x": {"units": "1"}, "y": {"units": "1"}},
        {"x": {"units": "km"}, "y": {"units": "km"}},
        {"x": {"units": "m"}, "y": {"units": "degrees_north"}},
        {name: {"units": "m", "scale_factor": 0.1} for name in "xy"},
    ],
)
def test_numbers_that_are_no_positions_place_nothing(
    tmp_path: Path, attributes: Mapping[str, Mapping[str, object]]
) -> None:
    path = cf(tmp_path / "s.nc", {"x": EAST, "y": NORTH}, attributes)
    with open_cube(path) as cube:
        assert cube.spec.geo is None
        assert not any(NOT_EVEN in note for note in cube.notes)


def test_coordinates_that_only_count_do_not_replace_a_transform(tmp_path: Path) -> None:
    told = {"spatial_ref": UTM, "GeoTransform": "400000.0 20.0 0.0 5000010.0 0.0 -20.0 "}
    counted = {"easting": np.arange(COLS), "northing": np.arange(ROWS)}
    path = cf(tmp_path / "s.nc", counted, {}, told)
    assert place(path) == Geo(tuple(NORTH_UP)[:6], UTM)
