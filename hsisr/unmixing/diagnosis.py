"""Faults of an unmixing that show without a truth: in its own endmembers and abundances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Block
from hsisr.unmixing.agreement import angles

_DEAD = 0.005
"""An endmember of which a scene holds less, on average, is in none of its pixels."""
_TWINS = 0.05
"""Radians: endmembers closer than that are one material."""
_LISTED = 20
"""Pairs that are told of."""
_SLACK = 1e-5
"""By how much rounding may miss a constraint."""


@dataclass
class Tally:
    """Statistics of abundances, over a scene that comes in pieces."""

    maps: int
    worst_sum_error: float = 0.0
    lowest: float = 0.0
    """Of all negative abundances."""
    _sums: NDArray[np.float64] = field(init=False)
    _pixels: int = 0
    _negative: int = 0

    def __post_init__(self) -> None:
        self._sums = np.zeros(self.maps)

    def note(self, abundances: Block) -> None:
        """Take in abundances (p, h, w), NaN = no data."""
        there = abundances[:, np.isfinite(abundances).all(0)].astype(np.float64)
        if there.size:
            missed = float(np.abs(there.sum(0) - 1).max())
            self.worst_sum_error = max(self.worst_sum_error, missed)
            self.lowest = min(self.lowest, float(there.min()))
            self._sums += there.sum(1)
            self._pixels += there.shape[1]
            self._negative += int((there < -_SLACK).any(0).sum())

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean abundance of each map."""
        return self._sums / max(self._pixels, 1)

    @property
    def negative(self) -> float:
        """The share of pixels with a negative abundance."""
        return self._negative / max(self._pixels, 1)

    @property
    def dead(self) -> list[int]:
        """The maps on which hardly anything is, counted from 0."""
        return [int(index) for index in np.flatnonzero(self.means < _DEAD)]


Twins = tuple[int, int, float]
"""Two endmembers that are one material, and the angle between them in radians."""


def twins(endmembers: NDArray[np.floating], classes: Sequence[str]) -> list[Twins]:
    """Those of endmembers (p, B) that are of different classes, the closest pairs first."""
    spectra = endmembers.astype(np.float64)
    apart = angles(spectra, spectra)
    pairs = (pair for pair in combinations(range(len(spectra)), 2) if apart[pair] < _TWINS)
    close = [(i, j, float(apart[i, j])) for i, j in pairs if classes[i] != classes[j]]
    return sorted(close, key=lambda pair: pair[2])[:_LISTED]


@dataclass(frozen=True)
class Diagnosis:
    """The faults of an unmixing, for its record and for the reader."""

    names: Sequence[str]
    """Of the endmembers."""
    materials: Sequence[str]
    """Of the maps."""
    twins: Sequence[Twins]
    tally: Tally
    sum_to_one: bool
    """Whether abundances were to sum to one."""
    non_negative: bool

    @property
    def record(self) -> dict[str, Any]:
        """For the record of the run."""
        tally = self.tally
        return {
            "worst_sum_error": tally.worst_sum_error,
            "most_negative_abundance": tally.lowest,
            "share_of_negative_pixels": round(tally.negative, 6),
            "mean_abundances": [round(float(mean), 6) for mean in tally.means],
            "dead_endmembers": [self.materials[index] for index in tally.dead],
            "duplicate_endmembers": [
                {"names": [self.names[i], self.names[j]], "angle_rad": round(angle, 6)}
                for i, j, angle in self.twins
            ],
            "faults": self.faults,
        }

    @property
    def summary(self) -> str:
        """How well abundances sum to one and stay non-negative, in a sentence."""
        return (
            f"abundances sum to one within {self.tally.worst_sum_error:.1g}, the lowest is "
            f"{self.tally.lowest:.2g}, negative in {self.tally.negative:.1%} of the pixels"
        )

    @property
    def faults(self) -> list[str]:
        """Each in a sentence."""
        return [*self._faults()]

    def _faults(self) -> Iterator[str]:
        tally = self.tally
        for index in tally.dead:
            share = f"{tally.means[index]:.1%}"
            yield f"the scene holds next to nothing of {self.materials[index]} ({share})"
        for i, j, angle in self.twins:
            yield f"{self.names[i]} and {self.names[j]} are one material: {angle:.3f} rad apart"
        if self.sum_to_one and tally.worst_sum_error > _SLACK:
            yield f"abundances miss a sum of one by up to {tally.worst_sum_error:.2g}"
        if self.non_negative and tally.lowest < -_SLACK:
            yield f"abundances are negative, down to {tally.lowest:.2g}"
