"""Plain HDF5 files as NetCDF: what GDAL and h5py see in them, and hsisr again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.env import Env

from hsisr.cube import CubeSpec, Geo, Spectrum
from hsisr.formats import create_cube, open_cube
from hsisr.formats._epsg import epsg_wkt
from hsisr.formats._variables import Origin
from hsisr.formats.hdf5.wkt import cf_mapping
from hsisr.window import Window

with Env() as _environment:
    _DRIVERS = set(_environment.drivers())
by_gdal = pytest.mark.skipif("netCDF" not in _DRIVERS, reason="a rasterio without netCDF")

CENTRES = (400.0, 500.5, 600.0, 700.0)
NORTH_UP = (2.0, 0.0, 500000.0, 0.0, -2.0, 4000000.0)
SOUTH_UP = (2.0, 0.0, 500000.0, 0.0, 2.0, 4000000.0)
ROTATED = (2.0, 1.0, 500000.0, 1.0, -2.0, 4000000.0)
SPEC = CubeSpec(
    4,
    5,
    6,
    np.dtype(np.int16),
    nodata=-9999.0,
    gain=(0.0001,),
    spectrum=Spectrum(CENTRES, (8.0, 8.5, 9.0, 9.5), (True, True, False, True)),
    geo=Geo(NORTH_UP, "EPSG:32633"),
    band_names=("a", "b", "c", "d\N{LATIN SMALL LETTER E WITH ACUTE}"),
    description="two\nlines",
    native=Origin("cube"),
)
PLAIN = CubeSpec(4, 5, 6, np.dtype(np.float32), native=Origin("cube"))


def written(path: Path, spec: CubeSpec) -> np.ndarray:
    """A cube of numbers that differ everywhere, one of which is missing, at `path`."""
    stored = np.arange(np.prod(spec.shape)).reshape(spec.shape).astype(spec.dtype)
    if spec.nodata is not None:
        stored[:, 1, 2] = spec.nodata
    with create_cube(path, spec, "hdf5") as writer:
        writer.store(spec.window, stored)
    return stored


@by_gdal
def test_gdal_sees_all_of_a_cube(tmp_path: Path) -> None:
    stored = written(tmp_path / "s.nc", SPEC)
    with rasterio.open(tmp_path / "s.nc") as file:
        assert (file.driver, file.count, file.shape) == ("netCDF", 4, (5, 6))
        assert file.subdatasets == []
        assert file.transform == Affine(*NORTH_UP)
        assert file.crs.to_epsg() == 32633
        assert file.nodata == -9999
        assert file.scales == (0.0001,) * 4
        centres = [float(file.tags(band)["NETCDF_DIM_wavelength"]) for band in (1, 2, 3, 4)]
        assert centres == list(CENTRES)
        assert file.tags()["wavelength#units"] == "nm"
        np.testing.assert_array_equal(file.read(), stored)


@by_gdal
def test_gdal_sees_each_spectrum_of_a_grid_with_south_up_where_it_lies(tmp_path: Path) -> None:
    stored = written(tmp_path / "s.nc", replace(SPEC, geo=Geo(SOUTH_UP, "EPSG:32633")))
    with rasterio.open(tmp_path / "s.nc") as file:
        places = [
            Affine(*SOUTH_UP) @ (col + 0.5, row + 0.5) for row in range(5) for col in range(6)
        ]
        found = np.array(list(file.sample(places)))
    np.testing.assert_array_equal(found, stored.reshape(4, -1).T)


@by_gdal
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:2154", None])
def test_gdal_places_a_rotated_grid(tmp_path: Path, crs: str | None) -> None:
    stored = written(tmp_path / "s.nc", replace(SPEC, geo=Geo(ROTATED, crs)))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert file.transform == Affine(*ROTATED)
        assert file.crs.to_epsg() == (32633 if crs == "EPSG:32633" else None)
        np.testing.assert_array_equal(file.read(), stored)


@by_gdal
@pytest.mark.parametrize(
    ("code", "version", "units"),
    [
        (32733, "WKT1_GDAL", "m"),
        (32733, "WKT1_ESRI", "m"),
        (3035, "WKT2_2019", "m"),
        (2229, "WKT1_GDAL", "US_survey_foot"),
        (2229, "WKT2_2019", "US_survey_foot"),
        (4326, "WKT1_GDAL", "degrees_north"),
        (4326, "WKT2_2019", "degrees_north"),
    ],
)
def test_a_system_told_by_wkt_is_that_of_gdal(
    tmp_path: Path, code: int, version: str, units: str
) -> None:
    wkt = CRS.from_epsg(code).to_wkt(version=version)
    geo = Geo((0.5, 0.0, 10.0, 0.0, -0.5, 50.0), wkt)
    written(tmp_path / "s.nc", replace(SPEC, geo=geo))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert file.crs == CRS.from_wkt(wkt)
        assert file.transform == Affine(*geo.transform)
    with h5py.File(tmp_path / "s.nc") as file:
        assert file["y"].attrs["units"].decode() == units
    with open_cube(tmp_path / "s.nc") as cube:
        assert cube.spec.geo == geo


@by_gdal
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT1_ESRI", "WKT2_2019"])
@pytest.mark.parametrize(
    ("code", "ellipsoid"),
    [(32611, "WGS84"), (32733, "WGS84"), (27700, "airy"), (4326, "WGS84"), (4269, "GRS80")],
)
def test_the_attributes_of_cf_alone_tell_the_same_projection(
    tmp_path: Path, code: int, ellipsoid: str, version: str
) -> None:
    system = CRS.from_epsg(code)
    wkt = system.to_wkt(version=version)
    written(tmp_path / "s.nc", replace(SPEC, geo=Geo(NORTH_UP, wkt)))
    with h5py.File(tmp_path / "s.nc", "r+") as file:
        for name in ("crs_wkt", "spatial_ref", "GeoTransform"):
            del file["spatial_ref"].attrs[name]
    with rasterio.open(tmp_path / "s.nc") as file:
        found = file.crs.to_dict()
    assert found["ellps"] == ellipsoid
    # CF knows ellipsoids, no datums
    assert found | {"datum": ""} == system.to_dict() | {"ellps": ellipsoid, "datum": ""}


@pytest.mark.parametrize("code", [3035, 3857])
def test_other_projections_have_no_attributes_of_cf(code: int) -> None:
    assert cf_mapping(CRS.from_epsg(code).to_wkt()) == {}


@by_gdal
def test_gdal_has_coordinates_in_a_system_that_only_the_registry_knows(tmp_path: Path) -> None:
    written(tmp_path / "s.nc", replace(SPEC, geo=Geo(NORTH_UP, "EPSG:2154")))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert file.transform == Affine(*NORTH_UP)
        assert file.crs is None


@by_gdal
@pytest.mark.parametrize("bands", [4, 1])
def test_gdal_shows_a_scene_without_a_map_the_right_way_up(tmp_path: Path, bands: int) -> None:
    stored = written(tmp_path / "s.nc", replace(PLAIN, bands=bands))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert file.crs is None
        assert file.transform == Affine(1, 0, 0, 0, -1, 0)
        assert file.nodata is None
        np.testing.assert_array_equal(file.read(), stored)


@by_gdal
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_gdal_reads_numbers_of_every_type(tmp_path: Path, dtype: str) -> None:
    stored = written(tmp_path / "s.nc", replace(SPEC, dtype=np.dtype(dtype), nodata=7))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert file.nodata == 7
        np.testing.assert_array_equal(file.read(), stored)


@by_gdal
def test_gdal_reads_holes_in_floating_point_numbers(tmp_path: Path) -> None:
    stored = written(tmp_path / "s.nc", replace(SPEC, dtype=np.dtype("f4"), nodata=float("nan")))
    with rasterio.open(tmp_path / "s.nc") as file:
        assert np.isnan(file.nodata)
        np.testing.assert_array_equal(file.read(), stored)
    with open_cube(tmp_path / "s.nc") as cube:
        assert np.isnan(cube.read(Window(1, 2, 1, 1))).all()
        assert np.isfinite(cube.read(Window(0, 0, 1, 6))).all()


@pytest.mark.skipif("HDF5" not in _DRIVERS, reason="a rasterio without HDF5")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_sees_the_bands_of_a_file_not_called_netcdf(tmp_path: Path) -> None:
    stored = written(tmp_path / "s.h5", SPEC)
    with rasterio.open(tmp_path / "s.h5") as file:
        assert file.nodata == -9999
        np.testing.assert_array_equal(file.read(), stored)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        PLAIN,
        replace(SPEC, geo=Geo(SOUTH_UP, "EPSG:32633")),
        replace(SPEC, geo=Geo(ROTATED, "EPSG:2154")),
        replace(SPEC, geo=Geo(ROTATED)),
        replace(SPEC, geo=Geo(NORTH_UP)),
        replace(SPEC, geo=None, spectrum=None),
        replace(SPEC, gain=(0.1, 0.2, 0.3, 0.4), offset=(5.0,)),
        replace(SPEC, gain=None, offset=(1.0, 2.0, 3.0, 4.0)),
        replace(SPEC, gain=(2.0,), offset=(-1.0,)),
        replace(SPEC, spectrum=Spectrum((400.0, 600.0, 500.0, 700.0))),
        replace(SPEC, spectrum=Spectrum((400.0, 500.0, 500.0, 700.0))),
        replace(SPEC, spectrum=Spectrum(CENTRES[::-1], None, (False,) * 4)),
        replace(SPEC, bands=1, spectrum=Spectrum((650.0,)), band_names=("red",)),
        replace(SPEC, rows=4, cols=4),
        replace(SPEC, dtype=np.dtype("u1"), nodata=300.5),
        replace(SPEC, native=Origin("reflectance")),
    ],
)
@pytest.mark.parametrize("name", ["s.nc", "s.he5"])
def test_everything_comes_back(tmp_path: Path, name: str, spec: CubeSpec) -> None:
    with create_cube(tmp_path / name, spec, "hdf5") as writer:
        writer.store(spec.window, np.ones(spec.shape, spec.dtype))
    with open_cube(tmp_path / name) as cube:
        assert cube.spec == spec
        assert not any("taken as" in note for note in cube.notes)


def test_one_factor_for_each_band_is_one_for_all_where_they_are_equal(tmp_path: Path) -> None:
    written(tmp_path / "s.nc", replace(SPEC, gain=(0.5,) * 4))
    with h5py.File(tmp_path / "s.nc") as file:
        assert file["cube"].attrs["scale_factor"] == 0.5


@pytest.mark.parametrize("name", ["x", "band", "spatial_ref"])
def test_a_cube_is_not_called_as_what_describes_it(tmp_path: Path, name: str) -> None:
    stored = written(tmp_path / "s.nc", replace(SPEC, native=Origin(name)))
    with h5py.File(tmp_path / "s.nc") as file:
        np.testing.assert_array_equal(file["cube"], stored)


def test_a_description_of_which_a_file_can_hold_nothing_is_none(tmp_path: Path) -> None:
    written(tmp_path / "s.nc", replace(SPEC, description="\0"))
    with open_cube(tmp_path / "s.nc") as cube:
        assert cube.spec == replace(SPEC, description=None)


def test_a_file_without_dimensions_as_hsisr_wrote_it_before_is_read(tmp_path: Path) -> None:
    stored = np.arange(120, dtype=np.int16).reshape(5, 6, 4)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        attributes = file.create_dataset("cube", data=stored).attrs
        attributes["wavelength"] = CENTRES
        attributes["fwhm"] = SPEC.spectrum.widths_nm
        attributes["good_wavelengths"] = [1.0, 1.0, 0.0, 1.0]
        attributes["scale_factor"] = (0.0001,)
        attributes["transform"] = NORTH_UP
        attributes["crs"] = np.bytes_("EPSG:32633")
        attributes["fill_value"] = (-9999.0,)
        attributes["_FillValue"] = np.int16(-9999)
        attributes["band_names"] = np.bytes_("\n".join(SPEC.band_names).encode())
        attributes["description"] = np.bytes_("two\nlines")
    with open_cube(tmp_path / "s.h5") as cube:
        assert cube.spec == replace(SPEC, interleave="bip")
        block = cube.read(cube.spec.window)
    np.testing.assert_allclose(block, stored.transpose(2, 0, 1) * 0.0001, rtol=1e-6)


@pytest.mark.parametrize("geo", [SPEC.geo, Geo(ROTATED), None])
def test_a_resumed_file_is_that_of_a_run_without_a_break(tmp_path: Path, geo: Geo | None) -> None:
    spec = replace(SPEC, geo=geo)
    stored = written(tmp_path / "whole.nc", spec)
    upper, lower = Window(0, 0, 2, 6), Window(2, 0, 3, 6)
    with create_cube(tmp_path / "s.nc", spec, "hdf5") as writer:
        writer.keep()
        writer.store(upper, stored[:, :2])
    with create_cube(tmp_path / "s.nc", spec, "hdf5", resume=True) as writer:
        assert writer.resumed
        writer.store(lower, stored[:, 2:])
    assert (tmp_path / "s.nc").read_bytes() == (tmp_path / "whole.nc").read_bytes()


CODES = [*range(32601, 32661), *range(32701, 32761), *range(25828, 25839), *range(26901, 26924)]


@pytest.mark.parametrize("code", [4326, 4258, 4269, *CODES])
def test_the_wkt_of_a_code_is_that_of_the_registry(code: int) -> None:
    assert CRS.from_wkt(epsg_wkt(code)) == CRS.from_epsg(code)
    without_codes = re.sub(r',AUTHORITY\["EPSG","\d+"\]', "", epsg_wkt(code))
    assert CRS.from_wkt(without_codes).to_epsg() == code


@pytest.mark.parametrize("code", [32600, 32661, 32700, 32761, 25827, 26924, 2154, 4979, 0])
def test_other_codes_have_no_wkt(code: int) -> None:
    assert epsg_wkt(code) == ""
