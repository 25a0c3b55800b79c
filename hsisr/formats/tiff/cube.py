"""Opening a TIFF file: which of its images are the cube, and what is said about it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import tifffile

from hsisr.cube import ALL, Block, CubeSpec, Interleave
from hsisr.encoding import decode
from hsisr.formats import ReadOptions
from hsisr.formats._axes import Axes, parse_axes
from hsisr.formats.tiff.errors import MalformedError, UnsupportedError, reading
from hsisr.formats.tiff.page import Page, open_page
from hsisr.formats.tiff.pixels import Raster
from hsisr.formats.tiff.structure import count_pages
from hsisr.formats.tiff.tags import ARRAY_SHAPE, Notes, read_fields, read_items, read_nodata
from hsisr.window import Window

_OVERVIEW, _MASK = 1, 4
"""Bits of NewSubfileType."""
_ALPHA = (1, 2)
"""Values of ExtraSamples."""
_MASKED = "the mask is not applied; gdalwarp -dstnodata NUMBER IN.tif OUT.tif does so"


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

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`: float32 (bands, rows, cols); raises `InputError`."""
        if not self.spec.window.contains(window):
            raise ValueError(f"{window} is not inside a scene of {self.spec.shape[1:]} pixels")
        stored = self.raster[self.axes.index(window, bands)]
        return decode(self.axes.to_block(stored), self.spec, bands)

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
    if path.with_name(f"{path.name}.msk").is_file() and _MASKED not in notes:
        notes.append(_MASKED)
    samples = len(images) * images[0].samplesperpixel
    items, files = read_items(path, images[0], samples, notes)
    nodata = read_nodata(images[0], items, notes)
    size = os.fstat(file.fileno()).st_size
    pages = [open_page(image, size, holes_are_nodata=nodata is not None) for image in images]
    _check_alike(pages)
    _note_pixels(images[0], pages, nodata, notes)
    raster = Raster(path, file, pages, nodata)
    stored = Axes("YXB" if raster.by_pixel else "BYX")
    axes = parse_axes(options.axes) if options.axes else stored
    bands, rows, cols = axes.shape(raster.shape)
    fields: dict[str, Any] = {}
    if axes == stored:
        fields = read_fields(images[0], file, items, bands, notes)
    else:
        notes.append(f"axes {axes} as told; what the file says about bands and map is ignored")
    if len(pages) > 1 and not options.axes:
        notes.append(f"the {bands} images of the file are its bands; --axes names another order")
    dtype = pages[0].dtype.newbyteorder("=")
    interleave: Interleave = "bip" if axes.order == "YXB" else "bsq"
    spec = CubeSpec(bands, rows, cols, dtype, nodata, interleave=interleave, **fields)
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
        notes.append(_MASKED)
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
    if (extra := ifd.extrasamples) and extra[-1] in _ALPHA:
        last = ifd.samplesperpixel
        notes.append(
            f"band {last} is an alpha channel, taken as data; without: --bands 1-{last - 1}"
        )
    told = _told_shape(ifd)
    if told is not None and [n for n in told if n != 1] != [n for n in shape if n != 1]:
        notes.append(f"the description tells of an array of {told!s:.60}; the tags are followed")


def _occurs(value: float, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return value.is_integer() and limits.min <= value <= limits.max


def _told_shape(ifd: tifffile.TiffPage) -> list[Any] | None:
    if not ifd.description.startswith(ARRAY_SHAPE):
        return None
    try:
        shape = json.loads(ifd.description)["shape"]
    except (ValueError, RecursionError):
        return None
    return shape if isinstance(shape, list) else None
