"""The pixels of a TIFF file: of any window, decoding only the strips and tiles that touch it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hsisr.errors import InputError
from hsisr.formats._layout import cells
from hsisr.formats.tiff.errors import MalformedError, reading
from hsisr.formats.tiff.page import Page

_Key = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one segment has of a window."""

    page: int
    segment: tuple[int, int, int]
    """(plane, down, across) in the grid of the page."""
    rows: slice
    """Within the segment."""
    cols: slice
    target: tuple[int, slice, slice]
    """(plane, rows, cols) within the window."""
    continues: bool
    """Whether the segment has more rows below the window."""


class Raster:
    """The samples of equal pages, sliced like an array; raises `InputError`.

    The axes are (rows, cols, bands) if bands are interleaved by pixel, else (bands, rows, cols).
    """

    def __init__(
        self, path: Path, file: BinaryIO, pages: Sequence[Page], nodata: float | None
    ) -> None:
        self.by_pixel = pages[0].depth > 1
        self._path = path
        self._file = file
        self._stamp = self._now()
        self._pages = pages
        self._fill = _fill_value(nodata, pages[0].dtype)
        self._kept: dict[_Key, NDArray[Any]] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """The lengths of the axes."""
        bands, rows, cols = self._pages[0].shape
        return (rows, cols, bands) if self.by_pixel else (bands * len(self._pages), rows, cols)

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> NDArray[Any]:
        first, second, third = (
            range(*part.indices(length)) for part, length in zip(index, self.shape, strict=True)
        )
        with reading(self._path):
            if not self.by_pixel:
                return self._read(first, second, third)[..., 0]
            return self._read(range(1), first, second)[0, ..., third.start : third.stop]

    def _read(self, planes: range, rows: range, cols: range) -> NDArray[Any]:
        page = self._pages[0]
        shape = len(planes), len(rows), len(cols), page.depth
        result = np.empty(shape, page.dtype.newbyteorder("="))
        kept: dict[_Key, NDArray[Any]] = {}
        # from the beginning of the file to its end
        for piece in sorted(self._pieces(planes, rows, cols), key=self._start):
            result[piece.target] = self._load(piece, kept)[:, piece.cols]
        # scenes are read downwards: these segments come again with the next window
        self._kept = kept
        if self._now() != self._stamp:
            raise InputError("changed while it was being read", where=self._path)
        return result

    def _pieces(self, planes: range, rows: range, cols: range) -> Iterator[_Piece]:
        for i, band in enumerate(planes):
            number, plane = divmod(band, self._pages[0].planes)
            page = self._pages[number]
            for down, within_rows, target_rows in cells(rows, page.height):
                for across, within_cols, target_cols in cells(cols, page.width):
                    yield _Piece(
                        number,
                        (plane, down, across),
                        within_rows,
                        within_cols,
                        (i, target_rows, target_cols),
                        (down + 1) * page.height > rows.stop,
                    )

    def _start(self, piece: _Piece) -> int:
        return int(self._pages[piece.page].starts[piece.segment])

    def _load(self, piece: _Piece, kept: dict[_Key, NDArray[Any]]) -> NDArray[Any]:
        """The rows of `piece`: (rows, width of the segment, depth)."""
        page = self._pages[piece.page]
        start, size = int(page.starts[piece.segment]), int(page.sizes[piece.segment])
        if not start:
            height = piece.rows.stop - piece.rows.start
            return np.broadcast_to(self._fill, (height, page.width, page.depth))
        if page.is_raw:
            return self._raw(page, start, piece.rows)
        key = (piece.page, *piece.segment)
        decoded = self._kept.get(key)
        if decoded is None:
            decoded = _decode(page, piece.segment, self._take(size, start))
        if piece.continues:
            kept[key] = decoded
        return decoded[piece.rows]

    def _raw(self, page: Page, start: int, rows: slice) -> NDArray[Any]:
        data = self._take(
            (rows.stop - rows.start) * page.row_bytes, start + rows.start * page.row_bytes
        )
        return np.frombuffer(data, page.dtype).reshape(-1, page.width, page.depth)

    def _take(self, count: int, start: int) -> bytes:
        parts = []
        while count:
            # one call returns 2 GiB at most
            part = os.pread(self._file.fileno(), count, start)
            if not part:
                raise MalformedError(f"the file ends at byte {start}")
            parts.append(part)
            count, start = count - len(part), start + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def _decode(page: Page, segment: tuple[int, int, int], data: bytes) -> NDArray[Any]:
    index = int(np.ravel_multi_index(segment, page.starts.shape))
    samples = page.ifd.decode(data, index)[0]
    if samples is None:
        raise MalformedError(f"segment {index} holds nothing")
    return np.asarray(samples[0])


def _fill_value(nodata: float | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """What stands for pixels that were never written."""
    native = dtype.newbyteorder("=")
    if nodata is None:
        return np.zeros((), native)
    with np.errstate(invalid="ignore", over="ignore"):
        fill = np.asarray(nodata).astype(native)
    return fill if native.kind == "f" or fill == nodata else np.zeros((), native)
