"""What an ENVI header says beyond a `CubeSpec`, of a whole scene or of a part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hsisr.formats.envi.header import (
    Entry,
    EnviHeader,
    braced,
    items,
    normal,
    to_integer,
    to_number,
)
from hsisr.formats.envi.map_info import moved
from hsisr.window import Window

_NOT_BY_BAND = frozenset(
    {
        *("description", "default stretch", "z plot range", "z plot titles", "z plot average"),
        *("map info", "coordinate system string", "projection info", "pixel size", "geo points"),
        *("rpc info", "x start", "y start", "major frame offsets", "minor frame offsets"),
        *("classes", "class names", "class lookup"),
    }
)
"""Keys with lists whose length may happen to be the number of bands."""


@dataclass(frozen=True)
class EnviNative:
    """The header of the file that a cube was read from."""

    header: EnviHeader

    def part(self, bands: Sequence[int], window: Window) -> EnviNative:
        """The header of a file of only these bands and pixels.

        Whatever lists one value per band, known or not, keeps those of `bands`; what places pixels
        is moved; what cannot be said of the part is left out.
        """
        return EnviNative(EnviHeader(tuple(_entries(self.header, list(bands), window))))


def _entries(header: EnviHeader, bands: list[int], window: Window) -> Iterator[Entry]:
    total = to_integer(header.values("bands")[0]) or 0
    sizes = {"samples": window.width, "lines": window.height, "bands": len(bands)}
    for key, value in header.entries:
        name = normal(key)
        new: str | None = value
        if name in sizes:
            new = str(sizes[name])
        elif name and bands != list(range(total)):
            new = _chosen(name, value, bands, total)
        if new is not None:
            new = moved(name, new, window.row, window.col)
        if new is not None:
            yield key, new


def _chosen(name: str, value: str, bands: list[int], total: int) -> str | None:
    """The value for some of the bands; None if it says nothing about them."""
    if name == "default bands":
        return _renumbered(value, bands)
    listed = items(value) if value.startswith("{") and name not in _NOT_BY_BAND else []
    if len(listed) != total:
        return value
    texts = [listed[band] for band in bands]
    # bands that are asked for are not bad: a header in which all are says nothing
    if name == "bbl" and not any(map(to_number, texts)):
        return None
    return braced(texts)


def _renumbered(value: str, bands: list[int]) -> str | None:
    shown = [(to_integer(text) or 0) - 1 for text in items(value)]
    if not set(shown) <= set(bands):
        return None
    return "{" + ", ".join(str(bands.index(band) + 1) for band in shown) + "}"
