"""How the pixels of a scene are arranged in a TIFF file: in tiles, or in strips if it is small."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.formats._axes import Axes
from hsisr.formats._layout import RawLayout, TiledLayout

_MOST_BY_PIXEL = 64
"""Bands that are stored side by side: GDAL's memory grows with the square of their number."""
_SIDE, _UNIT = 256, 16
"""Pixels: the longest side of a tile, and what TIFF wants sides to be a multiple of."""
_TILE = 2 << 20
"""Few enough bytes that a viewer which wants one pixel of all bands need not read much more."""


def stored_axes(spec: CubeSpec) -> Axes:
    """The order in which the pixels of `spec` are written."""
    by_pixel = spec.interleave == "bip" and 1 < spec.bands <= _MOST_BY_PIXEL
    return Axes("YXB" if by_pixel else "BYX")


def layout_of(spec: CubeSpec, offset: int = 0) -> RawLayout | TiledLayout:
    """The places of the pixels behind `offset` bytes.

    In tiles where the scene is both higher and wider than one: of windows, less is read then.
    """
    axes, dtype = stored_axes(spec), spec.dtype.newbyteorder("<")
    together = spec.bands if axes.order == "YXB" else 1
    side = min(_SIDE, math.isqrt(_TILE // (together * dtype.itemsize)) // _UNIT * _UNIT)
    if min(spec.rows, spec.cols) <= side:
        return RawLayout(axes, spec.shape, dtype, offset)
    tile = spec.bands, _fitted(spec.rows, side), _fitted(spec.cols, side)
    return TiledLayout(RawLayout(axes, tile, dtype, offset), (spec.rows, spec.cols))


def _fitted(length: int, side: int) -> int:
    """The side of as many tiles with the least beyond the scene."""
    return math.ceil(length / math.ceil(length / side) / _UNIT) * _UNIT


def tile_table(layout: TiledLayout) -> tuple[NDArray[np.int64], int]:
    """Where tiles begin after the first, band by band as in the standard; and the bytes of each."""
    planes = layout.first.shape[0] if layout.first.axes.order == "BYX" else 1
    size = layout.first.nbytes // planes
    # in the file, the bands of a tile follow each other
    order = np.arange(math.prod(layout.grid) * planes).reshape(-1, planes).T.ravel()
    return order * size, size
