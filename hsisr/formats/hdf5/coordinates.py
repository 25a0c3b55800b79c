"""Where the coordinates of columns and rows say that the pixels of a cube lie, as CF has them.

They are those of the centres of pixels, and believed rather than a `GeoTransform`: beside that of a
scene whose first row is the northernmost, GDAL writes the southernmost first, and what xarray cuts
out of a scene keeps the one of the whole.

Source: CF conventions 1.11, chapters 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hsisr.formats._axes import Axes
from hsisr.formats._variables import Variable
from hsisr.formats.hdf5.values import Place, Plain, text

Transform = tuple[float, float, float, float, float, float]

_TOLERANCE = 0.05
"""Of a pixel: northings in float32 are half a metre apart."""
_METRES = re.compile(r"m|met(er|re)s?")
_DEGREES = re.compile(r"degrees?_?([NSEW]|north|east)")
_ATTRIBUTES = ("units", "scale_factor", "add_offset")


class Lines(NamedTuple):
    """The names of the coordinates of a cube's columns and rows."""

    x: str
    y: str

    @property
    def places(self) -> list[Place]:
        """Where to look for what they tell."""
        return [(name, key) for name in self for key in (None, *_ATTRIBUTES)]

    def units(self, values: Mapping[Place, Plain]) -> str:
        """`m` or `degrees`; empty if that is not told, or what is stored are other numbers."""
        told = {_unit(text(values.get((name, "units"), ()))) for name in self}
        packed = any((name, key) in values for name in self for key in _ATTRIBUTES[1:])
        return told.pop() if len(told) == 1 and not packed else ""

    def transform(self, values: Mapping[Place, Plain]) -> Transform | None:
        """None where they are not evenly spaced."""
        across, down = (_spaced(values.get((name, None), ())) for name in self)
        if across is None or down is None:
            return None
        return across[1], 0.0, across[0], 0.0, down[1], down[0]


def lines_of(
    cube: Variable, axes: Axes | None, scales: Sequence[object], variables: Sequence[Variable]
) -> Lines | None:
    """The coordinates along a cube whose `axes` have `scales`, if both are variables."""
    if axes is None or len(scales) != len(cube.shape):
        return None
    numeric = {variable.name: variable.shape for variable in variables if variable.is_numeric}
    along = dict(zip(axes.order, zip(map(_name, scales), cube.shape, strict=True), strict=True))
    if any(numeric.get(name) != (length,) for name, length in (along["X"], along["Y"])):
        return None
    return Lines(along["X"][0], along["Y"][0])


def reconciled(told: Transform, found: Transform, rows: int) -> Transform:
    """`told`, with all its digits, if it is `found`, or is with its rows in the other order.

    Neither is rotated.
    """
    a, b, c, d, e, f = told
    near = _TOLERANCE * max(abs(a), abs(e))
    grids = told, (a, b, c, d, -e, f + e * rows)
    return next((grid for grid in grids if np.allclose(grid, found, rtol=0, atol=near)), found)


def _name(scale: object) -> str:
    return str(scale).strip("/")


def _unit(told: str) -> str:
    if _METRES.fullmatch(told):
        return "m"
    return "degrees" if _DEGREES.fullmatch(told) else ""


def _spaced(centres: Plain) -> tuple[float, float] | None:
    """The edge before the first of `centres`, and the step from one to the next."""
    numbers = np.array([item for item in centres if isinstance(item, float)])
    if len(numbers) < 2:
        return None
    step = (float(numbers[-1]) - float(numbers[0])) / (len(numbers) - 1)
    if not step or not np.isfinite([step, *numbers]).all():
        return None
    even = numbers[0] + step * np.arange(len(numbers))
    if not np.allclose(numbers, even, rtol=0, atol=_TOLERANCE * abs(step)):
        return None
    return float(numbers[0]) - step / 2, step
