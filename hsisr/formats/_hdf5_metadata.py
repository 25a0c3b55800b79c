"""What an HDF5 file says about one of its data sets, in the words of several conventions.

Understood are the names of `_metadata` as data sets or attributes, CF attributes (`_FillValue`,
`scale_factor`, `add_offset`, `grid_mapping`, dimension names), and those of NEON's reflectance
(`Scale_Factor`, which divides, `Data_Ignore_Value`, `Map_Info`, `EPSG Code`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsisr.formats._axes import Axes
from hsisr.formats._hdf5_safe import is_matlab, require_readable
from hsisr.formats._metadata import Value, candidates
from hsisr.formats._variables import Variable

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
_LARGEST_ATTRIBUTE = 2**20
_DIMENSIONS = {
    **dict.fromkeys(("y", "row", "rows", "line", "lines", "lat", "latitude"), "Y"),
    **dict.fromkeys(("northing", "downtrack"), "Y"),
    **dict.fromkeys(("x", "col", "cols", "column", "columns", "sample", "samples"), "X"),
    **dict.fromkeys(("lon", "longitude", "easting", "crosstrack"), "X"),
    **dict.fromkeys(("b", "band", "bands", "wavelength", "wavelengths", "wl", "channel"), "B"),
}


def metadata_of(
    file: h5py.File, variables: Sequence[Variable], cube: Variable, path: Path
) -> tuple[dict[str, Value], str | None]:
    """The values by the keys of `_metadata.meaning`, and the unit of the wavelengths."""
    found: dict[str, Value | None] = {}
    units = None
    for key, variable in candidates(variables, cube).items():
        dataset = file[variable.name]
        require_readable(dataset, path)
        found[key] = _characters(dataset) if variable.kind == "char" else _plain(dataset[()])
        if key == "wavelength":
            units = _text(dataset, "units")
    dataset = file[cube.name]
    found |= {
        key: _attribute(dataset, name) for name, key in _ATTRIBUTES.items() if name in dataset.attrs
    }
    divisor = _attribute(dataset, "Scale_Factor")
    if isinstance(divisor, tuple) and all(divisor):
        found["scale_factor"] = tuple(1 / number for number in divisor)
    found |= _grid_mapping(file, variables, dataset)
    return {key: value for key, value in found.items() if value}, units


def named_axes(dataset: h5py.Dataset) -> Axes | None:
    """The order of the axes if the file names all three, as NetCDF does."""
    # h5py's `dims` are not used: the library behind them crashes on damaged files
    labels = dataset.attrs.get("DIMENSION_LABELS", ())
    scales = dataset.attrs.get("DIMENSION_LIST", ())
    names = list(labels) or [_name_of(dataset.file, scale) for scale in scales]
    order = "".join(_DIMENSIONS.get(str(name).lower(), "") for name in names)
    return Axes(order) if sorted(order) == sorted("YXB") else None


def _name_of(file: h5py.File, references: Sequence[h5py.Reference]) -> str:
    name = file[references[0]].name if len(references) else None
    return name.rsplit("/", 1)[-1] if name else ""


def _attribute(dataset: h5py.Dataset, name: str) -> Value | None:
    if name not in dataset.attrs:
        return None
    size = h5py.h5a.open(dataset.id, name.encode()).get_storage_size()
    return _plain(dataset.attrs[name]) if size <= _LARGEST_ATTRIBUTE else None


def _text(dataset: h5py.Dataset, name: str) -> str | None:
    value = _attribute(dataset, name)
    return value if isinstance(value, str) else None


def _plain(value: Any) -> Value | None:
    array = np.asarray(value)
    if array.dtype.kind in "iuf":
        return tuple(float(number) for number in array.ravel())
    if array.size != 1:
        return None
    text = array.item()
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _characters(dataset: h5py.Dataset) -> str | None:
    codes = dataset[()].ravel()
    return "".join(map(chr, codes)) if is_matlab(dataset) and codes.dtype == np.uint16 else None


def _grid_mapping(
    file: h5py.File, variables: Sequence[Variable], dataset: h5py.Dataset
) -> dict[str, Value | None]:
    name = _text(dataset, "grid_mapping")
    group = dataset.name.strip("/").rpartition("/")[0]
    known = {variable.name for variable in variables if prod(variable.shape) == 1}
    for mapping in (f"{group}/{name}".strip("/"), name):
        if mapping in known:
            numbers = (_text(file[mapping], "GeoTransform") or "").split()
            crs = _text(file[mapping], "crs_wkt") or _text(file[mapping], "spatial_ref")
            return {"crs": crs, "transform": _affine(numbers)}
    return {}


def _affine(numbers: Sequence[str]) -> tuple[float, ...] | None:
    """GDAL's order of the six numbers begins with the corner."""
    try:
        c, a, b, f, d, e = (float(number) for number in numbers)
    except ValueError:
        return None
    return a, b, c, d, e, f
