"""The known endmembers and abundances of a scene, and the score of an unmixing by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hsisr.cube import Block, Cube
from hsisr.errors import InputError
from hsisr.evaluate import strips_of
from hsisr.formats import ReadOptions, open_cube
from hsisr.scene.spectra import good_bands
from hsisr.unmixing import mat_files
from hsisr.unmixing.agreement import Agreement, Comparison, Matrix, Residual
from hsisr.window import Window
from hsisr.wording import counted
from hsisr_models.abundances import SHELF as SOLVERS


class Part(NamedTuple):
    """A strip of an unmixing."""

    window: Window
    abundances: Block
    """(p, h, w)."""
    gain: Block | None = None
    """(1, h, w), where a pixel is not as bright as its abundances tell."""


class Score(NamedTuple):
    """How good an unmixing is."""

    agreement: Agreement
    residual: float | None
    """Root mean square of what it leaves of the scene, in its units; None without a scene."""


@dataclass(frozen=True)
class Truth:
    """The true endmembers and abundances of a scene."""

    maps: Cube
    """Abundances."""
    spectra: Matrix
    """(t, B), in the units of the scene."""
    scene: Cube | None = None

    def __post_init__(self) -> None:
        """Raises `InputError` if the parts do not belong together."""
        scene, spec = self.scene, self.maps.spec
        if scene is None:
            return
        if (scene.spec.rows, scene.spec.cols) != (spec.rows, spec.cols):
            raise InputError(
                f"is {scene.spec.rows} x {scene.spec.cols} pixels, "
                f"the truth is {spec.rows} x {spec.cols}",
                where=scene.files[0],
            )
        if scene.spec.bands != self.spectra.shape[1]:
            raise InputError(
                f"has {counted(scene.spec.bands, 'band')}, "
                f"the true spectra have {self.spectra.shape[1]}",
                where=scene.files[0],
            )

    def score(self, spectra: Matrix, parts: Iterable[Part]) -> Score:
        """The score of endmembers (p, B) and their abundances."""
        good = slice(None) if self.scene is None else good_bands(self.scene.spec)
        comparison = Comparison(self.spectra[:, good], spectra[:, good])
        residual = Residual(spectra[:, good])
        for window, abundances, gain in parts:
            comparison.update(self.maps.read(window), abundances)
            if self.scene is not None:
                weights = abundances if gain is None else abundances * gain
                residual.update(self.scene.read(window)[good], weights)
        return Score(comparison.result(), None if self.scene is None else residual.result())

    def written(self, maps: Cube, gain: Cube | None = None) -> Iterator[Part]:
        """An unmixing from its files; raises `InputError` if these have another size."""
        rows, cols = self.maps.spec.rows, self.maps.spec.cols
        gains = None if gain is None else strips_of(gain, rows, cols)
        for window, block in strips_of(maps, rows, cols):
            yield Part(window, block, None if gains is None else next(gains)[1])

    def brightness(self) -> float:
        """How many times brighter the scene is than what it is said to be a mixture of."""
        assert self.scene is not None
        there, mixed, good = 0.0, 0.0, good_bands(self.scene.spec)
        for window, abundances, _ in self.written(self.maps):
            mixture = np.einsum("phw,p->hw", abundances, self.spectra[:, good].mean(1))
            block = self.scene.read(window)[good].mean(0)
            both = np.isfinite(mixture) & np.isfinite(block)
            there, mixed = there + float(block[both].sum()), mixed + float(mixture[both].sum())
        return there / mixed if mixed else np.nan

    def oracle(self, solver: str) -> Score:
        """What remains to be gained: the score of the true endmembers with one of `SOLVERS`."""
        assert self.scene is not None
        return self.score(self.spectra, solved(self.scene, self.spectra, solver))


def solved(scene: Cube, spectra: Matrix, solver: str) -> Iterator[Part]:
    """A scene unmixed into endmembers (p, B) by one of `SOLVERS`."""
    good = good_bands(scene.spec)
    known = torch.from_numpy(spectra[:, good])
    for window, block in strips_of(scene, scene.spec.rows, scene.spec.cols):
        pixels = torch.from_numpy(block[good]).flatten(1)
        found = SOLVERS[solver].solve(pixels, known)
        abundances, gain = (
            x.reshape(-1, *block.shape[1:]).numpy().astype(np.float32) for x in found
        )
        yield Part(window, abundances, gain)


def grid_of(path: Path, options: ReadOptions) -> tuple[int, int] | None:
    """The rows and columns of the maps or the scene in a file, None where it does not tell."""
    if mat_files.is_mat(path) and options.var is None:
        found = mat_files.grids(path)
        return found.pop() if len(found) == 1 else None
    with open_cube(path, options) as cube:
        return cube.spec.rows, cube.spec.cols


def open_maps(path: Path, grid: tuple[int, int], options: ReadOptions) -> Cube:
    """True abundances of a scene of `grid` (rows, columns); raises `InputError`.

    Those of a MAT file may be a matrix of maps, whose pixels run down the columns.
    """
    found = _opened(path, grid, options, mat_files.MAPS)
    if found is None and options.var is None and mat_files.is_mat(path):
        _require_no_other(mat_files.grids(path), grid, path)
    return found or open_cube(path, options)


def _require_no_other(grids: set[tuple[int, int]], wanted: tuple[int, int], path: Path) -> None:
    if grids and wanted not in grids:
        held = " and ".join(f"{rows} x {cols}" for rows, cols in sorted(grids))
        raise InputError(
            f"holds maps of {held} pixels, the scene is {wanted[0]} x {wanted[1]}", where=path
        )


def open_pixels(path: Path, grid: tuple[int, int], options: ReadOptions) -> Cube:
    """A scene of `grid` (rows, columns), in a MAT file as a matrix too; raises `InputError`."""
    return _opened(path, grid, options, mat_files.SCENES) or open_cube(path, options)


def scene_within(path: Path, grid: tuple[int, int], options: ReadOptions) -> Cube | None:
    """The scene that a MAT file holds beside true abundances, if any."""
    return _opened(path, grid, options, mat_files.SCENES)


def _opened(
    path: Path, grid: tuple[int, int], options: ReadOptions, names: frozenset[str]
) -> Cube | None:
    return mat_files.read_unfolded(path, options, grid, names) if mat_files.is_mat(path) else None
