"""What a plain HDF5 file says of its cube: a NetCDF-4 file that follows the CF conventions.

The axes of the cube are dimensions: `wavelength`, or `band` where the wavelengths do not go one
way; `y` and `x`, with the centres of the pixels. A rotated grid is told by its transform alone.
Without a map, y falls from row to row: else GDAL shows the first row at the bottom. CF scales all
bands alike; numbers that differ by band are variables, which other programs do not apply.

Source: CF conventions 1.11 and NetCDF-4's use of HDF5, as GDAL 3.10 and xarray read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsisr.cube import CubeSpec
from hsisr.encoding import stored_nodata
from hsisr.formats._metadata import Value, cube_name, describe
from hsisr.formats.hdf5.place import grid_mapping
from hsisr.formats.hdf5.wkt import is_geographic, is_projected

_BAND, _WAVELENGTH, _MAPPING = "band", "wavelength", "spatial_ref"
_PER_BAND: Mapping[str, tuple[type[np.number], dict[str, str]]] = {
    _WAVELENGTH: (np.float64, {"long_name": "centre of the band", "units": "nm"}),
    "fwhm": (np.float64, {"long_name": "full width at half maximum", "units": "nm"}),
    "good_wavelengths": (np.int8, {"long_name": "0 for a bad band"}),
}
_SCALES = ("scale_factor", "add_offset")
_NO_MAP: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
_LENGTH_ONLY = "This is a netCDF dimension but not a netCDF variable.%10d"
_UNIT = re.compile(r'\b(?:LENGTH)?UNIT\["([^"]+)"')


def variable_name(spec: CubeSpec) -> str:
    """The name of the cube, which none of the variables beside it has."""
    name = cube_name(spec)
    return "cube" if name in (_BAND, _MAPPING, "x", "y") else name


def describe_cube(cube: h5py.Dataset, spec: CubeSpec) -> None:
    """Say all that `spec` does of `cube` (bands, rows, cols), in its file."""
    said = describe(spec)
    _say(cube.file, Conventions="CF-1.11")
    _say(cube, **{key: str(said[key]) for key in ("band_names", "description") if key in said})
    if spec.nodata is not None:
        _say_missing(cube, spec.nodata)
    _place(cube, said)
    _spread(cube, said)


def _say_missing(cube: h5py.Dataset, nodata: float) -> None:
    fill = stored_nodata(nodata, cube.dtype)
    if cube.dtype.kind == "f":
        cube.attrs["_FillValue"] = cube.dtype.type(np.nan) if fill is None else fill
    elif fill is not None:
        cube.attrs["_FillValue"] = fill
    elif not math.isnan(nodata):
        # not of the cube's type, which netCDF insists on; hsisr knows it by this name too
        cube.attrs["fill_value"] = nodata


def _place(cube: h5py.Dataset, said: Mapping[str, Value]) -> None:
    """Make rows and columns dimensions, and say where they lie."""
    grid, wkt = _NO_MAP, None
    if "transform" in said:
        grid = tuple(map(float, said["transform"]))
        mapping = cube.file.create_dataset(_MAPPING, data=np.int32(0))
        attributes = grid_mapping(grid, str(said.get("crs", "")))
        wkt = str(attributes.get("crs_wkt", ""))
        _say(mapping, **attributes)
        _say(cube, grid_mapping=_MAPPING)
    a, b, c, d, e, f = grid
    for axis, name, corner, step in ((1, "y", f, e), (2, "x", c, a)):
        if b or d:
            _dimension(cube, axis, name)
        else:
            centres = corner + step * (np.arange(cube.shape[axis]) + 0.5)
            _say(_dimension(cube, axis, name, centres), axis=name.upper(), **_meaning(name, wkt))


def _meaning(axis: str, wkt: str | None) -> dict[str, str]:
    """What the coordinates along `axis` are, by the reference system; None if there is no map."""
    if wkt is None:
        # had they the unit 1, GDAL would not take them for coordinates
        return {"long_name": "pixels from the upper left corner"}
    if is_projected(wkt):
        unit = _UNIT.findall(wkt)[-1:] or ["metre"]
        units = "m" if unit[0].lower() in ("metre", "meter") else unit[0].replace(" ", "_")
        return {"standard_name": f"projection_{axis}_coordinate", "units": units}
    if is_geographic(wkt):
        name, side = {"x": ("longitude", "east"), "y": ("latitude", "north")}[axis]
        return {"standard_name": name, "units": f"degrees_{side}"}
    return {}


def _spread(cube: h5py.Dataset, said: Mapping[str, Value]) -> None:
    """Make the bands a dimension, and say what is known of each."""
    centres = np.array(said.get(_WAVELENGTH, ()), np.float64)
    one_way = set(np.sign(np.diff(centres))) in ({1.0}, {-1.0}, set())
    if len(centres) and one_way:
        dimension = _dimension(cube, 0, _WAVELENGTH, centres)
    else:
        dimension = _dimension(cube, 0, _BAND, np.arange(1, len(cube) + 1, dtype=np.int32))
        _say(dimension, long_name="number of the band")
    known = [key for key in _PER_BAND if key in said]
    for key in known:
        dtype, meaning = _PER_BAND[key]
        _say(_along(dimension, key, np.array(said[key], dtype)), **meaning)
    others = [key for key in known if dimension.name != f"/{key}"]
    if others:
        _say(cube, coordinates=" ".join(others))
    _scale(cube, dimension, {key: said[key] for key in _SCALES if key in said})


def _scale(cube: h5py.Dataset, dimension: h5py.Dataset, scales: Mapping[str, Value]) -> None:
    alike = all(len(set(numbers)) == 1 for numbers in scales.values())
    for key, numbers in scales.items():
        if alike:
            cube.attrs[key] = np.float64(numbers[0])
        elif len(numbers) == 1:
            cube.file[key] = np.float64(numbers[0])
        else:
            _along(dimension, key, np.array(numbers, np.float64))


def _dimension(
    cube: h5py.Dataset, axis: int, name: str, values: ArrayLike | None = None
) -> h5py.Dataset:
    """A new dimension along `axis`, with or without coordinates."""
    length = cube.shape[axis]
    if values is None:
        dimension = cube.file.create_dataset(name, (length,), ">f4")
        dimension.make_scale(_LENGTH_ONLY % length)
    else:
        dimension = cube.file.create_dataset(name, data=values)
        dimension.make_scale(name)
    cube.dims[axis].attach_scale(dimension)
    return dimension


def _along(dimension: h5py.Dataset, name: str, values: ArrayLike) -> h5py.Dataset:
    """The variable `name`, which has a value for each step of `dimension`: itself or a new one."""
    if dimension.name == f"/{name}":
        return dimension
    variable = dimension.file.create_dataset(name, data=values)
    variable.dims[0].attach_scale(dimension)
    return variable


def _say(item: h5py.HLObject, **attributes: str | float) -> None:
    for key, value in attributes.items():
        item.attrs[key] = _fixed(value) if isinstance(value, str) else value


def _fixed(text: str) -> NDArray[np.bytes_]:
    # texts of variable length cannot be read safely (see `values`)
    encoded = text.encode()
    return np.array(encoded, h5py.string_dtype("utf-8", len(encoded)))
