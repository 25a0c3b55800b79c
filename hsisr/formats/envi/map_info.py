"""`map info` and its kin: where the pixels of an ENVI scene lie, on a finer grid, in a window.

The reference pixel counts from 1 at the outer corner of the first pixel, so 1.5 is its centre; on
a grid n times finer the same place is (ref - 1) n + 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from operator import add, mul, truediv
from typing import NamedTuple

from hsisr.cube import Geo
from hsisr.formats._epsg import epsg_wkt
from hsisr.formats.envi.header import Entry, inner, items, shown, to_integer, to_number

Transform = tuple[float, float, float, float, float, float]

_WKT = re.compile(r"(PROJ|GEOG|GEOD|COMP|BOUND|LOCAL|ENG)[A-Z_]*\[")
_LONGEST_WKT = 1 << 16
_NAMED = re.compile(r"(units|rotation)\b[\s=]*(.*)", re.IGNORECASE | re.DOTALL)
# some sensors write the letter of the latitude band instead; S could be either and stays unread
_NORTH = {"north", *"npqrtuvwx"}
_SOUTH = {"south", *"cdefghjklm"}


class _Datum(NamedTuple):
    """A datum that `map info` tells by its name, and the EPSG codes of the systems on it."""

    name: str
    degrees: int
    utm: Mapping[str, tuple[int, int]]
    """The code before the first zone, and how many zones there are, on each side."""


_WGS_84 = _Datum("WGS-84", 4326, {"North": (32600, 60), "South": (32700, 60)})
_DATUMS = {
    **dict.fromkeys(("wgs-84", "wgs84", "wgs 84", "wgs_1984"), _WGS_84),
    "north america 1983": _Datum("North America 1983", 4269, {"North": (26900, 23)}),
    "north america 1927": _Datum("North America 1927", 4267, {"North": (26700, 22)}),
}
_SOUTH_UP = 180.0
_PIXEL_GRID: Transform = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def read_geo(map_info: str, wkt: str | None = None) -> tuple[Geo | None, str | None]:
    """The place that `map info` gives, and what could not be used, in words.

    `wkt` is the `coordinate system string`, which is believed rather than the name of the
    projection. Rotation is counter-clockwise, in degrees, about the reference pixel (GDAL turns
    the grid about its corner instead, which differs where the reference pixel is not 1, 1); but
    180 means that the first row is the southernmost, as GDAL writes and reads it.
    """
    texts = items(map_info)
    transform = _grid(texts)
    if transform is None:
        return None, f"'map info' is not understood and not used: {shown(inner(map_info))}"
    crs, note = _crs([text for text in texts if not _NAMED.fullmatch(text)], wkt)
    if crs is None and transform == _PIXEL_GRID:
        return None, None
    return Geo(transform, crs), note


def _grid(texts: list[str]) -> Transform | None:
    """The transform that the items of `map info` describe; None if they are not understood."""
    named = {m[1].lower(): m[2] for text in texts if (m := _NAMED.fullmatch(text))}
    plain = [text for text in texts if not _NAMED.fullmatch(text)]
    numbers = [to_number(text) for text in (*plain[1:7], named.get("rotation", "0"))]
    known = [number for number in numbers if number is not None]
    if len(known) != 7 or not known[4] or not known[5]:
        return None
    return _transform(*known)


def _transform(
    ref_x: float, ref_y: float, x: float, y: float, width: float, height: float, rotation: float
) -> Transform:
    if abs(rotation) == _SOUTH_UP:
        return width, 0.0, x - width * (ref_x - 1), 0.0, height, y + height * (ref_y - 1)
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    a, b, d, e = cos * width, sin * height, sin * width, -cos * height
    return a, b, x - a * (ref_x - 1) - b * (ref_y - 1), d, e, y - d * (ref_x - 1) - e * (ref_y - 1)


def _crs(texts: list[str], wkt: str | None) -> tuple[str | None, str | None]:
    if wkt:
        if len(wkt) <= _LONGEST_WKT and _WKT.match(wkt):
            return wkt, None
        return None, f"'coordinate system string' is not understood and not used: {shown(wkt)}"
    projection, *rest = (text.lower() for text in (texts[0], *texts[7:]))
    crs = None
    if projection == "geographic lat/lon" and rest and rest[0] in _DATUMS:
        crs = f"EPSG:{_DATUMS[rest[0]].degrees}"
    if projection == "utm" and len(rest) > 2 and rest[2] in _DATUMS:
        crs = _utm(rest[0], rest[1], _DATUMS[rest[2]])
    if crs is None and projection != "arbitrary":
        name = ", ".join((texts[0], *texts[7:]))
        return None, f"the map projection {shown(name)} has no code here; coordinates are kept"
    return crs, None


def _utm(zone: str, hemisphere: str, datum: _Datum) -> str | None:
    number = to_integer(zone) or 0
    side = "North" if hemisphere in _NORTH else "South" if hemisphere in _SOUTH else ""
    before, zones = datum.utm.get(side, (0, 0))
    return f"EPSG:{before + number}" if 1 <= number <= zones else None


def geo_entries(geo: Geo) -> list[Entry]:
    """The entries of a header that put a scene at `geo`, as far as ENVI can say it.

    A sheared or mirrored grid, one upside down, and one with rotated pixels that are not square
    (programs differ in what that means) get none: no place is better than a wrong one.
    """
    a, b, x, d, e, y = geo.transform
    width, height = math.hypot(a, d), math.hypot(b, e)
    south_up = a > 0 and e > 0 and not b and not d
    rotation = _SOUTH_UP if south_up else math.degrees(math.atan2(d, a))
    if not same_place(geo, Geo(_transform(1, 1, x, y, width, height, rotation), geo.crs)):
        return []
    if rotation and not south_up and not math.isclose(width, height, rel_tol=1e-9):
        return []
    crs = geo.crs
    if _projection(crs) == ["Arbitrary"]:
        crs = epsg_wkt(_code(crs)) or crs
    projection, *rest = _projection(crs)
    turned = [f"rotation={rotation!r}"] if rotation else []
    numbers = [number_text(number) for number in (1, 1, x, y, width, height)]
    entries = [("map info", "{" + ", ".join([projection, *numbers, *rest, *turned]) + "}")]
    if crs and _WKT.match(crs) and not set("{}") & set(crs):
        entries.append(("coordinate system string", "{" + crs + "}"))
    return entries


def same_place(one: Geo | None, other: Geo | None) -> bool:
    """Whether two grids agree to a billionth of a pixel, or of the coordinates' precision."""
    if one is None or other is None:
        return one is other
    pixel = max(abs(one.transform[i]) for i in (0, 1, 3, 4))
    return one.crs == other.crs and all(
        math.isclose(p, q, rel_tol=1e-13, abs_tol=1e-9 * pixel)
        for p, q in zip(one.transform, other.transform, strict=True)
    )


def zoomed(key: str, value: str, scale: int) -> str | None:
    """The value of a spatial `key` on a grid `scale` times finer; None if it is not understood.

    What does not depend on the grid (a projection, a datum, a unit) stays word for word.
    """
    if scale == 1 or key not in _SCALED:
        return value
    rules = _SCALED[key](inner(value).count(",") + 1)
    return _rewritten(value, {at: (rule, scale) for at, rule in rules.items()})


def moved(key: str, value: str, row: int, col: int) -> str | None:
    """The value of a spatial `key` on a grid that begins at `row` and `col` of this one.

    The reference pixel keeps its number and is given another place, so that programs that turn a
    rotated grid about another point all see it where they saw it before. None as in `zoomed`.
    """
    if (row, col) == (0, 0) or key not in _MOVED:
        return value
    steps = _MOVED[key](items(value), row, col)
    return None if steps is None else _rewritten(value, {at: (add, steps[at]) for at in steps})


def _rewritten(value: str, changes: Mapping[int, tuple[_Rule, float]]) -> str | None:
    """The value with the numbers at some positions changed; None if one of them is no number."""
    pieces = inner(value).split(",")
    for position, (rule, by) in changes.items():
        old = pieces[position].strip() if position < len(pieces) else ""
        number = to_number(old)
        if number is None:
            return None
        pieces[position] = pieces[position].replace(old, number_text(rule(number, by)))
    text = ",".join(pieces)
    return "{" + text + "}" if value.startswith("{") else text


def number_text(number: float) -> str:
    """A number with all its digits, a whole one without a point."""
    whole = float(number).is_integer() and abs(number) < 1e15
    return str(int(number)) if whole else repr(float(number))


def _projection(crs: str | None) -> list[str]:
    """The first item of `map info` for a reference system, and those after the pixel size."""
    if crs and crs.startswith("GEOG"):
        return ["Geographic Lat/Lon", "units=Degrees"]
    code = _code(crs)
    for datum in _DATUMS.values():
        if code == datum.degrees:
            return ["Geographic Lat/Lon", datum.name, "units=Degrees"]
        for side, (before, zones) in datum.utm.items():
            if 1 <= code - before <= zones:
                return ["UTM", str(code - before), side, datum.name, "units=Meters"]
    return ["Arbitrary"]


def _code(crs: str | None) -> int:
    """That of the EPSG registry, 0 where a system has none."""
    kind, _, code = (crs or "").partition(":")
    return (to_integer(code) or 0) if kind == "EPSG" else 0


def _place_moved(texts: list[str], row: int, col: int) -> Mapping[int, float] | None:
    grid = _grid(texts)
    if grid is None:
        return None
    a, b, _, d, e, _ = grid
    return {3: a * col + b * row, 4: d * col + e * row}


def _corner(position: float, scale: float) -> float:
    return (position - 1) * scale + 1


def _centre(position: float, scale: float) -> float:
    return (position + 0.5) * scale - 0.5


_Rule = Callable[[float, float], float]
_SCALED: Mapping[str, Callable[[int], Mapping[int, _Rule]]] = {
    "map info": lambda _: {1: _corner, 2: _corner, 5: truediv, 6: truediv},
    "pixel size": lambda _: {0: truediv, 1: truediv},
    "geo points": lambda count: {i: _corner for i in range(count) if i % 4 < 2},
    # line and sample offsets count from the centre of the first pixel; 90 and 91 are tile offsets
    "rpc info": lambda _: {0: _centre, 1: _centre, 5: mul, 6: mul, 90: mul, 91: mul},
    "x start": lambda _: {0: _corner},
    "y start": lambda _: {0: _corner},
}
_MOVED: Mapping[str, Callable[[list[str], int, int], Mapping[int, float] | None]] = {
    "map info": _place_moved,
    "geo points": lambda texts, row, col: {
        i: (-col, -row)[i % 4] for i in range(len(texts)) if i % 4 < 2
    },
    "rpc info": lambda _, row, col: {0: -row, 1: -col},
    "x start": lambda _, __, col: {0: col},
    "y start": lambda _, row, __: {0: row},
}
