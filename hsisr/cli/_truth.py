"""The truth that commands judge an unmixing by: its options, files and scores."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _shared as shared
from hsisr.errors import InputError, UsageError, require_known
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.unmixing.agreement import Matrix
    from hsisr.unmixing.truth import Score, Truth

ORACLES = ("fcls", "nnls")
"""Solvers that are run with the true endmembers, for comparison."""

_MAPS, _TABLE, _GAIN = "_abundance", "_endmembers.csv", "_gain"
"""Endings of the names of files that `hsisr unmix` writes."""
_ODD = 10
"""A scene this many times brighter or darker than its mixture must be in other units."""


def _conventions() -> list[str]:
    # to ask hsisr.unmixing.agreement for them would import scipy
    return ["physical", "max", "l2"]


File = Annotated[
    Path,
    typer.Option(
        "--truth",
        help="True abundances, of any format; a MAT file may hold the endmembers too, and the "
        "scene. Matrices are unfolded column by column (--axes XYB: row by row).",
    ),
]
Spectra = Annotated[
    Path | None,
    typer.Option(
        help="True endmembers, CSV, .sli or MAT. Default: with or beside the true abundances."
    ),
]
Unit = Annotated[
    float,
    typer.Option(
        help="What true endmembers are multiplied with to be in the units of the scene.",
    ),
]
Convention = Annotated[
    str | None,
    typer.Option(
        help="What abundances of the truth refer to: physical, max or l2. Default: all three.",
        autocompletion=_conventions,
    ),
]


def chosen(convention: str | None) -> list[str]:
    """The conventions to report: the one that is named, or all; raises `UsageError`."""
    if convention is None:
        return _conventions()
    require_known("convention", convention, _conventions())
    return [convention]


@dataclass(frozen=True)
class Asked:
    """The truth that a user named."""

    maps: Path
    spectra: Path | None
    scene: Path | None
    unit: float
    var: str | None
    axes: str | None

    def grid(self, *others: Path) -> tuple[int, int]:
        """Rows and columns of the scene, from the first file that says; raises `InputError`."""
        from hsisr.formats import ReadOptions
        from hsisr.unmixing.truth import grid_of

        told = [(path, ReadOptions()) for path in others]
        told.append((self.maps, ReadOptions(self.var, self.axes)))
        found = next((grid for path, asked in told if (grid := grid_of(path, asked))), None)
        if found is None:
            raise InputError(
                "does not tell how many rows and columns the scene has",
                where=self.maps,
                hint="save the abundances as an array of rows x columns x materials",
            )
        return found

    def opened(self, grid: tuple[int, int], files: ExitStack) -> Truth:
        """The truth for a scene of `grid`; raises `InputError`."""
        from hsisr.formats import ReadOptions
        from hsisr.unmixing.truth import Truth, open_maps, open_pixels, scene_within

        if not 0 < self.unit < math.inf:
            raise UsageError(f"a unit of {self.unit}", hint="--unit 10000, for example")
        maps = files.enter_context(open_maps(self.maps, grid, ReadOptions(self.var, self.axes)))
        spectra = self.unit * spectra_of(self.spectra, self.maps, maps.spec.bands)
        axes = ReadOptions(axes=self.axes)
        opened = open_pixels if self.scene else scene_within
        scene = opened(self.scene or self.maps, grid, axes)
        for cube in (maps, scene):
            for note in cube.notes if cube else ():
                shared.note(note)
        truth = Truth(maps, spectra, scene and files.enter_context(scene))
        if scene is not None:
            _tell_units(truth)
        return truth


def _tell_units(truth: Truth) -> None:
    ratio = truth.brightness()
    if not 1 / _ODD < ratio < _ODD:
        shared.warn(
            f"the scene is {ratio:.3g} times as bright as what it is said to be made of; "
            "--unit tells what true endmembers have to be multiplied with"
        )


def spectra_of(given: Path | None, maps: Path, count: int) -> Matrix:
    """`count` spectra from a library or a MAT file, by default from what goes with the maps."""
    import numpy as np

    from hsisr.unmixing.library import read_library
    from hsisr.unmixing.mat_files import read_spectra

    source = given or (maps if maps.suffix.lower() == ".mat" else _beside(maps, _TABLE))
    if source.suffix.lower() == ".mat":
        return read_spectra(source, count)
    if given is None and not source.is_file():
        raise InputError(
            f"no {source.name} with the spectra lies beside it",
            where=maps,
            hint="name them: --spectra FILE, of the truth --true-spectra FILE",
        )
    spectra = read_library(source).spectra
    whole = np.isfinite(spectra).all(1).sum()
    if len(spectra) != count or whole != count:
        raise InputError(
            f"holds {counted(whole, 'whole spectrum', 'whole spectra')}, "
            f"there are abundances of {count}",
            where=source,
        )
    return spectra


def gain_beside(abundances: Path) -> Path | None:
    """The map of the gain that `hsisr unmix` writes with a file of abundances, if it does."""
    gain = _beside(abundances, _GAIN + abundances.suffix)
    return gain if gain != abundances and gain.is_file() else None


def _beside(abundances: Path, ending: str) -> Path:
    return abundances.with_name(abundances.stem.removesuffix(_MAPS) + ending)


def oracle(solver: str) -> str:
    """The name of the row that scores the true endmembers."""
    return f"true endmembers, {solver}"


def overall(score: Score, conventions: list[str]) -> dict[str, Any]:
    """The summary of a score, for JSON."""
    result = score.agreement
    return {
        "pooled_rmse": {name: result.error(name) for name in conventions},
        "mean_rmse": {name: result.mean_error(name) for name in conventions},
        "sre_db": {name: result.ratio(name) for name in conventions},
        "reconstruction_rmse": score.residual,
    }
