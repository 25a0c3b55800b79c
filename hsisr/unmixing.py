"""Unmixing without a trained model: endmembers from the scene itself, abundances by algebra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsisr.cube import Block, Cube, CubeSpec
from hsisr.errors import InputError, UsageError
from hsisr.operations import UnmixLinearly
from hsisr.runtime import Runtime
from hsisr.survey import Survey, good_bands, sample_pixels
from hsisr_models.abundances import SHELF as SOLVERS
from hsisr_models.endmembers import SHELF as METHODS

_SAMPLE = 20_000
"""Pixels of a scene that endmembers are looked for in."""
_DEAD = 0.005
"""An endmember of which a scene holds less, on average, is in none of its pixels."""
_FLAT = 1e-6
"""Pixels that differ by less, in parts of their brightness, are all the same."""


@dataclass(frozen=True)
class LinearMixture:
    """A scene's endmembers, and how pixels are made of them."""

    endmembers: NDArray[np.float32]
    """(p, B), in the units of the scene; 0 in bands that are marked bad."""
    solver: str
    """On the shelf `abundances/`."""
    good: NDArray[np.bool_]
    """Which bands count (B,)."""

    def operation(self, seen: Survey, runtime: Runtime) -> UnmixLinearly:
        """The mixture as an operation on the tiles of a surveyed scene."""
        del seen  # no pixel depends on another
        known, good = (
            torch.from_numpy(values).to(runtime.device) for values in (self.endmembers, self.good)
        )
        return UnmixLinearly(SOLVERS[self.solver].solve, known, good)


@dataclass(frozen=True)
class BlindUnmixing:
    """What to find in a scene of which nothing is known."""

    count: int
    """Of endmembers."""
    method: str
    """On the shelf `endmembers/`."""
    abundances: str
    """On the shelf `abundances/`."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises `UsageError` for a method or a solver that does not exist."""
        try:
            METHODS[self.method], SOLVERS[self.abundances]
        except LookupError as error:
            raise UsageError(str(error)) from None

    @property
    def name(self) -> str:
        """Both methods, in a few words."""
        return f"endmembers by {self.method}, abundances by {self.abundances}"

    def require_fit(self, spec: CubeSpec) -> None:
        """Raise `UsageError` if the scene has fewer bands than endmembers."""
        bands = int(good_bands(spec).sum())
        if self.count > bands:
            raise UsageError(
                f"{self.count} endmembers cannot be told apart by {bands} bands",
                hint=f"--endmembers {bands} at most",
            )

    def endmembers(self, cube: Cube) -> NDArray[np.float32]:
        """Those of a scene (p, B), 0 in bands that are marked bad.

        Raises `InputError` if they cannot be found.
        """
        good, pixels = good_bands(cube.spec), sample_pixels(cube, _SAMPLE, self.seed)
        pixels = np.where(good, pixels, np.float32(0))
        if self.count > len(pixels):
            raise InputError(
                f"{self.count} endmembers of {len(pixels)} pixels with data",
                where=cube.files[0],
                hint="fewer --endmembers",
            )
        if self.count > 1 and np.ptp(pixels, 0).max() <= _FLAT * np.abs(pixels).max():
            raise InputError(
                "all pixels are the same, so there is nothing to unmix",
                where=cube.files[0],
                hint=f"hsisr info {cube.files[0]}",
            )
        extract = METHODS[self.method].extract
        return extract(torch.from_numpy(pixels), self.count, seed=self.seed).numpy()

    def mixture(self, cube: Cube, endmembers: NDArray[np.float32]) -> LinearMixture:
        """How the pixels of a scene are made of its endmembers (p, B)."""
        return LinearMixture(endmembers, self.abundances, good_bands(cube.spec))


@dataclass
class Tally:
    """How well abundances keep their constraints, and which endmembers occur."""

    endmembers: int
    worst_sum_error: float = 0.0
    lowest: float = np.inf
    _sums: NDArray[np.float64] = field(init=False)
    _pixels: int = 0

    def __post_init__(self) -> None:
        self._sums = np.zeros(self.endmembers)

    def note(self, abundances: Block) -> None:
        """Take in abundances (p, h, w), NaN = no data."""
        there = abundances[:, np.isfinite(abundances).all(0)].astype(np.float64)
        if there.size:
            missed = float(np.abs(there.sum(0) - 1).max())
            self.worst_sum_error = max(self.worst_sum_error, missed)
            self.lowest = min(self.lowest, float(there.min()))
            self._sums += there.sum(1)
            self._pixels += there.shape[1]

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean abundance of each endmember."""
        return self._sums / max(self._pixels, 1)

    @property
    def dead(self) -> list[int]:
        """The endmembers that hardly occur, counted from 1."""
        return [int(index) + 1 for index in np.flatnonzero(self.means < _DEAD)]

    @property
    def record(self) -> dict[str, Any]:
        """For the record of the run."""
        return {
            "worst_sum_error": self.worst_sum_error,
            "most_negative_abundance": min(self.lowest, 0.0),
            "mean_abundances": [round(float(mean), 6) for mean in self.means],
            "dead_endmembers": self.dead,
        }
