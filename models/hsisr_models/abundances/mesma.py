"""Multiple endmember spectral mixture analysis: each pixel by the few endmembers that suit it.

A model consists of one endmember from each of some classes, and of shade, which is black. Among the
models with the same number of endmembers and plausible fractions, the one with the least error is
taken; a model with one endmember more has to lower the error noticeably. Fractions are those of the
part that is not shade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product

import torch
from torch import Tensor

from hsisr_models.contract import Solution
from hsisr_models.exact import products, total

SOURCE = "Roberts et al., Remote Sensing of Environment 65(3), 1998; defaults of the MESMA package"
SUM_TO_ONE, NON_NEGATIVE = True, False
TELLS_GAIN = True

_PIXELS = 1 << 13
"""Worked on at a time: few enough for the cache."""
_ROUNDING = 1e-9
"""By which a fraction may be beyond its bounds: shade is rarely 0 to the last digit."""
_ALIKE = 1e-10
"""Spectra with a smaller determinant, in parts of what it could be, are not told apart."""


@dataclass(frozen=True)
class _Limits:
    """Bounds of a plausible model; errors are sums of squares."""

    fractions: tuple[float, float]
    shades: tuple[float, float]
    error: float


@dataclass(frozen=True)
class _Models:
    """All models with the same number of endmembers."""

    members: Tensor
    """(m, k), endmembers."""
    inverse: Tensor
    """(m, k, k), of the Gram matrices."""


@dataclass
class _Fit:
    """The best models so far of some pixels (n,)."""

    error: Tensor
    """The sum of squares, infinite where there is no model."""
    x: Tensor
    """(p, n), fractions beside that of shade."""


def solve(
    spectra: Tensor,
    endmembers: Tensor,
    *,
    classes: Sequence[int] | None = None,
    most: int = 3,
    fractions: tuple[float, float] = (-0.05, 1.05),
    shades: tuple[float, float] = (0.0, 0.8),
    rmse: float = 0.025,
    fusion: float = 0.007,
    white: float = 1.0,
) -> Solution:
    """Fractions (p, N) of spectra (B, N), without shade; the gain is what is not shade.

    `classes` (p,) are those of the endmembers, by default all different; models have from 2 to
    `most` endmembers, with shade. `fractions` and `shades` are what they may be from and to, `rmse`
    the largest error and `fusion` by how much one endmember more has to lower it, both as
    reflectance, of which 1 is `white` in the units of the spectra. NaN where no model will do.
    """
    known = endmembers.double() / white
    kinds = list(range(len(known))) if classes is None else list(classes)
    if len(kinds) != len(known):
        raise ValueError(f"{len(kinds)} classes for {len(known)} endmembers")
    levels = [_models(known, kinds, count) for count in range(1, most)]
    limits = _Limits(fractions, shades, rmse**2 * len(spectra))
    step = fusion * len(spectra) ** 0.5
    found = [
        _fused([_best(models, known, part, limits) for models in levels], step)
        for part in torch.split(spectra / white, _PIXELS, 1)
    ]
    x = torch.cat(found, 1)
    gain = total(x)
    return Solution(x / gain, gain)


def _models(known: Tensor, kinds: Sequence[int], count: int) -> _Models:
    """Every choice of one endmember each of `count` classes, as far as they can be told apart."""
    members = [
        [index for index, kind in enumerate(kinds) if kind == wanted]
        for wanted in sorted(set(kinds))
    ]
    chosen = [choice for some in combinations(members, count) for choice in product(*some)]
    which = torch.tensor(chosen, dtype=torch.long, device=known.device).reshape(-1, count)
    spectra = known[which]
    gram = spectra @ spectra.mT
    most = gram.diagonal(dim1=1, dim2=2).prod(1)
    apart = torch.linalg.det(gram) > _ALIKE * most
    return _Models(which[apart], torch.linalg.inv(gram[apart]))


def _best(models: _Models, known: Tensor, spectra: Tensor, limits: _Limits) -> _Fit:
    """The model of least error for each of some pixels (B, n), the first of several."""
    seen = products(known, spectra)
    energy = total(band.double().square() for band in spectra)
    error = torch.full_like(energy, torch.inf)
    winner = torch.zeros_like(energy, dtype=torch.long)
    shares = [torch.full_like(energy, torch.nan) for _ in range(models.members.shape[1])]
    for number, (members, inverse) in enumerate(
        zip(models.members.tolist(), models.inverse.tolist(), strict=True)
    ):
        parts = [seen[member] for member in members]
        tried = [_weighted(row, parts) for row in inverse]
        left = (energy - total(a * b for a, b in zip(tried, parts, strict=True))).clamp_min(0)
        better = (left < error) & _sensible(tried, left, limits)
        error = torch.where(better, left, error)
        winner = torch.where(better, number, winner)
        shares = [torch.where(better, *pair) for pair in zip(tried, shares, strict=True)]
    x = torch.zeros_like(seen)
    if len(models.members):
        x.scatter_(0, models.members[winner].T, torch.stack(shares))
    return _Fit(error, torch.where(error.isfinite(), x, torch.nan))


def _sensible(shares: Sequence[Tensor], error: Tensor, limits: _Limits) -> Tensor:
    low, high = limits.fractions
    shade = 1 - total(shares)
    fine = (error <= limits.error) & _between(shade, *limits.shades)
    return reduce(lambda all_fine, share: all_fine & _between(share, low, high), shares, fine)


def _fused(fits: Sequence[_Fit], step: float) -> Tensor:
    """The fractions of the level that is worth its endmembers; `step` is what errors fall by."""
    best = fits[0]
    for more in fits[1:]:
        worth = best.error.sqrt() - more.error.sqrt() > step
        best = _Fit(torch.where(worth, more.error, best.error), torch.where(worth, more.x, best.x))
    return best.x


def _between(values: Tensor, low: float, high: float) -> Tensor:
    return (values >= low - _ROUNDING) & (values <= high + _ROUNDING)


def _weighted(weights: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
    return total(weight * part for weight, part in zip(weights, parts, strict=True))
