"""What an HDF5 file says about one of its data sets, in the words of several conventions.

Understood are the names of `_metadata` as data sets or attributes; CF's attributes `_FillValue`,
`scale_factor` and `add_offset`, its names of dimensions, and `GeoTransform` and `crs_wkt` of a
variable `spatial_ref` or `crs`; NEON's `Scale_Factor`, which divides, and `Data_Ignore_Value`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py

from hsisr.formats._axes import Axes
from hsisr.formats._metadata import Value, candidates, is_text
from hsisr.formats._variables import Variable
from hsisr.formats.hdf5.safe import require_readable
from hsisr.formats.hdf5.values import Place, Plain, read_values

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
_OTHERS = ("Scale_Factor", "DIMENSION_LABELS", "DIMENSION_LIST")
_MAPPINGS = ("spatial_ref", "crs")
_MAPPING = ("GeoTransform", "spatial_ref", "crs_wkt")
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
    mapping = next((v.name for v in variables if v.base in _MAPPINGS), cube.name)
    spectrum = sets.get("wavelength", cube).name
    places: list[Place] = [(variable.name, None) for variable in sets.values()]
    places += [(cube.name, key) for key in (*_ATTRIBUTES, *_OTHERS)]
    places += [(mapping, key) for key in _MAPPING]
    values = read_values(file, [*places, (spectrum, "units")], path)

    def attributes_of(name: str) -> dict[str, Plain]:
        return {key: value for (owner, key), value in values.items() if key and owner == name}

    own = attributes_of(cube.name)
    metadata = {key: values.get((variable.name, None), ()) for key, variable in sets.items()}
    metadata |= {key: own[name] for name, key in _ATTRIBUTES.items() if name in own}
    metadata |= _neon(own) | _grid_mapping(attributes_of(mapping))
    return Description(
        {key: value for key, plain in metadata.items() if (value := _value(key, plain))},
        _text(attributes_of(spectrum).get("units", ())) or None,
        _named_axes(own),
    )


def _value(key: str, plain: Plain) -> Value | None:
    if is_text(key):
        return _text(plain)
    return tuple(number for number in plain if isinstance(number, float))


def _text(plain: Plain) -> str:
    """The first text; MATLAB stores texts as the numbers of their characters."""
    texts = [item for item in plain if isinstance(item, str)]
    return texts[0] if texts else "".join(chr(int(item)) for item in plain)


def _neon(attributes: Mapping[str, Plain]) -> dict[str, Plain]:
    divisor = [item for item in attributes.get("Scale_Factor", ()) if isinstance(item, float)]
    return {"scale_factor": tuple(1 / item for item in divisor)} if all(divisor) and divisor else {}


def _grid_mapping(attributes: Mapping[str, Plain]) -> dict[str, Plain]:
    """GDAL's six numbers, whose order begins with the corner, and the reference system."""
    try:
        c, a, b, f, d, e = map(float, _text(attributes.get("GeoTransform", ())).split())
    except ValueError:
        return {}
    crs = attributes.get("crs_wkt") or attributes.get("spatial_ref") or ()
    return {"transform": (a, b, c, d, e, f), "crs": crs}


def _named_axes(attributes: Mapping[str, Plain]) -> Axes | None:
    names = attributes.get("DIMENSION_LABELS") or attributes.get("DIMENSION_LIST", ())
    bases = [str(name).rsplit("/", 1)[-1].lower() for name in names]
    order = "".join(_DIMENSIONS.get(base, "") for base in bases)
    return Axes(order) if sorted(order) == sorted("YXB") else None
