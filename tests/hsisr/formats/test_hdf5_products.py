"""Products of EMIT, AVIRIS-3 and -5 and Tanager: files of the same structure, made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio import Affine

from hsisr.cube import Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube

BANDS, ROWS, COLS = 4, 6, 5
CENTRES, WIDTHS = np.float32([381.5, 700.25, 1400, 2493]), np.float32([8.5, 8.25, 9, 9.5])
GOOD = np.uint8([1, 1, 0, 1])
NM = tuple(map(float, CENTRES)), tuple(map(float, WIDTHS))
UTM = (
    'PROJCS["WGS 84 / UTM zone 11N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,'
    '298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
    'PARAMETER["central_meridian",-117],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1],'
    'AUTHORITY["EPSG","32611"]]'
)
SWATH = "in the geometry of the sensor"


def values(order: str) -> np.ndarray:
    """Reflectances, one of which is missing."""
    block = np.random.default_rng(4).random((BANDS, ROWS, COLS), np.float32)
    block[:, 1, 2] = -9999
    return np.einsum(f"BYX->{order}", block)


def with_dimensions(
    file: h5py.File, dataset: h5py.Dataset, names: Sequence[str], lengths: Sequence[int]
) -> None:
    """What netCDF-4 leaves of dimensions without a variable: data sets that are never written."""
    for axis, (name, length) in enumerate(zip(names, lengths, strict=True)):
        if name not in file:
            file.create_dataset(name, (length,), ">f4")
            said = f"This is a netCDF dimension but not a netCDF variable.{length:>11}"
            file[name].make_scale(said)
        dataset.dims[axis].attach_scale(file[name])


def emit(path: Path) -> np.ndarray:
    """EMIT's level 2A: a swath, and the map that its lookup table leads to."""
    stored = values("YXB")
    with h5py.File(path, "w") as file:
        file.attrs["geotransform"] = [-120.1, 0.00054, 0, 35.2, 0, -0.00054]
        file.attrs["spatial_ref"] = 'GEOGCS["WGS 84"]'
        cube = file.create_dataset("reflectance", data=stored)
        cube.attrs["_FillValue"] = np.float32([-9999])
        with_dimensions(file, cube, ("downtrack", "crosstrack", "bands"), stored.shape)
        group = file.create_group("sensor_band_parameters")
        spectrum = {"wavelengths": CENTRES, "fwhm": WIDTHS, "good_wavelengths": GOOD}
        for name, numbers in spectrum.items():
            group[name] = numbers
            group[name].attrs["units"] = "nm"
            group[name].dims[0].attach_scale(file["bands"])
        for name in ("lat", "lon", "elev"):
            file[f"location/{name}"] = np.zeros((ROWS, COLS))
        for name in ("glt_x", "glt_y"):
            file[f"location/{name}"] = np.ones((ROWS + 3, COLS + 4), np.int32)
    return stored


def aviris(path: Path, kind: str, table: tuple[int, int] | None) -> np.ndarray:
    """AVIRIS-3 and -5: bands first, in a group of their own; a lookup table beside raw lines."""
    stored = values("BYX")
    with h5py.File(path, "w") as file:
        mapping = file.create_dataset("transverse_mercator", data=np.bytes_(""))
        mapping.attrs["GeoTransform"] = "500000.0 5.0 0.0 3800000.0 0.0 -5.0 "
        mapping.attrs["spatial_ref"] = UTM
        group = file.create_group(kind)
        group["wavelength"], group["fwhm"] = CENTRES, WIDTHS
        group["wavelength"].attrs["units"] = group["fwhm"].attrs["units"] = "nm"
        group["wavelength"].make_scale("wavelength")
        cube = group.create_dataset(kind, data=stored, chunks=(2, 3, 5), compression="gzip")
        cube.attrs["_FillValue"] = np.float32(-9999)
        cube.dims[0].attach_scale(group["wavelength"])
        for axis, name in enumerate(("lines", "samples") if table else ("northing", "easting"), 1):
            file.create_dataset(name, data=np.arange(stored.shape[axis]))
            file[name].make_scale(name)
            cube.dims[axis].attach_scale(file[name])
        if table:
            for name in ("line", "sample"):
                file[f"geolocation_lookup_table/{name}"] = np.ones(table, np.int32)
    return stored


def tanager(path: Path, structure: str, name: str = "surface_reflectance") -> np.ndarray:
    """Planet's Tanager: all that is said of bands in attributes, of the grid in one text."""
    stored = values("BYX")
    with h5py.File(path, "w") as file:
        fields = file.create_group(f"HDFEOS/{structure}/HYP/Data Fields")
        cube = fields.create_dataset(name, data=stored)
        fields[f"{name}_uncertainty"] = stored
        fields["nodata_pixels"] = np.zeros((ROWS, COLS), np.uint8)
        cube.attrs.update({"wavelengths": CENTRES, "fwhm": WIDTHS, "good_wavelengths": GOOD})
        cube.attrs.update({"wavelengths_units": "nm", "_FillValue": np.float32(-9999)})
        file[f"HDFEOS/{structure}/HYP"].attrs["epsg_code"] = 32734
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(GRIDS)
    return stored


GRIDS = f"""GROUP=SwathStructure
END_GROUP=SwathStructure
GROUP=GridStructure
	GROUP=GRID_1
		GridName="OTHER"
		XDim={COLS}
		YDim={ROWS}
		UpperLeftPointMtrs=(1.000000,2.000000)
		LowerRightMtrs=(3.000000,4.000000)
		Projection=HE5_GCTP_UTM
	END_GROUP=GRID_1
	GROUP=GRID_2
		GridName="HYP"
		XDim={COLS}
		YDim={ROWS}
		UpperLeftPointMtrs=(500010.000000,6200000.000000)
		LowerRightMtrs=(500160.000000,6199820.000000)
		Projection=HE5_GCTP_UTM
		ZoneCode=-34
		GridOrigin=HE5_HDFE_GD_UL
	END_GROUP=GRID_2
END_GROUP=GridStructure
END
"""


def pace(path: Path) -> np.ndarray:
    """PACE's level 2: packed, and beside its wavelengths those of all bands of the sensor."""
    stored = np.int16(values("YXB") * 10_000).clip(0)
    with h5py.File(path, "w") as file:
        cube = file.create_dataset("geophysical_data/Rrs", data=stored)
        cube.attrs.update({"scale_factor": np.float32(2e-6), "add_offset": np.float32(0.05)})
        cube.attrs.update({"_FillValue": np.int16(-32767), "units": np.bytes_("sr^-1")})
        bands = file.create_group("sensor_band_parameters")
        bands["wavelength"], bands["wavelength_3d"] = np.arange(286) + 300.0, CENTRES
        bands["wavelength_3d"].attrs["units"] = "nm"
        bands["wavelength_3d"].make_scale("wavelength_3d")
        with_dimensions(file, cube, ("number_of_lines", "pixels_per_line"), (ROWS, COLS))
        cube.dims[2].attach_scale(bands["wavelength_3d"])
        for name in ("latitude", "longitude"):
            file[f"navigation_data/{name}"] = np.zeros((ROWS, COLS), np.float32)
    return stored


def hypso(path: Path) -> np.ndarray:
    """HYPSO's level 1: wavelengths are an attribute of the radiance, which has units of its own."""
    stored = np.uint16(values("YXB").clip(0) * 10_000)
    with h5py.File(path, "w") as file:
        cube = file.create_dataset("products/Lt", data=stored)
        cube.attrs.update({"wavelengths": CENTRES, "units": "W/m^2/micrometer/sr"})
        with_dimensions(file, cube, ("lines", "samples", "bands"), stored.shape)
        for name in ("latitude", "longitude"):
            file[f"navigation/{name}"] = np.zeros((ROWS, COLS), np.float32)
    return stored


@pytest.mark.parametrize("make", [pace, hypso])
def test_swaths_that_tell_the_place_of_each_pixel_have_a_spectrum(
    tmp_path: Path, make: Callable[[Path], np.ndarray]
) -> None:
    stored = make(tmp_path / "s.nc")
    gain, offset = (2e-6, 0.05) if make is pace else (1, 0)
    with open_cube(tmp_path / "s.nc") as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.spectrum == Spectrum(NM[0])
        assert cube.spec.geo is None
        assert any(SWATH in note for note in cube.notes)
    np.testing.assert_allclose(block, stored.transpose(2, 0, 1) * gain + offset, rtol=1e-6)


def missing(stored: np.ndarray) -> np.ndarray:
    return np.where(stored == -9999, np.nan, stored)


def test_emit_is_a_swath_with_its_spectrum_and_bad_bands(tmp_path: Path) -> None:
    stored = emit(tmp_path / "EMIT_L2A_RFL.nc")
    with open_cube(tmp_path / "EMIT_L2A_RFL.nc") as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.spectrum == Spectrum(*NM, (True, True, False, True))
        assert cube.spec.geo is None
        assert any(SWATH in note for note in cube.notes)
    np.testing.assert_array_equal(block, missing(stored).transpose(2, 0, 1))


def test_emit_radiance_has_no_bad_bands(tmp_path: Path) -> None:
    path = tmp_path / "EMIT_L1B_RAD.nc"
    emit(path)
    with h5py.File(path, "r+") as file:
        file.move("reflectance", "radiance")
        del file["sensor_band_parameters/good_wavelengths"]
    with open_cube(path) as cube:
        assert cube.spec.spectrum == Spectrum(*NM)


@pytest.mark.parametrize("table", [None, (ROWS, COLS)])
def test_an_orthorectified_line_of_aviris_is_on_the_map(
    tmp_path: Path, table: tuple[int, int] | None
) -> None:
    path = tmp_path / "AV3_RFL_ORT.nc"
    stored = aviris(path, "reflectance", table)
    with open_cube(path) as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.geo == Geo((5, 0, 500000, 0, -5, 3800000), UTM)
        assert cube.spec.spectrum == Spectrum(*NM)
        assert not any(SWATH in note for note in cube.notes)
    np.testing.assert_array_equal(block, missing(stored))


def test_a_raw_line_of_aviris_is_not_where_its_lookup_table_leads(tmp_path: Path) -> None:
    path = tmp_path / "AV5_RDN.nc"
    stored = aviris(path, "radiance", (ROWS + 7, COLS + 6))
    with open_cube(path) as cube:
        assert cube.spec.geo is None
        assert any(SWATH in note for note in cube.notes)
        np.testing.assert_array_equal(cube.read(cube.spec.window), missing(stored))


@pytest.mark.parametrize(("name", "format_name"), [("s.tif", "tiff"), ("s.nc", "hdf5")])
def test_the_map_of_aviris_is_written_for_gdal_to_read(
    tmp_path: Path, name: str, format_name: str
) -> None:
    stored = aviris(tmp_path / "AV3_RFL_ORT.nc", "reflectance", None)
    with rewritten(tmp_path / "AV3_RFL_ORT.nc", tmp_path / name, format_name) as file:
        assert file.crs.to_epsg() == 32611
        assert file.transform == Affine(5, 0, 500000, 0, -5, 3800000)
        assert file.nodata == -9999
        np.testing.assert_array_equal(file.read(), stored)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("name", "format_name"), [("s.tif", "tiff"), ("s.nc", "hdf5")])
def test_emit_is_written_with_the_first_row_on_top(
    tmp_path: Path, name: str, format_name: str
) -> None:
    stored = emit(tmp_path / "EMIT_L2A_RFL.nc")
    with rewritten(tmp_path / "EMIT_L2A_RFL.nc", tmp_path / name, format_name) as file:
        assert file.crs is None
        np.testing.assert_array_equal(file.read(), stored.transpose(2, 0, 1))


def rewritten(path: Path, target: Path, format_name: str) -> rasterio.DatasetReader:
    """The scene at `path` in another format, as GDAL opens it."""
    with open_cube(path) as cube, create_cube(target, cube.spec, format_name) as writer:
        write_block(writer, cube.spec.window, cube.read(cube.spec.window))
    with rasterio.Env() as environment:
        if format_name == "hdf5" and "netCDF" not in environment.drivers():
            pytest.skip("a rasterio without netCDF")
    return rasterio.open(target)


def test_a_grid_of_tanager_is_on_the_map_with_its_spectrum(tmp_path: Path) -> None:
    stored = tanager(tmp_path / "ortho_sr.h5", "GRIDS")
    with open_cube(tmp_path / "ortho_sr.h5") as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.geo == Geo((30, 0, 500010, 0, -30, 6200000), "EPSG:32734")
        assert cube.spec.spectrum == Spectrum(*NM, (True, True, False, True))
        assert not any("no unit" in note for note in cube.notes)
    np.testing.assert_array_equal(block, missing(stored))


def test_a_swath_of_tanager_is_on_no_map(tmp_path: Path) -> None:
    tanager(tmp_path / "basic_radiance.h5", "SWATHS", "toa_radiance")
    with open_cube(tmp_path / "basic_radiance.h5") as cube:
        assert cube.spec.geo is None
        assert any(SWATH in note for note in cube.notes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('GridName="HYP"', 'GridName="ELSE"'),
        (f"XDim={COLS}", "XDim=77"),
        ("HE5_GCTP_UTM", "HE5_GCTP_GEO"),
        ("(500010.000000,", "(5-0.0,"),
        ("LowerRightMtrs", "LowerLeftMtrs"),
    ],
)
def test_a_grid_that_is_not_understood_is_no_place(tmp_path: Path, before: str, after: str) -> None:
    tanager(tmp_path / "ortho_sr.h5", "GRIDS")
    with h5py.File(tmp_path / "ortho_sr.h5", "r+") as file:
        del file["HDFEOS INFORMATION/StructMetadata.0"]
        changed = GRIDS.replace(before, after)
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(changed)
    with open_cube(tmp_path / "ortho_sr.h5") as cube:
        assert cube.spec.geo is None
