"""Which variable of a MAT or HDF5 file is the scene."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from hsisr.errors import InputError, NoCubeError, UsageError
from hsisr.window import Window

_SCENES = frozenset({"cube", "datacube", "hypercube", "scene", "data", "img", "image"}) | {
    *("hsi", "hsi_img", "hyperspectral", "refl", "reflectance", "reflectance_data"),
    *("rad", "radiance", "radiance_data", "surface_reflectance", "toa_radiance"),
}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
NUMBERS = frozenset({*_INTEGERS, "float16", "float32", "float64", "single", "double"})
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Variable:
    """Something a file holds: its name, its shape as users of the file see it, and its kind."""

    name: str
    """With the groups it lies in, separated by slashes."""
    shape: tuple[int, ...]
    kind: str
    """A numeric type, or what it is instead: `cell`, `sparse`, `external link`."""

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"{printable(self.name)} ({f'{size} {self.kind}'.strip()})"

    @property
    def base(self) -> str:
        """The name without its groups."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def is_numeric(self) -> bool:
        """Whether it is a dense array of real numbers."""
        return self.kind in NUMBERS

    @property
    def is_cube(self) -> bool:
        """Whether it is numeric and has three axes, none of them empty."""
        return self.is_numeric and len(self.shape) == 3 and prod(self.shape) > 0

    @property
    def is_known_cube(self) -> bool:
        """Whether it is a cube that is called as scenes are."""
        return self.is_cube and self.base.lower() in _SCENES


@dataclass(frozen=True)
class Origin:
    """What a writer of the same format carries over: the name of the variable that was read."""

    variable: str

    def part(self, bands: Sequence[int], window: Window) -> Origin:
        """The same: a part of a variable keeps its name."""
        return self


def printable(name: str) -> str:
    """A name from a file, safe to show on a terminal."""
    return repr(name)[1:-1][:80]


def choose(variables: Sequence[Variable], wanted: str | None, path: Path) -> tuple[Variable, str]:
    """The variable that holds the scene, and why in words.

    The one that is `wanted`, else the only 3-D one, else the only 3-D one with a well-known name.
    Raises `InputError` if none or several remain, `UsageError` if there is none called `wanted`.
    """
    if wanted is not None:
        return _named(variables, wanted, path), "as asked"
    cubes = [variable for variable in variables if variable.is_cube]
    known = [variable for variable in cubes if variable.is_known_cube]
    if not cubes:
        raise _none(variables, path)
    if len(cubes) == 1:
        if not known:
            _require_not_derived(cubes[0], variables, path)
        return cubes[0], "the only 3-D one"
    if len(known) != 1:
        raise _several(cubes, path)
    others = [cube for cube in cubes if cube is not known[0]]
    return known[0], f"by its name; also 3-D: {listing(others)}"


def listing(variables: Sequence[Variable]) -> str:
    """Names, shapes and kinds in one line, cut off where it gets long."""
    shown = ", ".join(map(str, variables[:_LISTED]))
    more = len(variables) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def _named(variables: Sequence[Variable], wanted: str, path: Path) -> Variable:
    exact = [variable for variable in variables if variable.name == wanted.strip("/")]
    found = exact or [variable for variable in variables if variable.base == wanted]
    if len(found) != 1:
        raise UsageError(
            f"no variable '{wanted}'" if not found else f"several variables '{wanted}'",
            where=path,
            hint=f"--var with one of: {listing(found or variables)}",
        )
    if not found[0].is_cube:
        raise InputError(
            f"variable {found[0]} is not a numeric array with three axes",
            where=path,
            hint=_hint(variables),
        )
    return found[0]


def _several(cubes: Sequence[Variable], path: Path) -> InputError:
    return InputError(
        f"holds {len(cubes)} 3-D variables: {listing(cubes)}",
        where=path,
        hint=f"choose one with --var, for example --var {shlex.quote(printable(cubes[0].name))}",
    )


def _none(variables: Sequence[Variable], path: Path) -> InputError:
    found = listing(variables) or "no variables at all"
    kind = NoCubeError if variables else InputError
    return kind(f"no 3-D variable; found {found}", where=path, hint=_hint(variables))


def _hint(variables: Sequence[Variable]) -> str:
    cubes = [variable for variable in variables if variable.is_cube]
    if cubes:
        return f"--var with one of: {listing(cubes)}"
    matrices = [v for v in variables if v.is_numeric and len(v.shape) == 2 and min(v.shape) > 1]
    long = [matrix for matrix in matrices if max(matrix.shape) >= 4 * min(matrix.shape)]
    if long:
        return _reshape(max(long, key=lambda matrix: prod(matrix.shape)))
    advice = "save the scene as a numeric array of rows x columns x bands"
    return f"if each 2-D variable is a band, stack them: {advice}" if len(matrices) > 2 else advice


def _reshape(matrix: Variable) -> str:
    name = printable(matrix.base)
    pixels = f"{name}'" if matrix.shape[0] < matrix.shape[1] else name
    cube = f"reshape({pixels}, rows, columns, bands)"
    return f"if {matrix} lists pixels, save nRow and nCol beside it, or {cube}, from MATLAB"


def _require_not_derived(cube: Variable, variables: Sequence[Variable], path: Path) -> None:
    """Refuse a 3-D array of few bands beside a matrix with more bands of the same pixels.

    Unmixing files hold abundance maps as a cube and the scene itself as bands x pixels.
    """
    for matrix in variables:
        if matrix.is_numeric and len(matrix.shape) == 2 and _is_richer(matrix.shape, cube.shape):
            raise InputError(
                f"the only 3-D variable, {cube}, has the same pixels as {matrix} but fewer bands",
                where=path,
                hint=f"{_reshape(matrix)}; --var {printable(cube.name)} opens the 3-D one",
            )


def _is_richer(matrix: Sequence[int], cube: Sequence[int]) -> bool:
    rows, cols, bands = cube
    spectrum = {matrix[0]: matrix[1], matrix[1]: matrix[0]}.get(rows * cols, 0)
    return spectrum > bands
