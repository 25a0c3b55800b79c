"""How well an unmixing agrees with a truth, by one matching of materials for spectra and maps.

Abundances depend on how endmembers are scaled, and published truths do not say how theirs are. In
the `physical` convention an endmember keeps its brightness; in `max` each is scaled to a largest
value of 1, in `l2` to a length of 1. With w_j the largest value or the length of endmember j,
physical abundances a_j are a_j w_j / sum_k a_k w_k in the other conventions.
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
    """The agreement of an unmixing with a truth, for each true endmember and overall."""

    matched: list[int | None]
    """By true endmember: the found one it is matched to."""
    false: list[int]
    """The found endmembers that nothing is matched to."""
    angles: list[float]
    """Of the matched spectra, in radians."""
    errors: dict[str, list[float]]
    """By convention: the root mean square error of each abundance map."""
    lengths: dict[str, list[float]]
    """By convention: the root mean square of each true abundance map, where it was compared."""

    @property
    def angle(self) -> float:
        """The mean over endmembers."""
        return float(np.mean(self.angles))

    def error(self, convention: str) -> float:
        """The root mean square over all pixels and endmembers."""
        return _root_mean_square(self.errors[convention])

    def mean_error(self, convention: str) -> float:
        """The mean over endmembers of their root mean square errors: never above `error`."""
        return float(np.mean(self.errors[convention]))

    def ratio(self, convention: str) -> float:
        """The signal to reconstruction error of the abundances in dB; infinite without error.

        Iordache, Bioucas-Dias, Plaza, IEEE TGRS 49(6), 2011.
        """
        length, error = _root_mean_square(self.lengths[convention]), self.error(convention)
        return float(20 * np.log10(length / error)) if error else np.inf


def _root_mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


class Comparison:
    """Abundances being compared with true ones, piece by piece."""

    def __init__(self, truth: Matrix, found: Matrix) -> None:
        self._truth, self._found = truth, found
        self._matched = matching(truth, found)
        self._errors = {name: np.zeros(len(truth)) for name in CONVENTIONS}
        self._lengths = {name: np.zeros(len(truth)) for name in CONVENTIONS}
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
            self._errors[name] += np.square(matched - truth)[:, there].sum(1)
            self._lengths[name] += np.square(truth[:, there], dtype=np.float64).sum(1)
            self._pixels[name] += int(there.sum())

    def result(self) -> Agreement:
        """The agreement of everything taken in so far; NaN where no pixel has data in both."""
        every = angles(self._truth, self._found)
        found = [_MISSED if i is None else float(every[t, i]) for t, i in enumerate(self._matched)]
        false = sorted(set(range(len(self._found))) - set(self._matched))
        errors, lengths = (self._roots(sums) for sums in (self._errors, self._lengths))
        return Agreement(self._matched, false, found, errors, lengths)

    def _roots(self, sums: dict[str, Matrix]) -> dict[str, list[float]]:
        return {
            name: np.sqrt(squares / (self._pixels[name] or np.nan)).tolist()
            for name, squares in sums.items()
        }


class Residual:
    """The reconstruction error of a scene by endmembers (p, B), piece by piece."""

    def __init__(self, endmembers: Matrix) -> None:
        self._endmembers = endmembers
        self._squares, self._samples = 0.0, 0

    def update(self, scene: Block, weights: Block) -> None:
        """Take in pixels (B, h, w) and how much of each endmember is in them (p, h, w)."""
        errors = scene - np.einsum("phw,pb->bhw", weights, self._endmembers)
        there = errors[np.isfinite(errors)]
        self._squares += float(np.square(there).sum())
        self._samples += there.size

    def result(self) -> float:
        """The root mean square over all samples, in the units of the scene."""
        return float(np.sqrt(self._squares / (self._samples or np.nan)))
