"""The truth of an unmixing in MAT files: spectra as a matrix, maps and scene as cubes or matrices.

Files may be of any MATLAB version; v7.3 is HDF5 with a header of its own. The pixels of a matrix
stand column by column, as MATLAB's `reshape` leaves them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube
from hsisr.errors import InputError
from hsisr.formats import ReadOptions, open_cube, recognised
from hsisr.formats._axes import MATLAB, parse_axes
from hsisr.formats._confined import Confined
from hsisr.formats._pixel_lists import pixel_list
from hsisr.formats._variables import Variable, listing
from hsisr.formats.hdf5.safe import explained, loaded, open_file, walk
from hsisr.formats.mat5.decoder import extract, list_variables
from hsisr.wording import counted

Extract = Callable[[Variable], NDArray[np.generic]]

SPECTRA = frozenset({"gt", "m", "e", "endmembers"})
"""What the matrix of the endmembers is called beside the well-known truths."""
MAPS = frozenset({"a", "a_true", "s_gt", "abf", "abundance", "abundances"})
"""What their abundances are called."""
SCENES = frozenset({"y", "y_clean", "x", "mixed"})
"""What the scene is called that they belong to."""

_ANNOUNCED = b"MATLAB 7.3 MAT-file"


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
            yield walk(file, path), lambda variable: loaded(file, variable, path).T
    else:
        with Confined(path) as decoder:
            yield list_variables(decoder, path), partial(_extracted, decoder, path)


def _extracted(decoder: Confined, path: Path, variable: Variable) -> NDArray[np.generic]:
    stored, _ = extract(decoder, path, variable, {})
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
                f"{counted(len(known), 'matrix', 'matrices')} that could be the spectra of "
                f"{counted(count, 'material')}",
                where=path,
                hint=f"one with {counted(count, 'row')}, called {' or '.join(sorted(SPECTRA))}",
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
    axes = parse_axes(options.axes) if options.axes else MATLAB
    with _opened(path) as (variables, extracted):
        called = _called(variables, options.var, names)
        cubes = [v for v in called if v.is_cube and axes.shape(v.shape)[1:] == grid]
        lists = [found for v in called if (found := pixel_list(v, grid, axes))]
        meant = cubes or [pixels.matrix for pixels in lists]
        if len(meant) > 1:
            raise InputError(
                f"several variables that could be meant: {listing(meant)}",
                where=path,
                hint="choose one with --var",
            )
        if not meant:
            return None
        if not cubes:
            stored = extracted(meant[0])
            return lists[0].scene("mat5", path, stored, stored.dtype, "as asked")
    return open_cube(path, ReadOptions(meant[0].name, options.axes))


def _called(
    variables: Sequence[Variable], wanted: str | None, names: Collection[str]
) -> list[Variable]:
    numeric = [variable for variable in variables if variable.is_numeric]
    if wanted is not None:
        return [variable for variable in numeric if wanted in (variable.name, variable.base)]
    return [variable for variable in numeric if variable.base.lower() in names]
