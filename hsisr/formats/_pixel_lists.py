"""Matrices that list the pixels of a scene: bands x pixels, as data sets for unmixing are kept.

The pixels stand one after the other, column by column, as MATLAB's `reshape` puts them there; how
many rows and columns they come from is told by two numbers beside the matrix, or by maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.formats import ReadOptions
from hsisr.formats._axes import MATLAB, Axes, parse_axes
from hsisr.formats._metadata import Value
from hsisr.formats._variable_cube import Found, VariableCube
from hsisr.formats._variables import Variable, printable

Grid = tuple[int, int]
"""Rows and columns."""
_ROWS = frozenset({"nrow", "nrows", "rows", "lines", "nlines", "height", "h", "nr"})
_COLS = frozenset({"ncol", "ncols", "cols", "columns", "samples", "nsamples", "width", "w", "nc"})


@dataclass(frozen=True)
class PixelList:
    """A matrix, and the cube whose pixels it lists."""

    matrix: Variable
    cube: Variable
    """The same variable, in the shape of the cube."""
    axes: Axes
    """As MATLAB names them: the axis that varies fastest first."""

    @property
    def bands(self) -> int:
        """How many the scene has."""
        return self.axes.shape(self.cube.shape)[0]

    def scene(
        self,
        name: str,
        path: Path,
        stored: NDArray[Any],
        dtype: np.dtype[Any],
        why: str,
        metadata: Mapping[str, Value] = MappingProxyType({}),
    ) -> VariableCube:
        """The cube of numbers of type `dtype` in a matrix, `stored` as MATLAB shows it."""
        found = Found(self.cube, why, dtype, metadata, order="F", axes=self.axes)
        source = stored.reshape(self.cube.shape, order="F").T
        cube = found.cube(name, path, source, ReadOptions(), release=lambda: None)
        faster = "columns" if "YX" in str(self.axes) else "rows"
        cube.notes = (
            f"variable {self.matrix}: {why}",
            f"its pixels run along the {faster}; --axes names another order",
            *cube.notes[2:],
        )
        return cube


def pixel_list(matrix: Variable, grid: Grid, axes: Axes = MATLAB) -> PixelList | None:
    """The matrix as the pixels of a grid, if either its rows or its columns are as many as those.

    `axes` tell whether rows or columns of the grid vary faster, the shape tells the rest.
    """
    if not (matrix.is_numeric and len(matrix.shape) == 2 and min(matrix.shape) > 0):
        return None
    if matrix.shape.count(prod(grid)) != 1:
        return None
    across, bands_first = str(axes).replace("B", ""), matrix.shape[1] == prod(grid)
    order = Axes(f"B{across}" if bands_first else f"{across}B")
    bands = matrix.shape[0 if bands_first else 1]
    return PixelList(matrix, replace(matrix, shape=order.stored((bands, *grid))), order)


def listed(
    variables: Sequence[Variable], options: ReadOptions, number: Callable[[Variable], float]
) -> tuple[PixelList, str] | None:
    """The matrix that lists the pixels of the scene, and why in words; None if a cube holds it.

    It is the one that was asked for, or the one with the most bands, if it has more than all 3-D
    variables and none of these has a well-known name. `number` reads a scalar.
    """
    if options.var is not None or not any(v.is_known_cube for v in variables):
        wanted = [v for v in variables if options.var in (None, v.name, v.base)]
        most = max((v.shape[2] for v in wanted if v.is_cube), default=0)
        axes = parse_axes(options.axes) if options.axes else MATLAB
        for grid, told in _grids(variables, number):
            lists = [found for v in wanted if (found := pixel_list(v, grid, axes))]
            best = max(lists, key=lambda pixels: pixels.bands, default=None)
            if best is not None and best.bands > most:
                return best, "pixels of {} rows and {} columns, as {}".format(*grid, told)
    return None


def _grids(
    variables: Sequence[Variable], number: Callable[[Variable], float]
) -> Iterator[tuple[Grid, str]]:
    """By two numbers beside the matrix, then by the maps that are cubes; and by what."""
    scalars = [v for v in variables if v.is_numeric and v.shape and prod(v.shape) == 1]
    rows, cols = ([v for v in scalars if v.base.lower() in names] for names in (_ROWS, _COLS))
    if len(rows) == 1 and len(cols) == 1:
        size = number(rows[0]), number(cols[0])
        if all(length.is_integer() and length > 0 for length in size):
            names = " and ".join(printable(v.name) for v in (rows[0], cols[0]))
            yield (int(size[0]), int(size[1])), f"{names} tell"
    cubes = {(v.shape[0], v.shape[1]): printable(v.name) for v in variables if v.is_cube}
    if len(cubes) == 1:
        for grid, name in cubes.items():
            yield grid, f"those of {name}"
