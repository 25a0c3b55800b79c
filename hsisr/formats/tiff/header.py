"""The bytes of a TIFF file before its pixels: what a `CubeSpec` says, as tags."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.formats._axes import Axes
from hsisr.formats._layout import TiledLayout
from hsisr.formats.tiff.bands import band_items
from hsisr.formats.tiff.gdal_metadata import Items, render_side_file, render_tag
from hsisr.formats.tiff.geotiff import (
    RPC,
    TIEPOINTS,
    GeoKeys,
    Tag,
    epsg_keys,
    moved_rpc,
    moved_ties,
    scaled_rpc,
    scaled_ties,
    transform_tags,
)
from hsisr.formats.tiff.layout import layout_of, stored_axes, tile_table
from hsisr.window import Window

METADATA, NODATA = 42112, 42113

_MOST_CLASSIC = 3_900_000_000
"""Bytes of pixels in a classic TIFF; 4 GiB must also hold the tags."""
_STRIP = 256 << 10
"""Few enough bytes that a viewer which wants one pixel of all bands need not read much more."""
_PAGE = 4096
_OFFSETS, _COUNTS = 324, 325
"""Tags: where tiles begin, and the bytes of each."""


@dataclass(frozen=True)
class TiffNative:
    """What a TIFF file says that a `CubeSpec` has no place for."""

    crs: str | None = None
    """The `Geo.crs` that goes with `keys`."""
    keys: GeoKeys | None = None
    rpc: tuple[float, ...] | None = None
    """Rational polynomial coefficients, for the grid of the file."""
    ties: tuple[float, ...] = ()
    """Ground control points of a file that has no transform, for its grid."""
    items: tuple[tuple[str, str], ...] = ()
    """GDAL's metadata of the whole raster."""

    def part(self, bands: Sequence[int], window: Window) -> TiffNative:
        """The same for a window: what is said of bands is in the spec."""
        row, col = window.row, window.col
        rpc, ties = self.rpc and moved_rpc(self.rpc, row, col), moved_ties(self.ties, row, col)
        return replace(self, rpc=rpc, ties=ties)


def render_header(spec: CubeSpec) -> bytes:
    """Everything before the first pixel, little endian; raises `OSError`."""
    axes, layout = stored_axes(spec), layout_of(spec)
    segments = _tiles(layout) if isinstance(layout, TiledLayout) else _strips(spec, axes)
    with tempfile.NamedTemporaryFile() as file:
        big = layout.file_size > _MOST_CLASSIC
        with tifffile.TiffWriter(file.name, bigtiff=big, byteorder="<") as writer:
            position = writer.write(
                **segments,
                shape=axes.stored(spec.shape) if spec.bands > 1 else (spec.rows, spec.cols),
                dtype=spec.dtype,
                photometric="minisblack" if spec.classes is None else "palette",
                colormap=_colours(spec),
                planarconfig=_planar(spec, axes),
                description=(spec.description or "").encode() or None,
                software=False,
                metadata=None,
                extratags=_tags(spec),
                returnoffset=True,
            )
        if isinstance(layout, TiledLayout):
            _place_tiles(file, layout)
        # for strips, tifffile leaves a hole after the header
        return file.read(position[0] if position else -1)


def _strips(spec: CubeSpec, axes: Axes) -> dict[str, Any]:
    row = spec.nbytes // spec.rows // (1 if axes.order == "YXB" else spec.bands)
    return {"rowsperstrip": min(spec.rows, max(1, _STRIP // row))}


def _tiles(layout: TiledLayout) -> dict[str, Any]:
    """Tiles of which none is written."""
    count = len(tile_table(layout)[0])
    return {"data": itertools.repeat(b"", count), "tile": layout.first.shape[1:]}


def _place_tiles(file: IO[bytes], layout: TiledLayout) -> None:
    """Enter the places of the tiles, which begin behind all that is in the file."""
    # of a tile that begins within a page, GDAL makes the disk read more than there is
    offset = -(-file.seek(0, os.SEEK_END) // _PAGE) * _PAGE
    file.truncate(offset)
    file.seek(0)
    starts, size = tile_table(layout)
    with tifffile.TiffFile(file.name, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        tags[_OFFSETS].overwrite((starts + offset).tolist())
        tags[_COUNTS].overwrite([size] * len(starts))


def render_side(spec: CubeSpec) -> bytes | None:
    """The side file with what tags cannot hold: some coordinate reference systems, class names."""
    crs = spec.geo.crs if spec.geo and _keys(spec) is None else None
    names = [kind.name for kind in spec.classes or ()]
    return render_side_file(crs, names) if crs or names else None


def _colours(spec: CubeSpec) -> NDArray[np.uint16] | None:
    """The table of the colours (3, n) of all numbers that can be stored, from 0 to 65535."""
    if spec.classes is None:
        return None
    table = np.zeros((3, np.iinfo(spec.dtype).max + 1), np.uint16)
    table[:, : len(spec.classes)] = np.transpose([kind.colour for kind in spec.classes])
    return table * np.uint16(257)


def _planar(spec: CubeSpec, axes: Axes) -> str | None:
    if spec.bands == 1:
        return None
    return "contig" if axes.order == "YXB" else "separate"


def _tags(spec: CubeSpec) -> list[Tag]:
    native = spec.native if isinstance(spec.native, TiffNative) else TiffNative()
    items: Items = {("", None, name): text for name, text in native.items}
    items |= band_items(spec)
    tags: list[Tag] = []
    if items:
        tags.append((METADATA, "s", 0, render_tag(items), True))
    if spec.nodata is not None:
        tags.append((NODATA, "s", 0, f"{spec.nodata:.17g}", True))
    if native.rpc is not None:
        tags.append((RPC, "d", len(native.rpc), scaled_rpc(native.rpc, spec.zoom), True))
    keys = _keys(spec)
    if spec.geo is not None:
        tags += transform_tags(spec.geo.transform)
    elif native.ties:
        ties, keys = scaled_ties(native.ties, spec.zoom), native.keys
        tags.append((TIEPOINTS, "d", len(ties), ties, True))
    return tags + (keys.of_areas().tags() if keys else [])


def _keys(spec: CubeSpec) -> GeoKeys | None:
    """The GeoKeys of the file that `spec` came from if they still hold, else for its code."""
    if spec.geo is None:
        return None
    native, crs = spec.native, spec.geo.crs
    if isinstance(native, TiffNative) and native.keys is not None and native.crs == crs:
        return native.keys
    return epsg_keys(crs) if crs is not None and crs.upper().startswith("EPSG:") else None
