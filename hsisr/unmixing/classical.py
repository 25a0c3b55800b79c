"""Unmixing without a trained model: endmembers from the scene or a library, then algebra."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import Cube, CubeSpec
from hsisr.errors import InputError, UsageError, require_known
from hsisr.runtime import Runtime, single_threaded
from hsisr.scene.spectra import SPECTRA, good_bands, sample_pixels, statistics_of
from hsisr.scene.survey import Survey
from hsisr.tiling.operations import UnmixLinearly
from hsisr.unmixing.agreement import angles
from hsisr.unmixing.library import Library, read_library, reflectance_of_one
from hsisr.window import Window
from hsisr.wording import counted
from hsisr_models.abundances import SHELF as SOLVERS
from hsisr_models.contract import Solution
from hsisr_models.counts import FEWEST, MOST, capped
from hsisr_models.counts import SHELF as COUNTS
from hsisr_models.endmembers import SHELF as METHODS

_FLAT = 1e-6
"""Pixels that differ by less, in parts of their brightness, are all the same."""
_ALIKE = 1e-3
"""Radians: pixels whose spectra are all closer to their mean differ in brightness alone."""
LEAST_SQUARES = ("fcls", "nnls", "scls", "ls")
"""Solvers that differ in their constraints alone."""
_BY_CLASS = "mesma"
"""The solver that takes one endmember of a class."""
_SPARSE = (_BY_CLASS, "sunsal")
"""Solvers that make do with fewer bands than endmembers, as a pixel holds few of them."""


@dataclass(frozen=True)
class Solver:
    """How abundances are computed from endmembers."""

    name: str
    """On the shelf `abundances/`."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Its own, where they are not the usual ones."""

    def __post_init__(self) -> None:
        """Raises `UsageError` if there is none of that name."""
        require_known("abundances", self.name, SOLVERS)

    def __call__(self, spectra: Tensor, endmembers: Tensor) -> Solution:
        """Of what spectra (B, N) are made, see `AbundanceFile.solve`."""
        return SOLVERS[self.name].solve(spectra, endmembers, **self.numbers)

    def fitted(self, endmembers: NDArray[np.float32], classes: Sequence[str]) -> Solver:
        """The same for endmembers (p, B) of these classes, which `mesma` has to know."""
        if self.name != _BY_CLASS:
            return self
        places = {kind: place for place, kind in enumerate(dict.fromkeys(classes))}
        known = {
            "classes": tuple(places[kind] for kind in classes),
            "white": reflectance_of_one(endmembers),
        }
        return replace(self, numbers={**known, **self.numbers})

    @property
    def tells_gain(self) -> bool:
        """Whether it tells how bright a pixel is from what it is made of."""
        return SOLVERS[self.name].TELLS_GAIN

    @property
    def constraints(self) -> tuple[bool, bool]:
        """Whether abundances are to sum to one, and whether they are to be non-negative."""
        asc, anc = SOLVERS[self.name].SUM_TO_ONE, SOLVERS[self.name].NON_NEGATIVE
        return self.numbers.get("asc", asc), self.numbers.get("anc", anc)


@dataclass(frozen=True)
class InScene:
    """Endmembers that are looked for in the scene itself."""

    method: str
    """On the shelf `endmembers/`."""
    count: int | None = None
    """None for as many as the scene tells."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `UsageError` if there is no such method."""
        require_known("method", self.method, METHODS)

    @property
    def words(self) -> str:
        """For the reader."""
        up_to = "up to " if self.count is None else ""
        return f"{up_to}{counted(self.count or MOST, 'endmember')} by {self.method}"

    def most(self, spec: CubeSpec) -> int:
        """The largest number that can be found in a scene."""
        return self.count or min(MOST, int(good_bands(spec).sum()))

    def require_fit(self, spec: CubeSpec) -> None:
        """Raise `UsageError` if the scene has fewer bands than endmembers."""
        least, bands = self.count or FEWEST, int(good_bands(spec).sum())
        if least > bands == 1:
            raise UsageError(
                f"{least} endmembers cannot be told apart by one band",
                hint="a scene with more bands, or fewer of them marked bad",
            )
        if least > bands:
            raise UsageError(
                f"{least} endmembers cannot be told apart by {bands} bands",
                hint=f"--endmembers {bands} at most",
            )

    def sample(
        self, cube: Cube, count: int, windows: Iterable[Window] | None = None
    ) -> NDArray[np.float32]:
        """Pixels of a scene (N, B) to look for `count` endmembers in, 0 in bands marked bad.

        `windows` are the scene's `strips`. Raises `InputError` if there are too few, or all are of
        one material.
        """
        good, where = good_bands(cube.spec), cube.files[0]
        pixels = np.where(good, sample_pixels(cube, SPECTRA, self.seed, windows), np.float32(0))
        if count > len(pixels):
            raise InputError(
                f"{counted(count, 'endmember')} of {counted(len(pixels), 'pixel')} with data",
                where=where,
                hint="fewer --endmembers",
            )
        if count > 1:
            _require_variety(pixels, where)
        return pixels

    @single_threaded()
    def extracted(
        self, pixels: NDArray[np.float32], count: int, progress: Callable[[float], None]
    ) -> NDArray[np.float32]:
        """`count` endmembers (p, B) of pixels (N, B); `progress` is told the share that is done."""
        extract = METHODS[self.method].extract
        found = extract(torch.from_numpy(pixels), count, seed=self.seed, progress=progress)
        return found.numpy()


@dataclass(frozen=True)
class FromLibrary:
    """Endmembers that are the spectra of a library."""

    path: Path
    class_column: str | None = None
    """Of a table: the column that tells what a spectrum is a kind of."""

    @property
    def words(self) -> str:
        """For the reader."""
        return f"the spectra of {self.path.name}"

    def comparable(self, spec: CubeSpec) -> tuple[Library, NDArray[np.bool_]]:
        """The library to name spectra of a scene by, see `Library.comparable`."""
        return read_library(self.path, self.class_column).comparable(spec)

    def read(self, spec: CubeSpec, means: NDArray[np.floating] | None = None) -> Library:
        """The library on the bands of a scene, in its units where its band `means` (B,) are given.

        Raises `InputError` if it does not cover the bands, or the units cannot be told.
        """
        library = read_library(self.path, self.class_column).on(spec)
        return library if means is None else library.in_units_of(means)


@dataclass(frozen=True)
class LinearUnmixing:
    """Where endmembers come from, and how abundances are computed from them."""

    source: InScene | FromLibrary
    solver: Solver

    @property
    def name(self) -> str:
        """Both in a few words."""
        return f"{self.source.words}, abundances by {self.solver.name}"

    def require_fit(self, spec: CubeSpec) -> None:
        """Raise `UsageError` if a scene has too few bands."""
        if isinstance(self.source, InScene):
            self.source.require_fit(spec)

    def known(self, spec: CubeSpec) -> LinearMixture | None:
        """The mixture, where the scene need not be read for it; None if endmembers must be found.

        Raises as `FromLibrary.read` and `by_library`.
        """
        if isinstance(self.source, InScene):
            return None
        return self.by_library(self.source.read(spec), spec)

    def by_library(self, library: Library, spec: CubeSpec) -> LinearMixture:
        """The mixture by a library that is on the bands of the scene.

        Raises `UsageError` if the solver cannot tell as many spectra apart.
        """
        bands, many = int(good_bands(spec).sum()), len(library.names)
        if many > bands and self.solver.name not in _SPARSE:
            raise UsageError(
                f"{many} spectra cannot be told apart by {counted(bands, 'band')}",
                hint=f"--abundances {' or '.join(_SPARSE)}, or fewer spectra",
            )
        return self.mixture(library.spectra, spec, library.names, library.classes)

    def mixture(
        self,
        endmembers: NDArray[np.floating],
        spec: CubeSpec,
        names: tuple[str, ...],
        classes: tuple[str, ...] = (),
    ) -> LinearMixture:
        """The mixture by endmembers (p, B) on the bands of the scene."""
        good, kinds = good_bands(spec), classes or names
        known = np.where(good, endmembers, 0).astype(np.float32)
        return LinearMixture(known, names, kinds, self.solver.fitted(known, kinds), good)


@dataclass(frozen=True)
class LinearMixture:
    """The endmembers of a scene, with the solver for abundances."""

    endmembers: NDArray[np.float32]
    """(p, B), in the units of the scene; 0 in bands that are marked bad."""
    names: tuple[str, ...]
    """Of the endmembers."""
    classes: tuple[str, ...]
    """What each of them is a kind of."""
    solver: Solver
    good: NDArray[np.bool_]
    """Which bands count (B,)."""

    @property
    def materials(self) -> tuple[str, ...]:
        """The materials that get a map each: every class once."""
        return tuple(dict.fromkeys(self.classes))

    def operation(self, seen: Survey, runtime: Runtime) -> UnmixLinearly:
        """The mixture as an operation on the tiles of a surveyed scene."""
        del seen  # no pixel depends on another
        known, good = (
            torch.from_numpy(values).to(runtime.device) for values in (self.endmembers, self.good)
        )
        groups = None
        if len(self.materials) < len(self.classes):
            same = [[kind == material for kind in self.classes] for material in self.materials]
            groups = torch.tensor(same, dtype=torch.float64, device=runtime.device)
        return UnmixLinearly(self.solver, known, good, self.solver.tells_gain, groups)


def estimates(cube: Cube, windows: Iterable[Window] | None = None) -> dict[str, int]:
    """The number of endmembers of a scene, as estimated by every method.

    It is read once, in `windows` that are its `strips`. Raises `InputError` if it has too few
    pixels to tell.
    """
    mean, covariance, pixels = statistics_of(cube, windows)
    if pixels <= len(mean):
        raise InputError(
            f"{pixels} pixels of {len(mean)} bands do not tell how many endmembers there are",
            where=cube.files[0],
            hint="give their number: --endmembers 4",
        )
    return {name: COUNTS[name].count(mean, covariance, pixels) for name in COUNTS}


def settled(found: Mapping[str, int], spec: CubeSpec) -> int:
    """The number of endmembers to look for: the smallest estimate, within bounds."""
    return min(capped(found.values()), int(good_bands(spec).sum()))


def _require_variety(pixels: NDArray[np.float32], where: Path) -> None:
    """Raise `InputError` if pixels (N, B) are all the same, or of the same colour."""
    mean = pixels.mean(0, keepdims=True, dtype=np.float64)
    if np.ptp(pixels, 0).max() <= _FLAT * np.abs(pixels).max():
        what = "all pixels are the same"
    elif angles(mean, pixels.astype(np.float64)).max() <= _ALIKE:
        what = "all pixels have one spectrum, more or less bright"
    else:
        return
    raise InputError(
        f"{what}, so there is nothing to unmix", where=where, hint=f"hsisr info {where}"
    )
