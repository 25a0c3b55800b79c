"""Where a GeoTIFF lies on the map: its tags to an affine transform and a system, and back.

Source: OGC GeoTIFF 1.1 (19-008r4). The tags place either the upper left corner of a pixel
(PixelIsArea) or its centre (PixelIsPoint); here, and in what is written, it is the corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsisr.formats.tiff.errors import MalformedError

SCALE, TIEPOINTS, MATRIX = 33550, 33922, 34264
DIRECTORY, DOUBLES, TEXTS = 34735, 34736, 34737
NUMBERS = (SCALE, TIEPOINTS, MATRIX, DIRECTORY, DOUBLES)
RPC = 50844

_MODEL_TYPE, _RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_AREA, _POINT = 1, 2

# In these ranges the EPSG registry holds systems of one kind only, so the kind follows from the
# code; other codes need the registry itself.
_PROJECTED_CODES = (range(2000, 3817), range(3857, 3858), range(20047, 32767))
_GEOGRAPHIC_CODES = (range(4218, 4327), range(4600, 4647), range(4657, 4766))

Transform = tuple[float, float, float, float, float, float]
Tag = tuple[int, str, int, Any, bool]
"""An extra tag as tifffile takes it: code, type, count, value, only once."""


@dataclass(frozen=True)
class GeoKeys:
    """The coordinate reference system as a GeoTIFF describes it, to be copied as it is."""

    directory: tuple[int, ...]
    doubles: tuple[float, ...] = ()
    texts: bytes = b""

    def code(self, key: int) -> int | None:
        """The value of a key that is a number in the directory itself."""
        return next((e[3] for e in self._entries() if e[0] == key and e[1] == 0), None)

    def _entries(self) -> list[tuple[int, ...]]:
        return [self.directory[i : i + 4] for i in range(4, 4 * self.directory[3] + 4, 4)]

    def check(self) -> None:
        """Raise `MalformedError` if the directory is cut short or points outside its parameters."""
        directory = self.directory
        if len(directory) < 4 or directory[0] != 1 or len(directory) < 4 * directory[3] + 4:
            raise MalformedError("the directory of GeoKeys is cut short")
        lengths = {DIRECTORY: len(directory), DOUBLES: len(self.doubles), TEXTS: len(self.texts)}
        for key, tag, count, value in self._entries():
            if tag and (tag not in lengths or value + count > lengths[tag]):
                raise MalformedError(f"GeoKey {key} points outside its parameters")

    @property
    def crs(self) -> str | None:
        """`EPSG:n` if the system is one of the registry, None if it is described in full."""
        kind = {1: _PROJECTED, 2: _GEOGRAPHIC}.get(self.code(_MODEL_TYPE) or 0)
        code = None if kind is None else self.code(kind)
        return f"EPSG:{code}" if code is not None and 1024 <= code < 32767 else None

    @property
    def tells_system(self) -> bool:
        """Whether coordinates are those of a system, by its code or described in full."""
        return self.code(_MODEL_TYPE) in (1, 2, 3)

    @property
    def places_centres(self) -> bool:
        """Whether the tags give the position of pixel centres (PixelIsPoint)."""
        return self.code(_RASTER_TYPE) == _POINT

    def of_areas(self) -> GeoKeys:
        """The same keys, saying PixelIsArea."""
        changed = list(self.directory)
        for i in range(4, 4 * changed[3] + 4, 4):
            if changed[i] == _RASTER_TYPE:
                changed[i + 1 : i + 4] = 0, 1, _AREA
        return GeoKeys(tuple(changed), self.doubles, self.texts)

    def tags(self) -> list[Tag]:
        """The tags that hold the keys."""
        found: list[Tag] = [(DIRECTORY, "H", len(self.directory), self.directory, True)]
        if self.doubles:
            found.append((DOUBLES, "d", len(self.doubles), self.doubles, True))
        if self.texts:
            found.append((TEXTS, "s", len(self.texts), self.texts, True))
        return found


def epsg_keys(crs: str) -> GeoKeys | None:
    """The keys for `EPSG:n`; None where only the registry knows what kind of system it is."""
    code = int(crs.upper().removeprefix("EPSG:"))
    for kind, key, ranges in (
        (1, _PROJECTED, _PROJECTED_CODES),
        (2, _GEOGRAPHIC, _GEOGRAPHIC_CODES),
    ):
        if any(code in codes for codes in ranges):
            entries = (_MODEL_TYPE, 0, 1, kind, _RASTER_TYPE, 0, 1, _AREA, key, 0, 1, code)
            return GeoKeys((1, 1, 0, 3, *entries))
    return None


def read_keys(tags: Mapping[int, Sequence[Any]], texts: bytes) -> GeoKeys | None:
    """The GeoKeys in `tags`, if any; `texts` is tag 34737 as stored. Raises `MalformedError`."""
    if DIRECTORY not in tags:
        return None
    keys = GeoKeys(tuple(tags[DIRECTORY]), tuple(map(float, tags.get(DOUBLES, ()))), texts)
    keys.check()
    return keys


def read_transform(tags: Mapping[int, Sequence[float]], keys: GeoKeys | None) -> Transform | None:
    """The corner-based affine transform of `tags`, if any; raises `MalformedError`."""
    scale, ties, matrix = (tags.get(tag, ()) for tag in (SCALE, TIEPOINTS, MATRIX))
    if len(scale) >= 2 and len(ties) >= 6 and scale[0] and scale[1]:
        col, row, _, x, y = ties[:5]
        # rows go south whatever the sign, as GDAL has it
        width, height = scale[0], abs(scale[1])
        a, b, c, d, e, f = width, 0.0, x - col * width, 0.0, -height, y + row * height
    elif len(matrix) == 16:
        a, b, c, d, e, f = (matrix[i] for i in (0, 1, 3, 4, 5, 7))
    else:
        return None
    if keys is not None and keys.places_centres:
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return checked((a, b, c, d, e, f))


def parse_transform(text: str) -> Transform:
    """The transform of a side file, in GDAL's order (c, a, b, f, d, e); raises `ValueError`."""
    c, a, b, f, d, e = map(float, text.split(","))
    return checked((a, b, c, d, e, f))


def checked(transform: Transform) -> Transform:
    """`transform`, if it places pixels; raises `MalformedError` if it does not."""
    a, b, _, d, e, _ = transform
    if not all(map(math.isfinite, transform)) or a * e == b * d:
        raise MalformedError("the position on the map is not an affine transform")
    return transform


def transform_tags(transform: Transform) -> list[Tag]:
    """The tags of a corner-based transform."""
    a, b, c, d, e, f = transform
    if b == d == 0 and a > 0 > e:
        return [
            (SCALE, "d", 3, (a, -e, 0.0), True),
            (TIEPOINTS, "d", 6, (0.0, 0.0, 0.0, c, f, 0.0), True),
        ]
    matrix = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    return [(MATRIX, "d", 16, matrix, True)]


def read_ties(tags: Mapping[int, Sequence[float]], keys: GeoKeys | None) -> tuple[float, ...]:
    """Ground control points, six numbers each, whose columns and rows count from the corner."""
    ties = tuple(map(float, tags.get(TIEPOINTS, ())))
    if len(ties) % 6 or not all(map(math.isfinite, ties)):
        raise MalformedError("the ground control points are not sixfold numbers")
    half = 0.5 if keys is not None and keys.places_centres else 0.0
    return _counted(ties, lambda place, _: place + half)


def scaled_ties(ties: Sequence[float], scale: int) -> tuple[float, ...]:
    """Ground control points for a grid `scale` times finer."""
    return _counted(ties, lambda place, _: place * scale)


def moved_ties(ties: Sequence[float], row: int, col: int) -> tuple[float, ...]:
    """Ground control points for a grid that begins at `row` and `col`."""
    return _counted(ties, lambda place, axis: place - (col, row)[axis])


def _counted(ties: Sequence[float], rule: Callable[[float, int], float]) -> tuple[float, ...]:
    """Ground control points with a rule applied to each column (axis 0) and row (1)."""
    return tuple(rule(tie, i % 6) if i % 6 < 2 else tie for i, tie in enumerate(ties))


def scaled_rpc(rpc: Sequence[float], scale: int) -> tuple[float, ...]:
    """The rational polynomials of tag 50844 for a grid `scale` times finer.

    They count lines and samples from the centre of the first pixel; offsets are the third and
    fourth number, scales the eighth and ninth.
    """
    changed = list(rpc)
    for i in (2, 3):
        changed[i] = (changed[i] + 0.5) * scale - 0.5
    for i in (7, 8):
        changed[i] *= scale
    return tuple(changed)


def moved_rpc(rpc: Sequence[float], row: int, col: int) -> tuple[float, ...]:
    """The rational polynomials of tag 50844 for a grid that begins at `row` and `col`."""
    changed = list(rpc)
    changed[2] -= row
    changed[3] -= col
    return tuple(changed)
