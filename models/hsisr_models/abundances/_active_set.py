"""Least squares on the simplex or on the positive orthant, for many pixels at a time.

A spectrum y enters only through f = E y, the endmembers E (p, B) only through the Gram matrix
E E^T. The passive set of a pixel holds the endmembers that may be in it; on that set the minimum is
a linear function of f, the same for all pixels with the same set. From a feasible start, the
endmember that lowers the error fastest joins the set. Where the new minimum is not feasible, the
pixel moves towards it until an abundance reaches zero, and that endmember leaves the set. The error
falls with every step, so the method ends. Everything is computed element by element, so that no
pixel depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hsisr_models import exact

SOURCE = "Lawson and Hanson 1974, ch. 23; grouped by set after Van Benthem and Keenan 2004"

_FEW = 14
"""Up to so many endmembers there are few enough sets that many pixels share one."""
_PIXELS = 1 << 14
"""Worked on at a time."""
_VALUES = 1 << 18
"""Of matrices, one for each pixel, worked on at a time: few enough for the cache."""
_RIDGE = 1e-12
"""Added to all energies, in parts of the largest: endmembers that are equal share alike."""
_FLAT = 1e-10
"""A gradient passes for zero if it is no larger than this, in parts of the largest f."""


def minimise(
    spectra: Tensor, endmembers: Tensor, *, total: Tensor | None = None, sparsity: float = 0.0
) -> Tensor:
    """The x >= 0 (p, N), float64, with the least |y - E^T x|^2 / 2 + sparsity |x|_1.

    For spectra y (B, N); such that `total` (p,) times x is 1, where given. The mean square length
    of the endmembers is taken for 1. NaN where a spectrum is not finite.
    """
    known = endmembers.double()
    squares = known.square().sum(1)
    energy = squares.max().clamp_min(torch.finfo(known.dtype).tiny)
    total = None if total is None else total.to(known)
    problem = _Problem(known @ known.T / energy, total, sparsity * squares.mean() / energy)
    weights = known / energy.sqrt()
    parts = (
        exact.products(weights, part) / energy.sqrt() for part in torch.split(spectra, _PIXELS, 1)
    )
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

    def __init__(self, gram: Tensor, total: Tensor | None, sparsity: Tensor) -> None:
        self._total, self._sparsity = total, sparsity
        if total is not None:
            # (total x - 1)^2 is zero at the minimum; with it an endmember and its shade differ
            gram, self._sparsity = gram + total[:, None] * total, sparsity - total[:, None]
        self._gram = gram
        self._energies = gram.diagonal() + gram.diagonal().max() * _RIDGE

    def solve(self, seen: Tensor) -> Tensor:
        """The minimum (p, n) for f (p, n)."""
        known = seen.isfinite().all(0)
        result = torch.full_like(seen, torch.nan)
        state = self._start(seen - self._sparsity)[known]
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
        if self._total is not None:
            away = self._gram.diagonal()[:, None] - 2 * seen
            nearest = away.masked_fill(self._total[:, None] <= 0, torch.inf).argmin(0, keepdim=True)
            passive.scatter_(0, nearest, True)
        pixels = torch.arange(seen.shape[1], device=seen.device)
        return _State(seen, passive.double(), passive, torch.ones_like(pixels).bool(), pixels)

    def _grown(self, state: _State) -> Tensor:
        """Let the best endmember join every set; returns where there is none (n,)."""
        downhill = state.seen - self._mixed(state)
        if self._total is not None:
            downhill -= self._total[:, None] * exact.total(state.x * downhill)
        most, best = downhill.masked_fill(state.passive, -torch.inf).max(0, keepdim=True)
        limit = _FLAT * (state.seen.abs().amax(0) + (self._total is not None))
        joins = state.settled & (most[0] > limit)
        state.passive.scatter_(0, best, state.passive.gather(0, best) | joins)
        return state.settled & ~joins

    def _step(self, state: _State) -> None:
        """Go to the minimum on the passive set, or towards it until an abundance is zero."""
        few = len(self._gram) <= _FEW
        goal = self._by_set(state) if few else self._by_pixel(state)
        leaves = state.passive & (goal <= 0)
        share = torch.where(leaves, state.x / (state.x - goal), torch.inf)
        nearest = share.amin(0)
        state.settled = ~leaves.any(0)
        reached = state.x + nearest.clamp(max=1) * (goal - state.x)
        state.passive &= share > nearest.clamp(max=1)
        state.x = torch.where(state.settled, goal, reached).clamp_min_(0) * state.passive

    def _mixed(self, state: _State) -> Tensor:
        """G x (p, n)."""
        if len(self._gram) <= _FEW:
            return _summed(self._gram.unbind(1), state.x)
        members, there = _members(state.passive)
        x = state.x.gather(0, members) * there
        mixed = torch.zeros_like(state.x)
        for which, share in zip(members, x, strict=True):
            mixed += self._gram.index_select(1, which) * share
        return mixed

    def _by_set(self, state: _State) -> Tensor:
        """The minimum without the bounds on the passive sets (p, n), of which pixels share many."""
        bits = 1 << torch.arange(len(self._gram), device=self._gram.device)
        sets, which = torch.unique((state.passive * bits[:, None]).sum(0), return_inverse=True)
        there = (sets[:, None] & bits) > 0
        everyone = torch.arange(len(self._gram), device=self._gram.device).expand(there.shape)
        inverse, shift = self._inverted(everyone, there)
        return _summed(_spread(inverse, which), state.seen) + shift.T[:, which]

    def _by_pixel(self, state: _State) -> Tensor:
        """The same where each pixel has a set of its own, of few among many endmembers."""
        members, there = _members(state.passive)
        x = torch.zeros_like(state.x)
        at_once = max(1, _VALUES // len(members) ** 2)
        for first in range(0, members.shape[1], at_once):
            part = slice(first, first + at_once)
            which = members[:, part]
            inverse, shift = self._inverted(which.T, there[:, part].T)
            columns = [column.T for column in inverse.unbind(2)]
            found = _summed(columns, state.seen[:, part].gather(0, which)) + shift.T
            x[:, part] = torch.zeros_like(x[:, part]).scatter_add_(0, which, found)
        return x

    def _inverted(self, members: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Of k sets of q `members` each, as far as they are `there`, the minimum as function of f.

        Its matrix (k, q, q) and what is added (k, q); 0 elsewhere.
        """
        both = there[:, :, None] & there[:, None, :]
        padded = torch.where(both, self._gram[members[:, :, None], members[:, None, :]], 0.0)
        padded.diagonal(dim1=1, dim2=2).copy_(torch.where(there, self._energies[members], 1.0))
        inverse = torch.where(both, _inverse(padded), 0.0)
        if self._total is None:
            return inverse, torch.zeros_like(inverse[:, 0])
        total = self._total[members] * there
        lines = exact.total((inverse * total[:, None, :]).unbind(2))
        shift = lines / exact.total((lines * total).unbind(1))[:, None]
        return inverse - lines[:, :, None] * shift[:, None, :], shift


def _members(passive: Tensor) -> tuple[Tensor, Tensor]:
    """The members of each set (q, n), in order, as many as the largest has; and who is there."""
    counts = passive.cumsum(0)
    most = max(int(counts[-1].max()), 1)
    members = torch.zeros(most, passive.shape[1], dtype=torch.long, device=passive.device)
    who, pixel = passive.nonzero().T
    members[counts[who, pixel] - 1, pixel] = who
    return members, torch.arange(most, device=passive.device)[:, None] < counts[-1]


def _spread(matrices: Tensor, which: Tensor) -> list[Tensor]:
    """The columns of each pixel's matrix, p times (p, n)."""
    return [column.T.contiguous().index_select(1, which) for column in matrices.unbind(2)]


def _summed(columns: Sequence[Tensor], x: Tensor) -> Tensor:
    """The product of matrices, given by columns (p, n) or (p,), and vectors x (p, n)."""
    wide = (column if column.ndim > 1 else column[:, None] for column in columns)
    return exact.total(column * row for column, row in zip(wide, x, strict=True))


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
