"""One image of a TIFF file: its shape and its strips or tiles, checked against the file's size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from hsisr.formats.tiff.errors import MalformedError, PaletteError, UnsupportedError
from hsisr.wording import counted

_RAW = 1
_PREDICTED = (5, 8, 32946, 50000)
_CODECS = (_RAW, 32773, *_PREDICTED)
"""PACKBITS; LZW, DEFLATE under both its numbers, and ZSTD, which may follow a predictor."""
_PALETTE, _YCBCR = 3, 6

_MOST_PER_BYTE = 1000
"""A file that declares more bytes of pixels per byte of its own is an attack or a mistake."""
_HARMLESS = 16 << 20
"""Pixels or segments that may always be declared, in bytes."""

Table = NDArray[np.uint64]


@dataclass(frozen=True)
class Page:
    """An image of `planes` planes of rows x cols pixels of `depth` samples.

    Bands are the planes, or the samples of the only plane (interleaved by pixel). The planes are
    cut into a grid of equal segments, strips or tiles.
    """

    ifd: tifffile.TiffPage
    planes: int
    rows: int
    cols: int
    depth: int
    dtype: np.dtype[Any]
    """In the byte order of the file."""
    height: int
    """Rows of a segment."""
    width: int
    starts: Table
    """(planes, down, across): the first byte of each segment, 0 if it was never written."""
    sizes: Table
    """The bytes of each segment as stored."""

    @property
    def is_raw(self) -> bool:
        """Whether the segments are stored uncompressed."""
        return int(self.ifd.compression) == _RAW

    @property
    def row_bytes(self) -> int:
        """The bytes of one row of a segment, uncompressed."""
        return self.width * self.depth * self.dtype.itemsize

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.planes * self.depth, self.rows, self.cols

    @property
    def has_holes(self) -> bool:
        """Whether some segments were never written."""
        return bool((self.starts == 0).any())


def open_page(ifd: tifffile.TiffPage, size: int, *, holes_are_nodata: bool) -> Page:
    """The image that `ifd` describes in a file of `size` bytes.

    Raises `UnsupportedError` if it is of a kind that is not read, `MalformedError` if it
    contradicts itself or declares far more than the file can hold.
    """
    _check_kind(ifd)
    samples = _count(ifd.samplesperpixel, "SamplesPerPixel")
    rows, cols = _count(ifd.imagelength, "ImageLength"), _count(ifd.imagewidth, "ImageWidth")
    height, width = (ifd.tilelength, ifd.tilewidth) if ifd.is_tiled else (ifd.rowsperstrip, cols)
    height, width = _count(height, "rows of a segment"), _count(width, "TileWidth")
    planes, depth = (samples, 1) if ifd.planarconfig == 2 else (1, samples)
    grid = planes, -(-rows // height), -(-cols // width)
    starts = _table(ifd.dataoffsets, grid, "offsets")
    sizes = _table(ifd.databytecounts, grid, "byte counts")
    dtype = _dtype(ifd).newbyteorder(ifd.parent.byteorder)
    page = Page(ifd, planes, rows, cols, depth, dtype, height, width, starts, sizes)
    if page.is_raw:
        page = replace(page, sizes=_raw_sizes(page))
    _check_segments(page, size)
    _check_declared(page, size, holes_are_nodata)
    return _joined(page) if page.is_raw and not ifd.is_tiled else page


def _check_kind(ifd: tifffile.TiffPage) -> None:
    compression, predictor = int(ifd.compression), int(ifd.predictor)
    if compression not in _CODECS:
        raise UnsupportedError(f"compressed as {getattr(ifd.compression, 'name', compression)}")
    if ifd.photometric == _PALETTE:
        raise PaletteError("the pixels are palette colours")
    if ifd.photometric == _YCBCR:
        raise UnsupportedError("the pixels are YCbCr colours")
    if ifd.fillorder != 1:
        raise UnsupportedError("the bits are stored in reverse order (FillOrder 2)")
    if ifd.imagedepth != 1 or (ifd.is_tiled and ifd.tiledepth != 1):
        raise UnsupportedError("a volume of voxels (ImageDepth)")
    if ifd.planarconfig not in (1, 2):
        raise MalformedError(f"PlanarConfiguration is {ifd.planarconfig}; 1 or 2 was expected")
    allowed = {1: "uif", 2: "uif", 3: "f"}.get(predictor, "")
    if _dtype(ifd).kind not in allowed or (predictor > 1 and compression not in _PREDICTED):
        raise MalformedError(
            f"predictor {predictor} does not go with this compression and data type"
        )


def _dtype(ifd: tifffile.TiffPage) -> np.dtype[Any]:
    bits, dtype = ifd.bitspersample, ifd.dtype
    if dtype is None or dtype.kind not in "uif" or dtype == np.float16:
        raise UnsupportedError(
            f"samples of {counted(bits, 'bit')}, {getattr(ifd.sampleformat, 'name', '')}"
        )
    if bits != dtype.itemsize * 8:
        raise UnsupportedError(f"samples of {counted(bits, 'bit')}")
    stated = ifd.tags.get(258)
    if stated is not None and stated.count not in (1, ifd.samplesperpixel):
        raise MalformedError(
            f"{counted(ifd.samplesperpixel, 'sample')} per pixel, BitsPerSample of {stated.count}"
        )
    return dtype


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or not 0 < value < 2**31:
        raise MalformedError(f"{name} is {value!r}; a positive number was expected")
    return value


def _table(values: Any, grid: tuple[int, int, int], name: str) -> Table:
    expected = grid[0] * grid[1] * grid[2]
    if len(values) != expected:
        raise MalformedError(f"{len(values)} {name} of segments; {expected} were expected")
    return np.array(values, np.uint64).reshape(grid)


def _raw_sizes(page: Page) -> Table:
    """The sizes that follow from the shape; raises `MalformedError` if the file tells others."""
    full = page.height * page.row_bytes
    down = np.arange(page.starts.shape[1])
    rows = np.full_like(down, page.height)
    if not page.ifd.is_tiled:
        rows = np.minimum(rows, page.rows - down * page.height)
    sizes = np.broadcast_to((rows * page.row_bytes)[:, None], page.sizes.shape).astype(np.uint64)
    # some writers store the last strip as long as the others
    wrong = (page.sizes != sizes) & (page.sizes != full) & (page.sizes > 0)
    if wrong.any():
        raise MalformedError(
            f"a segment of {page.sizes[wrong][0]} bytes that holds {sizes[wrong][0]}"
        )
    return np.where(page.sizes > 0, sizes, 0).astype(np.uint64)


def _check_segments(page: Page, size: int) -> None:
    starts, sizes = page.starts.ravel(), page.sizes.ravel()
    if ((starts == 0) != (sizes == 0)).any():
        raise MalformedError("a segment has an offset without a size or a size without an offset")
    # compared one by one, because their sum may pass 2^64
    if (starts > size).any() or (sizes > size).any() or (starts + sizes > size).any():
        raise MalformedError(f"the file is cut short: segments lie beyond its {size} bytes")
    order = np.lexsort((sizes, starts))
    first, second = order[:-1], order[1:]
    # writers may store equal tiles once
    equal = (starts[first] == starts[second]) & (sizes[first] == sizes[second])
    if ((starts[first] + sizes[first] > starts[second]) & ~equal).any():
        raise MalformedError("segments overlap")


def _check_declared(page: Page, size: int, holes_are_nodata: bool) -> None:
    """Nothing large may be asked of memory or time by a small file."""
    stored = page.starts > 0
    share = stored.mean() if holes_are_nodata else 1.0
    pixels = page.planes * page.rows * page.cols * page.depth * page.dtype.itemsize
    if pixels * share > max(_HARMLESS, _MOST_PER_BYTE * size):
        raise MalformedError(f"{size} bytes cannot hold the {pixels} bytes of pixels they declare")
    segment = page.height * page.row_bytes
    least = int(page.sizes[stored].min(initial=size))
    if not page.is_raw and segment > max(16 * _HARMLESS, _MOST_PER_BYTE * least):
        raise MalformedError(
            f"{least} bytes cannot hold the segment of {segment} bytes they declare"
        )


def _joined(page: Page) -> Page:
    """The same page, with strips that follow each other in the file taken as one per plane."""
    if page.has_holes or (page.starts + page.sizes)[:, :-1].tolist() != page.starts[:, 1:].tolist():
        return page
    sizes = page.sizes.sum(axis=1, keepdims=True)
    return replace(page, height=page.rows, starts=page.starts[:, :1], sizes=sizes)
