"""What MAT files of unmixing hold: spectra as a matrix, maps and scenes as a cube or a matrix.

Of any version: v7.3 is HDF5 that MATLAB announces. In a matrix the pixels of a scene stand one
after the other, column by column, as MATLAB's `reshape` puts them there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube
from hsisr.errors import InputError
from hsisr.formats import ReadOptions, open_cube, recognised
from hsisr.formats._axes import MATLAB, Axes, parse_axes
from hsisr.formats._confined import Confined
from hsisr.formats._variable_cube import Found
from hsisr.formats._variables import Variable, listing
from hsisr.formats.hdf5.safe import explained, open_file, require_readable, walk
from hsisr.formats.mat5.decoder import dtype_of, extract, list_variables

Extract = Callable[[Variable], NDArray[np.generic]]

SPECTRA = frozenset({"gt", "m", "e", "endmembers"})
"""What the matrix of the endmembers is called beside the well-known truths."""
MAPS = frozenset({"a", "a_true", "s_gt", "abf", "abundance", "abundances"})
"""What their abundances are called."""
SCENES = frozenset({"y", "y_clean", "x", "mixed"})
"""What the scene is called that they belong to."""


_ANNOUNCED = b"MATLAB 7.3 MAT-file"


@dataclass(frozen=True)
class _Unfolded:
    """A variable as a cube."""

    variable: Variable
    """As the file has it."""
    shape: tuple[int, int, int]
    axes: Axes


def is_mat(path: Path) -> bool:
    """Whether a file is MATLAB's, of any version; raises `InputError` if it cannot be read."""
    module = recognised(path)
    return module is not None and (module.NAME == "mat5" or _is_v73(path))


def _is_v73(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ANNOUNCED)) == _ANNOUNCED


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Sequence[Variable], Extract]]:
    """What a file holds, in the shapes that MATLAB shows, and how to get at it."""
    if _is_v73(path):
        with open_file(path) as file, explained(path):
            yield walk(file, path), partial(_loaded, file, path)
    else:
        with Confined(path) as decoder:
            yield list_variables(decoder, path), partial(_extracted, decoder, path)


def _loaded(file: h5py.File, path: Path, variable: Variable) -> NDArray[np.generic]:
    dataset = file[variable.name]
    require_readable(dataset, path)
    stored: NDArray[np.generic] = dataset[()]
    return stored.T


def _extracted(decoder: Confined, path: Path, variable: Variable) -> NDArray[np.generic]:
    size = prod(variable.shape) * dtype_of(variable).itemsize
    stored, _ = extract(decoder, path, variable, size, {})
    return stored


def read_spectra(path: Path, count: int) -> NDArray[np.float64]:
    """The spectra (count, B) of as many materials that a file holds; raises `InputError`.

    The only matrix with `count` rows or columns and a name that endmembers are known by.
    """
    with _opened(path) as (variables, extracted):
        fitting = [v for v in variables if v.is_numeric and len(v.shape) == 2 and count in v.shape]
        known = [v for v in fitting if v.base.lower() in SPECTRA]
        if len(known) != 1:
            raise InputError(
                f"{len(known)} matrices that could be the spectra of {count} materials",
                where=path,
                hint=f"one with {count} rows, called {' or '.join(sorted(SPECTRA))}",
            )
        matrix = np.array(extracted(known[0]), np.float64)
    return matrix if matrix.shape[0] == count else np.ascontiguousarray(matrix.T)


def grids(path: Path) -> set[tuple[int, int]]:
    """The rows and columns of the maps and scenes that a file holds as cubes."""
    with _opened(path) as (variables, _):
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
    with _opened(path) as (variables, extracted):
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
        if not cubes[0].variable.is_cube:
            return _cube(cubes[0], extracted(cubes[0].variable), path)
    return open_cube(path, ReadOptions(cubes[0].variable.name, options.axes))


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
