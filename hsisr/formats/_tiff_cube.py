"""Opening a TIFF file: which of its images are the cube, and what is said about it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import tifffile

from hsisr.cube import Block, CubeSpec, Geo, decode
from hsisr.formats import ReadOptions, _geotiff
from hsisr.formats._axes import Axes, parse_axes
from hsisr.formats._gdal_metadata import ROLE, Items, parse_tag, read_side_file, side_file
from hsisr.formats._tiff_bands import read_bands
from hsisr.formats._tiff_errors import MalformedError, UnsupportedError, reading
from hsisr.formats._tiff_header import METADATA, NODATA, TiffNative
from hsisr.formats._tiff_page import Page, open_page
from hsisr.formats._tiff_pixels import Raster
from hsisr.formats._tiff_structure import count_pages
from hsisr.window import Window

_OVERVIEW, _MASK = 1, 4
"""Bits of NewSubfileType."""
_DERIVED = ("Band_", "TIFFTAG_", "AREA_OR_POINT")
"""How items begin that repeat what is said elsewhere."""
_ARRAY_SHAPE = '{"shape":'
"""How a description begins that tifffile wrote for itself."""
_LONGEST = 1 << 20

Notes = list[str]


@dataclass
class TiffCube:
    """A scene in a TIFF file, opened for reading."""

    spec: CubeSpec
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    raster: Raster
    axes: Axes
    """The order in which the axes of `raster` are rows, columns and bands."""
    file: BinaryIO
    format: str = "tiff"

    def read(self, window: Window) -> Block:
        """The pixels of `window`; raises `InputError`."""
        stored = self.raster[self.axes.index(window)]
        return decode(np.ascontiguousarray(self.axes.to_block(stored)), self.spec)

    def close(self) -> None:
        """Release the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tiff(path: Path, options: ReadOptions) -> TiffCube:
    """The cube in the TIFF file at `path`; raises `InputError`."""
    with reading(path):
        file = path.open("rb")
        try:
            return _open(path, file, options)
        except BaseException:
            file.close()
            raise


def _open(path: Path, file: BinaryIO, options: ReadOptions) -> TiffCube:
    notes: Notes = []
    images = _images(file, notes)
    items, files = _items(path, images[0], notes)
    nodata = _nodata(images[0], items, notes)
    size = os.fstat(file.fileno()).st_size
    pages = [open_page(image, size, holes_are_nodata=nodata is not None) for image in images]
    _check_alike(pages)
    raster = Raster(path, file.fileno(), pages, nodata)
    stored = Axes("YXB" if raster.by_pixel else "BYX")
    axes = parse_axes(options.axes) if options.axes else stored
    bands, rows, cols = axes.shape(raster.shape)
    _note_pixels(images[0], pages, nodata, notes)
    if axes == stored:
        if len(pages) > 1:
            notes.append(
                f"the {bands} images of the file are the bands; --axes names another order"
            )
        fields = _fields(images[0], file, items, bands, notes)
    else:
        notes.append(f"axes {axes} as told; what the file says about bands and map is ignored")
        fields = {}
    spec = CubeSpec(
        bands,
        rows,
        cols,
        pages[0].dtype.newbyteorder("="),
        nodata,
        interleave="bip" if axes.order == "YXB" else "bsq",
        **fields,
    )
    return TiffCube(spec, files, tuple(notes), raster, axes, file)


def _images(file: BinaryIO, notes: Notes) -> list[tifffile.TiffPage]:
    """The images of full resolution."""
    count = count_pages(file)
    file.seek(0)
    # what these names stand for is not looked for: each has its own way to leave the standard
    tiff = tifffile.TiffFile(file, is_ndpi=False, is_lsm=False, is_scanimage=False)
    ifds = [ifd for i in range(count) if isinstance(ifd := tiff.pages[i], tifffile.TiffPage)]
    images = [ifd for ifd in ifds if not ifd.subfiletype & (_OVERVIEW | _MASK)]
    if not images:
        raise MalformedError("the file holds overviews or masks, but no image")
    if any(ifd.subfiletype & _MASK for ifd in ifds):
        notes.append("the mask of the file is not applied")
    return images


def _check_alike(pages: Sequence[Page]) -> None:
    kinds = {(page.shape, page.dtype) for page in pages}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{rows} x {cols}" for (_, rows, cols), _ in kinds))
        raise UnsupportedError(
            f"it holds {len(pages)} images of different sizes or types ({found})"
        )
    if len(pages) > 1 and pages[0].shape[0] > 1:
        raise UnsupportedError(f"it holds {len(pages)} images of {pages[0].shape[0]} bands each")


def _items(path: Path, ifd: tifffile.TiffPage, notes: Notes) -> tuple[Items, tuple[Path, ...]]:
    """What GDAL's metadata say, and the files of the scene; the side file has the last word."""
    items: Items = {}
    files: tuple[Path, ...] = (path,)
    text = ifd.tags.valueof(METADATA)
    if isinstance(text, str):
        try:
            items |= parse_tag(text)
        except ValueError as error:
            notes.append(f"the metadata in tag {METADATA} are ignored: {error}")
    side = side_file(path)
    if side.is_file():
        try:
            items |= read_side_file(side)
            files = path, side
        except (ValueError, OSError) as error:
            notes.append(f"{side.name} is ignored: {error}")
    return items, files


def _nodata(ifd: tifffile.TiffPage, items: Items, notes: Notes) -> float | None:
    aside = {
        text for (domain, _, name), text in items.items() if (domain, name) == (ROLE, "nodata")
    }
    if len(aside) > 1:
        raise UnsupportedError(
            f"its bands have different no-data values ({', '.join(sorted(aside))})"
        )
    text = aside.pop() if aside else ifd.tags.valueof(NODATA)
    if text is None:
        return None
    try:
        return float(text)
    except (ValueError, TypeError):
        notes.append(f"the no-data value {text!r} is not a number: ignored")
        return None


def _note_pixels(
    ifd: tifffile.TiffPage, pages: Sequence[Page], nodata: float | None, notes: Notes
) -> None:
    """Note what was decided about the samples."""
    dtype, shape = pages[0].dtype, (len(pages), *ifd.shape)
    if any(page.has_holes for page in pages):
        notes.append(f"parts were never written: read as {'0' if nodata is None else 'no data'}")
    if dtype.kind == "u" and dtype.itemsize > 2 and 339 not in ifd.tags:
        notes.append(f"no SampleFormat: the samples are taken as {dtype.newbyteorder('=')}")
    if nodata is not None and dtype.kind != "f" and not _occurs(nodata, dtype):
        notes.append(f"the no-data value {nodata:g} cannot occur in {dtype.newbyteorder('=')}")
    told = _told_shape(ifd)
    if told is not None and [n for n in told if n != 1] != [n for n in shape if n != 1]:
        notes.append(f"the description tells of an array of {told}; the tags are followed")


def _occurs(value: float, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return value.is_integer() and limits.min <= value <= limits.max


def _told_shape(ifd: tifffile.TiffPage) -> list[Any] | None:
    if not ifd.description.startswith(_ARRAY_SHAPE):
        return None
    try:
        shape = json.loads(ifd.description)["shape"]
    except (ValueError, RecursionError):
        return None
    return shape if isinstance(shape, list) else None


def _fields(
    ifd: tifffile.TiffPage, file: BinaryIO, items: Items, bands: int, notes: Notes
) -> dict[str, Any]:
    """The fields of a `CubeSpec` that the tags and `items` describe."""
    fields, assumed = read_bands(items, bands)
    notes += assumed
    geo, keys = _place(ifd, file, items, notes)
    rpc = _numbers(ifd, _geotiff.RPC)
    carried = (
        (name, text)
        for (domain, band, name), text in items.items()
        if domain == "" and band is None and not name.startswith(_DERIVED)
    )
    native = TiffNative(
        crs=keys.crs if keys else None,
        keys=keys,
        rpc=rpc if len(rpc) == 92 and all(map(math.isfinite, rpc)) else None,
        items=tuple(carried),
    )
    return fields | {"geo": geo, "native": native, "description": _description(ifd, items)}


def _description(ifd: tifffile.TiffPage, items: Items) -> str | None:
    text = ifd.description[:_LONGEST]
    if not text or text.startswith(_ARRAY_SHAPE):
        return items.get(("", None, "description"))
    return text


def _place(
    ifd: tifffile.TiffPage, file: BinaryIO, items: Items, notes: Notes
) -> tuple[Geo | None, _geotiff.GeoKeys | None]:
    try:
        tags = {code: _numbers(ifd, code) for code in _geotiff.NUMBERS if code in ifd.tags}
        keys = _geotiff.read_keys(tags, _raw_text(ifd, file, _geotiff.TEXTS))
        aside = items.get((ROLE, None, "transform"))
        if aside is None:
            transform = _geotiff.read_transform(tags, keys)
        else:
            transform = _geotiff.parse_transform(aside)
    except (ValueError, TypeError) as error:
        notes.append(f"the position on the map is ignored: {error}")
        return None, None
    if transform is None:
        if _geotiff.TIEPOINTS in tags:
            notes.append("ground control points are not used")
        return None, None
    crs = items.get((ROLE, None, "srs")) or (keys.crs if keys else None)
    return Geo(transform, crs), keys


def _numbers(ifd: tifffile.TiffPage, code: int) -> tuple[Any, ...]:
    value = ifd.tags.valueof(code)
    return () if value is None else tuple(np.atleast_1d(value).tolist())


def _raw_text(ifd: tifffile.TiffPage, file: BinaryIO, code: int) -> bytes:
    """A text as stored: GeoKeys count its bytes, blanks and all."""
    tag = ifd.tags.get(code)
    return b"" if tag is None else os.pread(file.fileno(), tag.valuebytecount, tag.valueoffset)
