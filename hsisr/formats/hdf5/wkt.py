"""What a WKT says in the words of CF, for Transverse Mercator and degrees.

Sources: OGC 01-009 (WKT 1) and 18-010 (WKT 2), as GDAL writes them; CF conventions 1.11,
appendix F.
"""

from __future__ import annotations

import re

_PARAMETERS = {
    "latitude_of_origin": "latitude_of_projection_origin",
    "latitude_of_natural_origin": "latitude_of_projection_origin",
    "central_meridian": "longitude_of_central_meridian",
    "longitude_of_natural_origin": "longitude_of_central_meridian",
    "scale_factor": "scale_factor_at_central_meridian",
    "scale_factor_at_natural_origin": "scale_factor_at_central_meridian",
    "false_easting": "false_easting",
    "false_northing": "false_northing",
}
"""CF's names for those of both versions of WKT."""
_ELLIPSOID = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([\d.]+),\s*([\d.]+)')
_METHOD = re.compile(r'(?:PROJECTION|METHOD)\["transverse[_ ]mercator"', re.IGNORECASE)
_PARAMETER = re.compile(r'PARAMETER\["([^"]+)",\s*(-?[\d.]+)')


def is_projected(wkt: str) -> bool:
    """Whether coordinates are lengths on a projection."""
    return "PROJC" in wkt


def is_geographic(wkt: str) -> bool:
    """Whether coordinates are degrees."""
    return not is_projected(wkt) and ("GEOG" in wkt or "GEOD" in wkt)


def cf_mapping(wkt: str) -> dict[str, str | float]:
    """The attributes by which CF knows the system; none for other projections."""
    ellipsoid = _ELLIPSOID.search(wkt)
    if ellipsoid is None:
        return {}
    shape = {"semi_major_axis": float(ellipsoid[1]), "inverse_flattening": float(ellipsoid[2])}
    if is_geographic(wkt):
        return {"grid_mapping_name": "latitude_longitude", **shape}
    told = {_plain(name): float(number) for name, number in _PARAMETER.findall(wkt)}
    numbers = {_PARAMETERS[name]: told[name] for name in told if name in _PARAMETERS}
    if not _METHOD.search(wkt) or len(numbers) != len(set(_PARAMETERS.values())):
        return {}
    return {"grid_mapping_name": "transverse_mercator", **numbers, **shape}


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")
