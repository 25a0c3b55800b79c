"""What the tags of a TIFF file and GDAL's metadata say about a scene; notes on what is left out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from hsisr.cube import Geo
from hsisr.formats.tiff import geotiff
from hsisr.formats.tiff.bands import read_bands
from hsisr.formats.tiff.errors import UnsupportedError
from hsisr.formats.tiff.gdal_metadata import ROLE, Items, parse_tag, read_side_file, side_file
from hsisr.formats.tiff.header import METADATA, NODATA, TiffNative
from hsisr.formats.tiff.product import BACKGROUND, metadata_file, read_product

ARRAY_SHAPE = '{"shape":'
"""How a description begins that tifffile wrote for itself."""

_DERIVED = ("Band_", "TIFFTAG_", "AREA_OR_POINT")
"""How items begin that repeat what is said elsewhere."""
_LONGEST = 1 << 20
_XML_HEAD = 1 << 12

Notes = list[str]


def read_items(
    path: Path, ifd: tifffile.TiffPage, bands: int, notes: Notes
) -> tuple[Items, tuple[Path, ...]]:
    """What is said about the scene in GDAL's words, and the files of the scene.

    By the metadata of the product it is of, by its own tag, and by GDAL's side file, which has the
    last word.
    """
    items: Items = {}
    files = [path]

    def add(found: Callable[[], Items], ignored: str, *source: Path) -> None:
        try:
            items.update(found())
            files.extend(source)
        except (ValueError, OSError) as error:
            notes.append(f"{ignored} ignored: {error}")

    product, side = metadata_file(path, notes), side_file(path)
    text = ifd.tags.valueof(METADATA)
    if product is not None:
        add(partial(read_product, product, path, bands), f"{product.name} is", product)
    if isinstance(text, str):
        add(partial(parse_tag, text), f"the metadata in tag {METADATA} are")
    if side.is_file():
        add(partial(read_side_file, side), f"{side.name} is", side)
    return items, tuple(files)


def read_nodata(ifd: tifffile.TiffPage, items: Items, notes: Notes) -> float | None:
    """The stored value that means "no data"; raises `UnsupportedError` if it differs by band."""
    aside = {
        text for (domain, _, name), text in items.items() if (domain, name) == (ROLE, "nodata")
    }
    if len(aside) > 1:
        raise UnsupportedError(f"its bands have {len(aside)} different no-data values")
    text = aside.pop() if aside else ifd.tags.valueof(NODATA, items.get(BACKGROUND))
    if text is None:
        return None
    try:
        return float(text)
    except (ValueError, TypeError):
        notes.append(f"the no-data value {text!r:.40} is not a number: ignored")
        return None


def read_fields(
    ifd: tifffile.TiffPage, file: BinaryIO, items: Items, bands: int, notes: Notes
) -> dict[str, Any]:
    """The fields of a `CubeSpec` that the tags and `items` describe."""
    fields, assumed = read_bands(items, bands)
    notes += assumed
    geo, keys, ties = _place(ifd, file, items, notes)
    rpc = _numbers(ifd, geotiff.RPC)
    carried = (
        (name, text)
        for (domain, band, name), text in items.items()
        if domain == "" and band is None and not name.startswith(_DERIVED)
    )
    native = TiffNative(
        crs=keys.crs if keys else None,
        keys=keys,
        ties=ties,
        rpc=rpc if len(rpc) == 92 and all(map(math.isfinite, rpc)) else None,
        items=tuple(carried),
    )
    return fields | {"geo": geo, "native": native, "description": _description(ifd, items)}


def _description(ifd: tifffile.TiffPage, items: Items) -> str | None:
    text = ifd.description[:_LONGEST]
    if not text or _tells_of_pages(text):
        return items.get(("", None, "description"))
    return text


def _tells_of_pages(text: str) -> bool:
    """Whether it is how tifffile, ImageJ or OME order the images of this very file."""
    return text.startswith((ARRAY_SHAPE, "ImageJ=")) or "<OME" in text[:_XML_HEAD]


def _place(
    ifd: tifffile.TiffPage, file: BinaryIO, items: Items, notes: Notes
) -> tuple[Geo | None, geotiff.GeoKeys | None, tuple[float, ...]]:
    """The place on the map, the keys of its system, and ground control points if it has none."""
    ties: tuple[float, ...] = ()
    try:
        tags = {code: _numbers(ifd, code) for code in geotiff.NUMBERS if code in ifd.tags}
        keys = geotiff.read_keys(tags, _raw_text(ifd, file, geotiff.TEXTS))
        aside = items.get((ROLE, None, "transform"))
        if aside is None:
            transform = geotiff.read_transform(tags, keys)
        else:
            transform = geotiff.parse_transform(aside)
        if transform is None:
            ties = geotiff.read_ties(tags, keys)
    except (ValueError, TypeError) as error:
        notes.append(f"the position on the map is ignored: {error}")
        return None, None, ()
    if transform is None:
        if ties:
            notes.append("ground control points are not used; a TIFF result has them too")
        return None, keys if ties else None, ties
    crs = items.get((ROLE, None, "srs")) or (keys.crs if keys else None)
    if crs is None and keys is not None and keys.tells_system:
        notes.append("the reference system has no EPSG code; only a TIFF result has it too")
    return Geo(transform, crs), keys, ()


def _numbers(ifd: tifffile.TiffPage, code: int) -> tuple[Any, ...]:
    value = ifd.tags.valueof(code)
    return () if value is None else tuple(np.atleast_1d(value).tolist())


def _raw_text(ifd: tifffile.TiffPage, file: BinaryIO, code: int) -> bytes:
    """A text as stored: GeoKeys count its bytes, blanks and all."""
    tag = ifd.tags.get(code)
    return b"" if tag is None else os.pread(file.fileno(), tag.valuebytecount, tag.valueoffset)
