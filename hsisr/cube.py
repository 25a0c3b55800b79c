"""What a cube is: its spectrum, its place on the map, its numbers; the protocols of both ends.

Inside hsisr a block of pixels is always float32 (bands, rows, cols) in physical values, with NaN
where there is no data. How a file stores them (integers, gains, a no-data value) is described by
`CubeSpec`, and `decode` and `encode` are the only places that convert.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hsisr.window import Window

Block = NDArray[np.float32]
Interleave = Literal["bsq", "bil", "bip"]

_ALL = slice(None)
_PIECE = 2**16
"""Samples that are converted at once: few enough for the cache, enough for threads to overlap."""


@dataclass(frozen=True)
class Spectrum:
    """Where the bands lie; all lengths are nanometres whatever unit the file used."""

    centres_nm: tuple[float, ...]
    widths_nm: tuple[float, ...] | None = None
    """Full width at half maximum of each band."""
    good: tuple[bool, ...] | None = None
    """False for a band that the producer marked as bad (ENVI `bbl` = 0)."""

    def nearest(self, wavelength_nm: float) -> int:
        """The index of the good band whose centre is closest to `wavelength_nm`."""
        good = self.good if self.good and any(self.good) else (True,) * len(self.centres_nm)
        usable = [i for i, fine in enumerate(good) if fine]
        return min(usable, key=lambda i: abs(self.centres_nm[i] - wavelength_nm))


@dataclass(frozen=True)
class Geo:
    """Where the pixels lie on the map.

    `transform` = (a, b, c, d, e, f): the point at column `col` and row `row`, counted from the
    upper left *corner* of the first pixel, is x = a col + b row + c, y = d col + e row + f.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None
    """A WKT string or `EPSG:n`."""

    def zoomed(self, scale: int) -> Geo:
        """The same ground on a grid `scale` times finer: pixels shrink, the corner stays."""
        a, b, c, d, e, f = self.transform
        return replace(self, transform=(a / scale, b / scale, c, d / scale, e / scale, f))

    def corners(self, rows: int, cols: int) -> tuple[tuple[float, float], ...]:
        """The map coordinates of the four outer corners, clockwise from the upper left."""
        a, b, c, d, e, f = self.transform
        points = ((0, 0), (cols, 0), (cols, rows), (0, rows))
        return tuple((a * x + b * y + c, d * x + e * y + f) for x, y in points)


@dataclass(frozen=True)
class CubeSpec:
    """Everything about a cube but its pixels."""

    bands: int
    rows: int
    cols: int
    dtype: np.dtype[Any]
    """The numbers as stored in the file, in native byte order."""
    nodata: float | None = None
    """The stored value that means "no data"."""
    gain: tuple[float, ...] | None = None
    """physical = stored * gain + offset, one number for all bands or one per band."""
    offset: tuple[float, ...] | None = None
    spectrum: Spectrum | None = None
    geo: Geo | None = None
    band_names: tuple[str, ...] | None = None
    description: str | None = None
    interleave: Interleave = "bsq"
    zoom: int = 1
    """How much finer this grid is than the one `native` describes."""
    native: object | None = field(default=None, repr=False)
    """The metadata of the file this came from, for a writer of the same format to carry over."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.bands, self.rows, self.cols

    @property
    def window(self) -> Window:
        """The whole scene."""
        return Window(0, 0, self.rows, self.cols)

    @property
    def nbytes(self) -> int:
        """The size of the pixels as stored, uncompressed."""
        return self.bands * self.rows * self.cols * self.dtype.itemsize

    def upscaled(self, scale: int) -> CubeSpec:
        """The same scene on a grid `scale` times finer; corners, bands and numbers unchanged."""
        return replace(
            self,
            rows=self.rows * scale,
            cols=self.cols * scale,
            geo=self.geo and self.geo.zoomed(scale),
            zoom=self.zoom * scale,
        )

    def with_bands(self, names: Sequence[str], *, description: str | None = None) -> CubeSpec:
        """The same grid with other bands: float32 in plain units, NaN as no data, no spectrum."""
        return replace(
            self,
            bands=len(names),
            dtype=np.dtype(np.float32),
            nodata=float("nan"),
            gain=None,
            offset=None,
            spectrum=None,
            band_names=tuple(names),
            description=description,
            interleave="bsq",
        )


class Cube(Protocol):
    """A scene opened for reading; nothing is loaded before `read`."""

    @property
    def spec(self) -> CubeSpec:
        """The shape and metadata."""

    @property
    def format(self) -> str:
        """The name of the file format."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file the scene consists of, the one to name first."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided or assumed while opening, in words."""

    def read(self, window: Window) -> Block:
        """The pixels of `window`: float32 (bands, rows, cols), physical, NaN = no data."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class CubeWriter(Protocol):
    """A scene being written; it appears under its name only when left without an error."""

    @property
    def spec(self) -> CubeSpec:
        """How the numbers are stored, for `encode`: not always what the writer was asked for."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that will appear."""

    @property
    def resumed(self) -> bool:
        """Whether what an earlier run stored is there, or what others at work store."""

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) as `encode` gives them at `window`.

        Every pixel at least once, in any order, from any thread; again only with the same numbers.
        """

    def sync(self) -> None:
        """Bring everything stored to the disk: it survives a crash of the machine."""

    def keep(self, kept: bool = True) -> None:
        """Whether leaving, in whatever way, leaves the parts for a run that resumes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def write_block(writer: CubeWriter, window: Window, block: Block) -> int:
    """Store physical values (bands, rows, cols) at `window`; returns the samples clipped."""
    stored, clipped = encode(block, writer.spec)
    writer.store(window, stored)
    return clipped


class ArrayCube:
    """A cube held in memory, for blocks that are on disk in a form of our own."""

    format = "array"
    notes: tuple[str, ...] = ()

    def __init__(self, block: Block, path: Path, spectrum: Spectrum | None = None) -> None:
        bands, rows, cols = block.shape
        self._block = block
        self.files = (path,)
        self.spec = CubeSpec(bands, rows, cols, np.dtype(np.float32), spectrum=spectrum)

    def read(self, window: Window) -> Block:
        """A copy of the pixels of `window`."""
        return np.array(self._block[:, *window.slices])

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


# numbers beyond float32 become infinite, and infinities no data: nothing to warn of
@np.errstate(over="ignore", invalid="ignore")
def decode(
    stored: NDArray[Any], spec: CubeSpec, bands: slice = _ALL, out: Block | None = None
) -> Block:
    """Stored numbers (bands, ...) to physical float32; no-data and infinities become NaN.

    `stored` holds the `bands` of the cube, in memory in any order; `out` receives the result.
    """
    values = np.empty(stored.shape, np.float32) if out is None else out
    order = _memory_order(stored)
    source, target = stored.transpose(order), values.transpose(order)
    gain, offset = (
        _per_band(numbers, bands, stored.shape, order) for numbers in (spec.gain, spec.offset)
    )
    fill = _stored_nodata(spec.nodata, stored.dtype)
    for piece in _pieces(source.shape):
        part = source[piece].astype(np.float32)
        if gain is not None:
            part *= gain[piece]
        if offset is not None:
            part += offset[piece]
        if fill is not None:
            _put(part, source[piece] == fill, np.nan)
        if stored.dtype.kind == "f":
            _put(part, ~np.isfinite(part), np.nan)
        target[piece] = part
    return values


@np.errstate(over="ignore", invalid="ignore")
def encode(block: Block, spec: CubeSpec) -> tuple[NDArray[Any], int]:
    """Physical values (bands, ...) to stored numbers, and how many had to be clipped.

    Integers are rounded to the nearest, halves to even; what does not fit the type is clipped to
    its range. NaN becomes the no-data value (0 in an integer cube that has none); a valid sample
    that would land on the no-data value is moved by one step, so that data never turns into a hole.
    In memory the numbers lie in the order of `block`.
    """
    order = _memory_order(block)
    source = block.transpose(order)
    stored = np.empty(source.shape, spec.dtype)
    gain, offset = (
        _per_band(numbers, _ALL, block.shape, order) for numbers in (spec.gain, spec.offset)
    )
    precision = _precision(spec)
    clipped = 0
    for piece in _pieces(source.shape):
        values = source[piece].astype(precision)
        if offset is not None:
            values -= offset[piece]
        if gain is not None:
            values /= gain[piece]
        clipped += _store(values, stored[piece], spec)
    return stored.transpose(np.argsort(order)), clipped


def _store(values: NDArray[Any], stored: NDArray[Any], spec: CubeSpec) -> int:
    """Round and clip `values`, which are overwritten, into `stored`; how many were clipped."""
    if spec.dtype.kind != "f":
        np.rint(values, out=values)
    (lowest, highest), clipped, missing = _limits(spec.dtype), 0, None
    # nearly always true, and false where there is a NaN
    if not lowest <= values.min(initial=0) <= values.max(initial=0) <= highest:
        missing = np.isnan(values)
        clipped = int(np.count_nonzero((values < lowest) | (values > highest)))
        np.copyto(values, 0, where=missing)
        np.clip(values, lowest, highest, out=values)
    np.copyto(stored, values, casting="unsafe")
    fill = _stored_nodata(spec.nodata, spec.dtype)
    if fill is not None:
        _put(stored, stored == fill, _beside(fill, spec.dtype))
    if missing is not None and (fill is not None or spec.dtype.kind == "f"):
        np.copyto(stored, np.nan if fill is None else fill, where=missing)
    return clipped


def _put(values: NDArray[Any], where: NDArray[np.bool_], number: Any) -> None:
    if where.any():
        np.copyto(values, number, where=where)


def _memory_order(array: NDArray[Any]) -> list[int]:
    """The axes, the one with the farthest steps in memory first."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def _pieces(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Indices that cut an array along its first axes into pieces that stay in cache."""
    size = math.prod(shape[1:])
    if size <= _PIECE:
        step = _PIECE // max(size, 1)
        yield from ((slice(start, start + step),) for start in range(0, shape[0], step))
        return
    for i in range(shape[0]):
        for rest in _pieces(shape[1:]):
            yield slice(i, i + 1), *rest


def _per_band(
    numbers: tuple[float, ...] | None, bands: slice, shape: Sequence[int], order: list[int]
) -> NDArray[np.float64] | None:
    """One number per sample of an array (bands, ...), with its axes in `order`."""
    if numbers is None:
        return None
    column = np.asarray(numbers if len(numbers) == 1 else numbers[bands], np.float64)
    return np.broadcast_to(column.reshape(-1, *[1] * (len(shape) - 1)), shape).transpose(order)


def _precision(spec: CubeSpec) -> np.dtype[Any]:
    """The type to compute in: float32 where it gives what float64 would."""
    narrow = spec.dtype.itemsize <= (4 if spec.dtype.kind == "f" else 2)
    return np.dtype(np.float32 if narrow and spec.gain is spec.offset is None else np.float64)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The smallest and the largest float64 that the type can hold."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    # 2^63 - 1 and 2^64 - 1 are rounded up
    fits = int(float(highest)) <= highest
    return float(lowest), float(highest) if fits else float(np.nextafter(float(highest), 0))


def _stored_nodata(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """The no-data value as a number of the type, None if the type cannot hold it.

    In the file's own precision, because -1.23e34 as text is not the float32 nearest to it.
    """
    if nodata is None or np.isnan(nodata):
        return None
    if dtype.kind == "f":
        return np.asarray(nodata).astype(dtype)[()]
    limits = np.iinfo(dtype)
    fits = np.isfinite(nodata) and nodata == int(nodata) and limits.min <= nodata <= limits.max
    return dtype.type(int(nodata)) if fits else None


def _beside(fill: Any, dtype: np.dtype[Any]) -> Any:
    """The next number of the type."""
    if dtype.kind == "f":
        return np.nextafter(fill, dtype.type(0 if fill else 1))
    return fill - dtype.type(1) if fill == np.iinfo(dtype).max else fill + dtype.type(1)
