"""A scene as a coarser sensor would have seen it, computed window by window when it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import torch

from hsisr.cube import ALL, Block, Cube, Geo
from hsisr.errors import InputError, require_known
from hsisr.scene import gaps
from hsisr.window import Window
from hsisr_models.imaging import OPERATORS, degrade

SUPPORT = 3
"""No operator looks farther than this many low-resolution pixels."""


def known_operator(name: str) -> str:
    """The name of an operator as a user gave it; raises `UsageError` for an unknown one."""
    require_known("degradation", name, OPERATORS)
    return name


def degrade_block(high: Block, scale: int, operator: str) -> Block:
    """A block (B, h, w) at the lower resolution; NaN wherever a pixel below is missing."""
    # so deep that no pixel that is kept can see what a window's mean has filled
    filled = gaps.fill(high, gaps.band_means(high), depth=SUPPORT * scale)
    low = degrade(torch.from_numpy(np.ascontiguousarray(filled))[None], scale, operator)[0].numpy()
    low[gaps.pooled(np.isnan(high), scale)] = np.nan
    return low


class DegradedCube:
    """The cube `source` at 1/`scale` of its resolution; rows and columns beyond a multiple drop."""

    def __init__(self, source: Cube, scale: int, operator: str) -> None:
        spec = source.spec
        rows, cols = spec.rows // scale, spec.cols // scale
        if min(rows, cols) < 1:
            raise InputError(
                f"{spec.rows} x {spec.cols} pixels cannot be degraded by {scale}",
                where=source.files[0],
            )
        self._source, self._scale, self._operator = source, scale, operator
        self.format, self.files, self.notes = source.format, source.files, source.notes
        self.spec = replace(
            spec, rows=rows, cols=cols, geo=spec.geo and _coarser(spec.geo, scale), native=None
        )

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """Read the pixels below `window` and around it, and degrade them."""
        # as far as an operator looks, and as far as what it sees may have been filled from
        wide = window.grown(2 * SUPPORT, self.spec.window)
        high = self._source.read(wide.zoomed(self._scale), bands)
        low = degrade_block(high, self._scale, self._operator)
        return low[:, *window.relative_to(wide).slices]

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _coarser(geo: Geo, scale: int) -> Geo:
    a, b, c, d, e, f = geo.transform
    return replace(geo, transform=(a * scale, b * scale, c, d * scale, e * scale, f))
