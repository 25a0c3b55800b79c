"""How well an unmixing agrees with a truth: one matching of materials, for spectra and maps alike.

Abundances of the same scene differ by what is taken for the whole of a pixel, and published truths
do not say which it is. In the `physical` convention an endmember has the brightness it has; in
`max` each is scaled to a largest value of 1, in `l2` to a length of 1. With endmembers at hand
abundances of the first are turned into those of the others: a_j w_j / sum_k a_k w_k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hsisr.cube import Block

Matrix = NDArray[np.float64]

CONVENTIONS = ("physical", "max", "l2")
_MISSED = np.pi / 2
"""The angle of an endmember that nothing was matched to."""


def angles(truth: Matrix, found: Matrix) -> Matrix:
    """Spectral angles in radians (t, p) between spectra (t, B) and (p, B); pi/2 for a black one."""
    u, v = (_unit(spectra) for spectra in (truth, found))
    apart = np.linalg.norm(u[:, None] - v[None], axis=2)
    together = np.linalg.norm(u[:, None] + v[None], axis=2)
    # stable for small angles, where a cosine has no digits left (Kahan 2006)
    return np.asarray(2 * np.arctan2(apart, together), np.float64)


def _unit(spectra: Matrix) -> Matrix:
    lengths = np.linalg.norm(spectra, axis=1, keepdims=True)
    unit = np.divide(spectra, lengths, out=np.zeros_like(spectra), where=lengths > 0)
    return np.asarray(unit, np.float64)


def matching(truth: Matrix, found: Matrix) -> list[int | None]:
    """For each true spectrum the found one it is matched to, None where there are too few.

    The assignment with the smallest sum of angles (Hungarian method), none used twice.
    """
    pairs = zip(*linear_sum_assignment(angles(truth, found)), strict=True)
    by_truth = {int(row): int(col) for row, col in pairs}
    return [by_truth.get(row) for row in range(len(truth))]


def converted(abundances: Block, endmembers: Matrix, convention: str) -> Matrix:
    """Physical abundances (p, h, w) in another convention, by their endmembers (p, B).

    NaN where nothing is left to be divided.
    """
    values = abundances.astype(np.float64)
    if convention == "physical":
        return values
    weights = endmembers.max(1) if convention == "max" else np.linalg.norm(endmembers, axis=1)
    weighted = values * weights[:, None, None]
    total = weighted.sum(0)
    shares = np.divide(weighted, total, out=np.full_like(weighted, np.nan), where=total > 0)
    return np.asarray(shares, np.float64)


@dataclass(frozen=True)
class Agreement:
    """What an unmixing is worth, for each true endmember and on the whole."""

    matched: list[int | None]
    angles: list[float]
    """Of the matched spectra, in radians."""
    errors: dict[str, list[float]]
    """By convention: the root mean square error of each abundance map."""

    @property
    def angle(self) -> float:
        """The mean over endmembers."""
        return float(np.mean(self.angles))

    def error(self, convention: str) -> float:
        """The root mean square over all pixels and endmembers."""
        return float(np.sqrt(np.mean(np.square(self.errors[convention]))))


class Comparison:
    """Abundances being compared with true ones, piece by piece."""

    def __init__(self, truth: Matrix, found: Matrix) -> None:
        self._truth, self._found = truth, found
        self._matched = matching(truth, found)
        self._squares = {name: np.zeros(len(truth)) for name in CONVENTIONS}
        self._pixels = dict.fromkeys(CONVENTIONS, 0)

    def update(self, truth: Block, found: Block) -> None:
        """Take in true (t, h, w) and estimated (p, h, w) abundances; NaN = no data."""
        for name in CONVENTIONS:
            values = converted(found, self._found, name)
            # what was not found is nowhere
            matched = np.stack(
                [np.zeros_like(truth[0]) if i is None else values[i] for i in self._matched]
            )
            there = np.isfinite(truth).all(0) & np.isfinite(values).all(0)
            self._squares[name] += np.square(matched - truth)[:, there].sum(1)
            self._pixels[name] += int(there.sum())

    def result(self) -> Agreement:
        """The agreement of everything taken in so far; NaN where no pixel has data in both."""
        every = angles(self._truth, self._found)
        found = [_MISSED if i is None else float(every[t, i]) for t, i in enumerate(self._matched)]
        errors = {
            name: np.sqrt(squares / (self._pixels[name] or np.nan)).tolist()
            for name, squares in self._squares.items()
        }
        return Agreement(self._matched, found, errors)
