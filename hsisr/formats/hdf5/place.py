"""Where an HDF5 file says that the pixels of a cube lie, if they lie on a map.

CF: `GeoTransform`, whose order begins with the corner, and the reference system of a variable
`spatial_ref`, `crs` or `transverse_mercator`; this is written too. HDF-EOS: the outer corners of a
grid in UTM, in the text `StructMetadata.0`, and its `epsg_code`. A cube in the geometry of the
sensor lies on no map, though the file may tell of one: that its lookup table (GLT) leads to.

Sources: CF conventions 1.11 as GDAL writes them, HDF-EOS5 as Planet's Tanager uses it, the products
of EMIT and AVIRIS-3 and -5 as JPL's SpectralUtil reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import h5py

from hsisr.formats._metadata import Value
from hsisr.formats._variables import Variable
from hsisr.formats.hdf5.values import Place, Plain, text
from hsisr.formats.hdf5.wkt import cf_mapping, epsg_wkt

IN_SENSOR_GEOMETRY = (
    "in the geometry of the sensor: where each pixel lies on the ground is not carried over"
)

_MAPPINGS = ("spatial_ref", "crs", "transverse_mercator")
_MAPPING = ("GeoTransform", "spatial_ref", "crs_wkt", "epsg_code")
_NO_SYSTEM = 'LOCAL_CS["unknown"]'
_STRUCTURE = "HDFEOS INFORMATION/StructMetadata.0"
_EPSG = re.compile(r"EPSG:(\d{4,6})", re.IGNORECASE)
_GRID = re.compile(r"(HDFEOS/GRIDS/([^/]+))/")


def is_swath(variables: Sequence[Variable], cube: Variable) -> bool:
    """Whether `cube` is in the geometry of the sensor: a swath, or what a lookup table refers to.

    A table of the shape of the cube itself is only kept for the record.
    """
    tables = (
        variable
        for variable in variables
        if variable.base == "glt_x" or "geolocation_lookup_table/" in variable.name
    )
    leads_elsewhere = any(not set(table.shape) <= set(cube.shape) for table in tables)
    return leads_elsewhere or cube.name.startswith("HDFEOS/SWATHS/")


def places_of_grid(file: h5py.File, variables: Sequence[Variable], cube: Variable) -> list[Place]:
    """Where to look for what `read_grid` understands."""
    mapping = next((v.name for v in variables if v.base in _MAPPINGS), cube.name)
    found: list[Place] = [(mapping, key) for key in _MAPPING]
    grid = _GRID.match(cube.name)
    if grid is not None and _STRUCTURE in file:
        found += [(_STRUCTURE, None), (grid[1], "epsg_code")]
    return found


def read_grid(
    values: Mapping[Place, Plain], sought: Sequence[Place], cube: Variable
) -> dict[str, Value]:
    """`transform` and `crs`, as far as the `values` at the places that were `sought` tell them."""
    found = {attribute: values.get((name, attribute), ()) for name, attribute in sought}
    try:
        c, a, b, f, d, e = map(float, text(found.get("GeoTransform", ())).split())
    except ValueError:
        return _eos_grid(text(found.get(None, ())), found.get("epsg_code", ()), cube)
    crs = _epsg(found["epsg_code"]) or text(found["crs_wkt"]) or text(found["spatial_ref"])
    return _told((a, b, c, d, e, f), "" if crs == _NO_SYSTEM else crs)


def grid_mapping(transform: tuple[float, ...], crs: str) -> dict[str, str | float]:
    """The attributes of a grid mapping variable for a `transform` and `crs` of `hsisr.cube.Geo`.

    Where only the EPSG registry knows the system, GDAL has but the coordinates of a grid; a rotated
    one, which has none, it places only in a system, be it unknown.
    """
    a, b, c, d, e, f = transform
    code = _EPSG.fullmatch(crs)
    wkt = epsg_wkt(int(code[1])) if code else crs
    if not wkt and (b or d):
        wkt = _NO_SYSTEM
    attributes = {"GeoTransform": " ".join(map(repr, (c, a, b, f, d, e))), **cf_mapping(wkt)}
    attributes |= {"crs_wkt": wkt, "spatial_ref": wkt} if wkt else {}
    return attributes | ({"epsg_code": int(code[1])} if code else {})


def _eos_grid(structure: str, code: Plain, cube: Variable) -> dict[str, Value]:
    """The place of the grid that `cube` is a field of."""
    grid = _GRID.match(cube.name)
    _, _, told = structure.partition(f'GridName="{grid[2]}"' if grid else "\0")
    told = told.partition("END_GROUP=GRID_")[0]
    cols, rows = (_numbers(told, key) for key in ("XDim", "YDim"))
    first, last = (_numbers(told, key) for key in ("UpperLeftPointMtrs", "LowerRightMtrs"))
    if "Projection=HE5_GCTP_UTM" not in told or not len(first) == len(last) == 2:
        return {}
    if len(cols) != 1 or len(rows) != 1 or not {*cols, *rows} <= set(cube.shape):
        return {}
    width, height = (last[0] - first[0]) / cols[0], (last[1] - first[1]) / rows[0]
    return _told((width, 0.0, first[0], 0.0, height, first[1]), _epsg(code))


def _epsg(code: Plain) -> str:
    return "".join(f"EPSG:{number:.0f}" for number in code if isinstance(number, float))


def _told(transform: tuple[float, ...], crs: str) -> dict[str, Value]:
    told: dict[str, Value] = {"transform": transform}
    return {**told, "crs": crs} if crs else told


def _numbers(told: str, key: str) -> tuple[float, ...]:
    found = re.search(rf"\b{key}=\(?([-+.\d,eE]+)", told)
    try:
        return tuple(map(float, found[1].split(","))) if found else ()
    except ValueError:
        return ()
