"""Where an HDF5 file says that the pixels of a cube lie, if they lie on a map.

CF: `GeoTransform`, whose order begins with the corner, and the reference system of a variable
`spatial_ref`, `crs` or `transverse_mercator`. HDF-EOS: the outer corners of a grid in UTM, in the
text `StructMetadata.0`, and the `epsg_code` of the grid. A cube in the geometry of the sensor lies
on no map, though the file may tell of one: that its lookup table (GLT) leads to.

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

IN_SENSOR_GEOMETRY = (
    "in the geometry of the sensor: where each pixel lies on the ground is not carried over"
)

_MAPPINGS = ("spatial_ref", "crs", "transverse_mercator")
_MAPPING = ("GeoTransform", "spatial_ref", "crs_wkt")
_STRUCTURE = "HDFEOS INFORMATION/StructMetadata.0"
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
    crs = text(found["crs_wkt"]) or text(found["spatial_ref"])
    return _told((a, b, c, d, e, f), crs)


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
    crs = "".join(f"EPSG:{number:.0f}" for number in code if isinstance(number, float))
    return _told((width, 0.0, first[0], 0.0, height, first[1]), crs)


def _told(transform: tuple[float, ...], crs: str) -> dict[str, Value]:
    told: dict[str, Value] = {"transform": transform}
    return {**told, "crs": crs} if crs else told


def _numbers(told: str, key: str) -> tuple[float, ...]:
    found = re.search(rf"\b{key}=\(?([-+.\d,eE]+)", told)
    try:
        return tuple(map(float, found[1].split(","))) if found else ()
    except ValueError:
        return ()
