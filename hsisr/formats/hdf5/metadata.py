"""What an HDF5 file says about one of its data sets, in the words of several conventions.

Understood are the names of `_metadata` as data sets or attributes; CF's attributes `_FillValue`,
`scale_factor` and `add_offset`, its names of dimensions and its grids (see `place`); NEON's
`Scale_Factor`, which divides, and `Data_Ignore_Value`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py

from hsisr.formats._axes import Axes
from hsisr.formats._metadata import Value, candidates, is_text
from hsisr.formats._variables import Variable
from hsisr.formats.hdf5.coordinates import lines_of
from hsisr.formats.hdf5.place import IN_SENSOR_GEOMETRY, has_place_of_pixels, is_swath, read_grid
from hsisr.formats.hdf5.safe import require_readable
from hsisr.formats.hdf5.values import Place, Plain, read_values, text

# several names of one thing: the later ones win
_ATTRIBUTES = {
    "wavelength": "wavelength",
    "wavelengths": "wavelength",
    "fwhm": "fwhm",
    "good_wavelengths": "good_wavelengths",
    "scale_factor": "scale_factor",
    "add_offset": "add_offset",
    "missing_value": "fill_value",
    "Data_Ignore_Value": "fill_value",
    "fill_value": "fill_value",
    "_FillValue": "fill_value",
    "transform": "transform",
    "crs": "crs",
    "band_names": "band_names",
    "description": "description",
}
_UNITS = ("wavelengths_units", "wavelength_units")
_OTHERS = ("Scale_Factor", "DIMENSION_LABELS", "DIMENSION_LIST", "grid_mapping")
_DIMENSIONS = {
    **dict.fromkeys(("y", "row", "rows", "line", "lines", "lat", "latitude"), "Y"),
    **dict.fromkeys(("northing", "downtrack"), "Y"),
    **dict.fromkeys(("x", "col", "cols", "column", "columns", "sample", "samples"), "X"),
    **dict.fromkeys(("lon", "longitude", "easting", "crosstrack"), "X"),
    **dict.fromkeys(("b", "band", "bands", "wavelength", "wavelengths", "wl", "channel"), "B"),
}


class Description(NamedTuple):
    """Everything a file says about a data set."""

    metadata: dict[str, Value]
    """By the keys of `_metadata.meaning`."""
    units: str | None
    """The unit of the wavelengths."""
    axes: Axes | None
    """The order of the axes if the file tells it."""
    notes: tuple[str, ...] = ()
    """What was assumed, or is not known."""


def read_description(
    file: h5py.File, variables: Sequence[Variable], cube: Variable, path: Path
) -> Description:
    """Gather what the file says about `cube`; raises `InputError` if it cannot be read."""
    sets = candidates(variables, cube)
    for variable in sets.values():
        require_readable(file[variable.name], path)
    places: list[Place] = [(variable.name, None) for variable in sets.values()]
    places += [(cube.name, key) for key in (*_ATTRIBUTES, *_UNITS, *_OTHERS)]
    # the `units` of the cube itself are those of its numbers
    of_spectrum = [(v.name, "units") for key, v in sets.items() if key == "wavelength"]
    values = read_values(file, [*places, *of_spectrum], path)
    own = {key: value for (name, key), value in values.items() if key and name == cube.name}
    metadata = {key: values.get((variable.name, None), ()) for key, variable in sets.items()}
    metadata |= {key: own[name] for name, key in _ATTRIBUTES.items() if name in own}
    metadata |= _neon(own)
    told = {key: value for key, plain in metadata.items() if (value := _value(key, plain))}
    units = [*map(values.get, of_spectrum), *map(own.get, _UNITS)]
    axes = _named_axes(own)
    grid, notes = _grid(file, variables, cube, axes, own, path)
    unit = next((text(unit) for unit in units if unit), None)
    return Description(told | grid, unit, axes, notes)


def _grid(
    file: h5py.File,
    variables: Sequence[Variable],
    cube: Variable,
    axes: Axes | None,
    own: Mapping[str, Plain],
    path: Path,
) -> tuple[dict[str, Value], tuple[str, ...]]:
    if is_swath(variables, cube):
        return {}, (IN_SENSOR_GEOMETRY,)
    lines = lines_of(cube, axes, own.get("DIMENSION_LIST", ()), variables)
    for name in lines or ():
        require_readable(file[name], path)
    told, notes = read_grid(file, variables, cube, lines, text(own.get("grid_mapping", ())), path)
    if not told and has_place_of_pixels(variables, cube):
        return {}, (IN_SENSOR_GEOMETRY,)
    return told, notes


def _value(key: str, plain: Plain) -> Value | None:
    if is_text(key):
        return text(plain)
    return tuple(number for number in plain if isinstance(number, float))


def _neon(attributes: Mapping[str, Plain]) -> dict[str, Plain]:
    divisor = [item for item in attributes.get("Scale_Factor", ()) if isinstance(item, float)]
    return {"scale_factor": tuple(1 / item for item in divisor)} if all(divisor) and divisor else {}


def _named_axes(attributes: Mapping[str, Plain]) -> Axes | None:
    names = attributes.get("DIMENSION_LABELS") or attributes.get("DIMENSION_LIST", ())
    bases = [str(name).rsplit("/", 1)[-1].lower() for name in names]
    order = "".join(_DIMENSIONS.get(base, "") for base in bases)
    return Axes(order) if sorted(order) == sorted("YXB") else None
