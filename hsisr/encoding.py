"""Between the numbers of a file and physical values: the only place that converts.

A block is converted in pieces that stay in cache, with the same result as in one go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import ALL, Block, CubeSpec, CubeWriter
from hsisr.window import Window

_PIECE = 2**16
"""Samples that are converted at once: few enough for the cache, enough for threads to overlap."""


def write_block(writer: CubeWriter, window: Window, block: Block) -> int:
    """Store physical values (bands, rows, cols) at `window`; returns the samples clipped."""
    stored, clipped = encode(block, writer.spec)
    writer.store(window, stored)
    return clipped


# numbers beyond float32 become infinite, and infinities no data: nothing to warn of
@np.errstate(over="ignore", invalid="ignore")
def decode(
    stored: NDArray[Any], spec: CubeSpec, bands: slice = ALL, out: Block | None = None
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
    fill = stored_nodata(spec.nodata, stored.dtype)
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
def encode(
    block: Block, spec: CubeSpec, out: NDArray[Any] | None = None
) -> tuple[NDArray[Any], int]:
    """Physical values (bands, ...) to stored numbers, and how many had to be clipped.

    Integers are rounded to the nearest, halves to even; what does not fit the type is clipped to
    its range. NaN becomes the no-data value (0 in an integer cube that has none); a valid sample
    that would land on the no-data value is moved by one step, so that data never turns into a hole.
    In a map of classes that value is a class, and stays.
    They are put into `out`; without it, they lie in memory in the order of `block`.
    """
    order = _memory_order(block)
    source = block.transpose(order)
    stored = np.empty(source.shape, spec.dtype) if out is None else out.transpose(order)
    gain, offset = (
        _per_band(numbers, ALL, block.shape, order) for numbers in (spec.gain, spec.offset)
    )
    precision = _precision(spec)
    clipped = 0
    for piece in _pieces(source.shape):
        values = source[piece].astype(precision, copy=False)
        if offset is not None:
            values = values - offset[piece]
        if gain is not None:
            values = values / gain[piece]
        clipped += _store(values, stored[piece], spec)
    return stored.transpose(np.argsort(order)), clipped


def _store(values: NDArray[Any], stored: NDArray[Any], spec: CubeSpec) -> int:
    """Round and clip `values` into `stored`; how many were clipped."""
    if spec.dtype.kind != "f":
        values = np.rint(values)
    (lowest, highest), clipped, missing = _limits(spec.dtype), 0, None
    # nearly always true, and false where there is a NaN
    if not lowest <= values.min(initial=0) <= values.max(initial=0) <= highest:
        missing = np.isnan(values)
        clipped = int(np.count_nonzero((values < lowest) | (values > highest)))
        values = np.where(missing, 0, values).clip(lowest, highest)
    np.copyto(stored, values, casting="unsafe")
    fill = stored_nodata(spec.nodata, spec.dtype)
    if fill is not None and spec.classes is None:
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


def stored_nodata(nodata: float | None, dtype: np.dtype[Any]) -> Any:
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
