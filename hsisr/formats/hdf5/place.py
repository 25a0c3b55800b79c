"""Where an HDF5 file says that the pixels of a cube lie, if they lie on a map.

CF: the coordinates of columns and rows (see `coordinates`), and a grid mapping, which may have a
`GeoTransform`, whose order begins with the corner, beside the reference system; this is written
too. HDF-EOS: the outer corners of a grid in UTM, in the text `StructMetadata.0`, and its
`epsg_code`. A cube in the geometry of the sensor lies on no map, though the file may tell of one:
that its lookup table (GLT) leads to.

Sources: CF conventions 1.11 as GDAL writes them, HDF-EOS5 as Planet's Tanager uses it, the products
of EMIT and AVIRIS-3 and -5 as JPL's SpectralUtil reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py

from hsisr.formats._epsg import epsg_wkt
from hsisr.formats._metadata import Value
from hsisr.formats._variables import Variable
from hsisr.formats.hdf5.coordinates import Lines, Transform, reconciled
from hsisr.formats.hdf5.values import Place, Plain, read_values, text
from hsisr.formats.hdf5.wkt import cf_mapping

IN_SENSOR_GEOMETRY = (
    "in the geometry of the sensor: where each pixel lies on the ground is not carried over"
)

_MAPPINGS = ("spatial_ref", "crs", "transverse_mercator")
_MAPPING = ("GeoTransform", "spatial_ref", "crs_wkt", "epsg_code")
_NO_SYSTEM = 'LOCAL_CS["unknown"]'
_WGS_84 = "EPSG:4326"
_ASSUMED = "latitude and longitude are taken to be of WGS 84"
_UNEVEN = "columns or rows are not evenly spaced: where they lie is not carried over"
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


def has_place_of_pixels(variables: Sequence[Variable], cube: Variable) -> bool:
    """Whether the file tells latitude and longitude of each pixel by itself."""
    told = {
        variable.base.lower()[:3]
        for variable in variables
        if len(variable.shape) == 2 and set(variable.shape) <= set(cube.shape)
    }
    return {"lat", "lon"} <= told


def read_grid(
    file: h5py.File,
    variables: Sequence[Variable],
    cube: Variable,
    lines: Lines | None,
    mapping: str,
    path: Path,
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """`transform` and `crs` of `cube`, as far as they are told, and notes on them.

    `lines` are its coordinates and `mapping` is the grid mapping that it names, if it has any.
    """
    places = _places(file, variables, cube, mapping)
    values = read_values(file, [*places, *(lines.places if lines else ())], path)
    found = {attribute: values.get((name, attribute), ()) for name, attribute in places}
    transform = _geo_transform(text(found["GeoTransform"]))
    crs = _epsg(found["epsg_code"]) or text(found["crs_wkt"]) or text(found["spatial_ref"])
    crs = "" if crs == _NO_SYSTEM else crs
    notes: tuple[str, ...] = ()
    if lines is not None and not (transform and (transform[1] or transform[3])):
        transform, crs, notes = _along(lines, values, transform, crs)
    if transform is None:
        return _eos_grid(text(found.get(None, ())), found["epsg_code"], cube), notes
    return _told(transform, crs), notes


def _places(
    file: h5py.File, variables: Sequence[Variable], cube: Variable, mapping: str
) -> list[Place]:
    names = (mapping.partition(":")[0], *_MAPPINGS)
    told = (v.name for name in names for v in variables if v.base == name)
    where = next(told, cube.name)
    found: list[Place] = [(where, key) for key in _MAPPING]
    grid = _GRID.match(cube.name)
    if grid is not None and _STRUCTURE in file:
        found += [(_STRUCTURE, None), (grid[1], "epsg_code")]
    return found


def _along(
    lines: Lines, values: Mapping[Place, Plain], told: Transform | None, crs: str
) -> tuple[Transform | None, str, tuple[str, ...]]:
    """What coordinates make of the transform and the system that are `told`, and notes."""
    units, found = lines.units(values), lines.transform(values)
    if not units and (told or not crs):
        # they count, and place nothing
        return told, crs, ()
    if found is None:
        return told, crs, () if told else (_UNEVEN,)
    transform = reconciled(told, found, len(values[lines.y, None])) if told else found
    if units == "degrees" and not crs:
        return transform, _WGS_84, (_ASSUMED,)
    return transform, crs, ()


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


def _geo_transform(told: str) -> Transform | None:
    try:
        c, a, b, f, d, e = map(float, told.split())
    except ValueError:
        return None
    return a, b, c, d, e, f


def _told(transform: tuple[float, ...], crs: str) -> dict[str, Value]:
    told: dict[str, Value] = {"transform": transform}
    return {**told, "crs": crs} if crs else told


def _numbers(told: str, key: str) -> tuple[float, ...]:
    found = re.search(rf"\b{key}=\(?([-+.\d,eE]+)", told)
    try:
        return tuple(map(float, found[1].split(","))) if found else ()
    except ValueError:
        return ()
