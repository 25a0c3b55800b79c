"""The WKT of the reference systems that scenes come in most: UTM and degrees, on three datums.

Sources: the EPSG registry; OGC 01-009 (WKT 1), as GDAL writes it.
"""

from __future__ import annotations

_GRS_1980 = ("GRS 1980", 298.257222101, 7019)
_DATUMS = {
    4326: ("WGS 84", "WGS_1984", 6326, "WGS 84", 298.257223563, 7030),
    4258: ("ETRS89", "European_Terrestrial_Reference_System_1989", 6258, *_GRS_1980),
    4269: ("NAD83", "North_American_Datum_1983", 6269, *_GRS_1980),
}
"""By the code of the system in degrees: name, datum and code, ellipsoid, flattening and code."""
_ZONES = {
    "N": ((32600, 4326, range(1, 61)), (25800, 4258, range(28, 39)), (26900, 4269, range(1, 24))),
    "S": ((32700, 4326, range(1, 61)),),
}
"""The codes of UTM: before the first zone, of the system in degrees, the zones."""


def epsg_wkt(code: int) -> str:
    """The system that the EPSG registry has under `code`; empty if it is none of those here."""
    if code in _DATUMS:
        return _degrees(code)
    for side, families in _ZONES.items():
        for before, degrees, zones in families:
            if code - before in zones:
                return _utm(code, degrees, code - before, side)
    return ""


def _degrees(code: int) -> str:
    name, datum, datum_code, ellipsoid, flattening, ellipsoid_code = _DATUMS[code]
    return (
        f'GEOGCS["{name}",DATUM["{datum}",SPHEROID["{ellipsoid}",6378137,{flattening},'
        f"{_authority(ellipsoid_code)}],{_authority(datum_code)}],"
        f'PRIMEM["Greenwich",0,{_authority(8901)}],'
        f'UNIT["degree",0.0174532925199433,{_authority(9122)}],{_authority(code)}]'
    )


def _utm(code: int, degrees: int, zone: int, side: str) -> str:
    return (
        f'PROJCS["{_DATUMS[degrees][0]} / UTM zone {zone}{side}",{_degrees(degrees)},'
        f'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
        f'PARAMETER["central_meridian",{6 * zone - 183}],PARAMETER["scale_factor",0.9996],'
        f'PARAMETER["false_easting",500000],'
        f'PARAMETER["false_northing",{10_000_000 if side == "S" else 0}],'
        f'UNIT["metre",1,{_authority(9001)}],AXIS["Easting",EAST],AXIS["Northing",NORTH],'
        f"{_authority(code)}]"
    )


def _authority(code: int) -> str:
    return f'AUTHORITY["EPSG","{code}"]'
