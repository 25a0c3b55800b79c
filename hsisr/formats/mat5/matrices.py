"""What MAT files of unmixing hold: spectra as a matrix, maps and scenes as a cube or a matrix.

In a matrix the pixels of a scene stand one after the other, column by column, as MATLAB's
`reshape` puts them there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube
from hsisr.errors import InputError
from hsisr.formats import ReadOptions
from hsisr.formats._axes import MATLAB, Axes, parse_axes
from hsisr.formats._confined import Confined
from hsisr.formats._variable_cube import Found
from hsisr.formats._variables import Variable, listing
from hsisr.formats.mat5.decoder import dtype_of, extract, list_variables

SPECTRA = frozenset({"gt", "m", "e", "endmembers"})
"""What the matrix of the endmembers is called beside the well-known truths."""
MAPS = frozenset({"a", "a_true", "s_gt", "abf", "abundance", "abundances"})
"""What their abundances are called."""
SCENES = frozenset({"y", "y_clean", "x", "mixed"})
"""What the scene is called that they belong to."""


@dataclass(frozen=True)
class _Unfolded:
    """A variable as a cube."""

    variable: Variable
    """As the file has it."""
    shape: tuple[int, int, int]
    axes: Axes


def read_spectra(path: Path, count: int) -> NDArray[np.float64]:
    """The spectra (count, B) of as many materials that a file holds; raises `InputError`.

    The only matrix with `count` rows or columns and a name that endmembers are known by.
    """
    with Confined(path) as decoder:
        variables = list_variables(decoder, path)
        fitting = [v for v in variables if v.is_numeric and len(v.shape) == 2 and count in v.shape]
        known = [v for v in fitting if v.base.lower() in SPECTRA]
        if len(known) != 1:
            raise InputError(
                f"{len(known)} matrices that could be the spectra of {count} materials",
                where=path,
                hint=f"one with {count} rows, called {' or '.join(sorted(SPECTRA))}",
            )
        matrix = np.array(_extracted(decoder, path, known[0]), np.float64)
    return matrix if matrix.shape[0] == count else np.ascontiguousarray(matrix.T)


def grids(path: Path) -> set[tuple[int, int]]:
    """The rows and columns of the maps and scenes that a file holds as cubes."""
    with Confined(path) as decoder:
        variables = list_variables(decoder, path)
    cubes = [variable for variable in variables if variable.is_cube]
    known = [variable for variable in cubes if variable.base.lower() in MAPS | SCENES]
    return {(cube.shape[0], cube.shape[1]) for cube in known or cubes}


def read_unfolded(
    path: Path, options: ReadOptions, grid: tuple[int, int], names: Collection[str]
) -> Cube | None:
    """The maps or the scene of `grid` (rows, cols), called by one of `names` or as asked for.

    A cube goes before a matrix. None where there is nothing of that kind; raises `InputError` where
    there are several.
    """
    axes = parse_axes(options.axes) if options.axes else None
    with Confined(path) as decoder:
        variables = list_variables(decoder, path)
        found = [
            cube for v in _called(variables, options.var, names) for cube in _as(v, axes, grid)
        ]
        cubes = [cube for cube in found if cube.variable.is_cube] or found
        if len(cubes) > 1:
            raise InputError(
                f"several variables that could be meant: {listing([c.variable for c in cubes])}",
                where=path,
                hint="choose one with --var",
            )
        if not cubes:
            return None
        stored = _extracted(decoder, path, cubes[0].variable)
    return _cube(cubes[0], stored, path)


def _called(
    variables: Sequence[Variable], wanted: str | None, names: Collection[str]
) -> list[Variable]:
    numeric = [variable for variable in variables if variable.is_numeric]
    if wanted is not None:
        return [variable for variable in numeric if wanted in (variable.name, variable.base)]
    return [variable for variable in numeric if variable.base.lower() in names]


def _as(variable: Variable, axes: Axes | None, grid: tuple[int, int]) -> Iterator[_Unfolded]:
    """A variable as a cube, if it is one of that grid.

    Of a matrix the axes tell whether rows or columns vary faster, its shape tells the rest.
    """
    if variable.is_cube:
        order = axes or MATLAB
        shape = variable.shape[0], variable.shape[1], variable.shape[2]
        if order.shape(shape)[1:] == grid:
            yield _Unfolded(variable, shape, order)
    elif len(variable.shape) == 2 and prod(grid) in variable.shape and 0 not in variable.shape:
        across = str(axes or MATLAB).replace("B", "")
        bands_first = variable.shape[1] == prod(grid)
        order = Axes(f"B{across}" if bands_first else f"{across}B")
        bands = variable.shape[0 if bands_first else 1]
        yield _Unfolded(variable, order.stored((bands, *grid)), order)


def _cube(unfolded: _Unfolded, stored: NDArray[np.generic], path: Path) -> Cube:
    variable = replace(unfolded.variable, shape=unfolded.shape)
    found = Found(variable, "", stored.dtype, {}, order="F", axes=unfolded.axes)
    source = stored.reshape(unfolded.shape, order="F").T
    cube = found.cube("mat5", path, source, ReadOptions(), release=lambda: None)
    cube.notes = (f"variable {unfolded.variable}, as axes {unfolded.axes} of {variable.shape}",)
    return cube


def _extracted(decoder: Confined, path: Path, variable: Variable) -> NDArray[np.generic]:
    size = prod(variable.shape) * dtype_of(variable).itemsize
    stored, _ = extract(decoder, path, variable, size, {})
    return stored
