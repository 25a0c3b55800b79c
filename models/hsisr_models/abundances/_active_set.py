"""Least squares on the simplex or on the positive orthant, for many pixels at a time.

Of a spectrum y a pixel needs only f = E y, and of the endmembers E (p, B) the Gram matrix E E^T.
Its passive set is those endmembers that it may contain; on it the minimum is a linear function of
f, the same for all pixels with that set. From a feasible start, the endmember that lowers the error
fastest joins the set; where the new minimum is not feasible, the pixel goes towards it as far as it
may, and what reaches zero leaves the set. The error falls with every step, so the method ends.
All of it is done element by element, so no pixel depends on those beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from hsisr_models.exact import products

SOURCE = "Lawson and Hanson 1974, ch. 23; grouped by set after Van Benthem and Keenan 2004"

MOST = 62
"""Endmembers; a set of them is kept in the bits of an integer."""
_PIXELS = 1 << 14
"""Worked on at a time."""
_RIDGE = 1e-12
"""Added to all energies, in parts of the largest: endmembers that are equal share alike."""
_FLAT = 1e-10
"""What a gradient may be above zero at the minimum, in parts of the largest."""


def minimise(spectra: Tensor, endmembers: Tensor, *, sum_to_one: bool) -> Tensor:
    """The x >= 0 (p, N), float64, with the least |y - E^T x|, for spectra y (B, N).

    `sum_to_one` or not; NaN where a spectrum is not finite. Raises `ValueError` for more than
    `MOST` endmembers.
    """
    if len(endmembers) > MOST:
        raise ValueError(f"{len(endmembers)} endmembers; at most {MOST} can be unmixed together")
    known = endmembers.double()
    longest = known.norm(dim=1).max().clamp_min(torch.finfo(known.dtype).tiny)
    problem = _Problem(known @ known.T / longest**2, sum_to_one)
    weights = known / longest
    parts = (products(weights, part) / longest for part in torch.split(spectra, _PIXELS, 1))
    return torch.cat([problem.solve(part) for part in parts], 1)


@dataclass
class _State:
    """Pixels that are not done yet."""

    seen: Tensor
    """f (p, n)."""
    x: Tensor
    """(p, n), feasible."""
    passive: Tensor
    """(p, n), bool; elsewhere x is 0."""
    settled: Tensor
    """(n,), bool: whether x is the minimum on the passive set."""
    index: Tensor
    """(n,), where they come from."""

    def __getitem__(self, kept: Tensor) -> _State:
        return _State(
            self.seen[:, kept],
            self.x[:, kept],
            self.passive[:, kept],
            self.settled[kept],
            self.index[kept],
        )


class _Problem:
    """What all pixels share."""

    def __init__(self, gram: Tensor, sum_to_one: bool) -> None:
        self._gram, self._sum_to_one = gram, sum_to_one
        self._bits = 1 << torch.arange(len(gram), device=gram.device)

    def solve(self, seen: Tensor) -> Tensor:
        """The minimum (p, n) for f (p, n)."""
        known = seen.isfinite().all(0)
        result = torch.full_like(seen, torch.nan)
        state = self._start(seen)[known]
        # the error falls too little to be seen before the bound is reached
        for _ in range(10 * len(seen)):
            done = self._grown(state)
            result[:, state.index[done]] = state.x[:, done]
            state = state[~done]
            if not len(state.index):
                break
            self._step(state)
        result[:, state.index] = state.x
        return result

    def _start(self, seen: Tensor) -> _State:
        """At the nearest endmember, or at zero."""
        passive = torch.zeros_like(seen, dtype=torch.bool)
        if self._sum_to_one:
            nearest = (self._gram.diagonal()[:, None] - 2 * seen).argmin(0, keepdim=True)
            passive.scatter_(0, nearest, True)
        pixels = torch.arange(seen.shape[1], device=seen.device)
        return _State(seen, passive.double(), passive, torch.ones_like(pixels).bool(), pixels)

    def _grown(self, state: _State) -> Tensor:
        """Let the best endmember join every set; returns where there is none (n,)."""
        downhill = state.seen - _summed(self._gram.unbind(1), state.x)
        if self._sum_to_one:
            downhill -= _total(state.x * downhill)
        most, best = downhill.masked_fill(state.passive, -torch.inf).max(0, keepdim=True)
        limit = _FLAT * (state.seen.abs().amax(0) + self._sum_to_one)
        joins = state.settled & (most[0] > limit)
        state.passive.scatter_(0, best, state.passive.gather(0, best) | joins)
        return state.settled & ~joins

    def _step(self, state: _State) -> None:
        """Go to the minimum on the passive set, or towards it until an abundance is zero."""
        goal = self._minimum(state)
        leaves = state.passive & (goal <= 0)
        share = torch.where(leaves, state.x / (state.x - goal), torch.inf)
        nearest = share.amin(0)
        state.settled = ~leaves.any(0)
        reached = state.x + nearest.clamp(max=1) * (goal - state.x)
        state.passive &= share > nearest.clamp(max=1)
        state.x = torch.where(state.settled, goal, reached).clamp_min_(0) * state.passive

    def _minimum(self, state: _State) -> Tensor:
        """Without the bounds, on the passive sets (p, n)."""
        codes = (state.passive * self._bits[:, None]).sum(0)
        sets, which = torch.unique(codes, return_inverse=True)
        members = (sets[:, None] & self._bits) > 0
        both = members[:, :, None] & members[:, None, :]
        energy = self._gram.diagonal().max() * _RIDGE + self._gram.diagonal()
        padded = torch.where(both, self._gram, 0.0)
        padded.diagonal(dim1=1, dim2=2).copy_(torch.where(members, energy, 1.0))
        inverse = torch.where(both, _inverse(padded), 0.0)
        if not self._sum_to_one:
            return _summed(_spread(inverse, which), state.seen)
        lines = _total(inverse.unbind(2))
        lines_sum = _total(lines.unbind(1))[:, None]
        inverse -= lines[:, :, None] * (lines / lines_sum)[:, None, :]
        return _summed(_spread(inverse, which), state.seen) + (lines / lines_sum).T[:, which]


def _spread(matrices: Tensor, which: Tensor) -> list[Tensor]:
    """The columns of each pixel's matrix, p times (p, n)."""
    return [column.T.contiguous().index_select(1, which) for column in matrices.unbind(2)]


def _summed(columns: Sequence[Tensor], x: Tensor) -> Tensor:
    """The product of matrices, given by columns (p, n) or (p,), and vectors x (p, n)."""
    wide = (column if column.ndim > 1 else column[:, None] for column in columns)
    return _total(column * row for column, row in zip(wide, x, strict=True))


def _total(values: Iterable[Tensor]) -> Tensor:
    """The sum, from the first to the last whatever their size."""
    return reduce(add, values)


def _inverse(matrices: Tensor) -> Tensor:
    """Of symmetric positive matrices (k, p, p), by Gauss and Jordan, each by itself."""
    for j in range(matrices.shape[1]):
        pivot = matrices[:, j, j, None]
        row, column = matrices[:, j] / pivot, matrices[:, :, j].clone()
        column[:, j] = 0
        after = matrices - column[:, :, None] * row[:, None, :]
        after[:, j] = row
        after[:, :, j] = -column / pivot
        after[:, j, j] = 1 / pivot[:, 0]
        matrices = after
    return matrices
