"""Entropic archetypal analysis: endmembers are mixtures of pixels that mix to all other pixels.

With the rows of Y scaled to length one, |Y - A B Y|^2 is minimised over abundances A and weights B
of the pixels in turn. Rows of both lie on the simplex, where multiplicative steps keep them. As
weights sum to one, the mean of the pixels can be subtracted, which allows longer steps, and all
but the leading axes can be dropped, which saves time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import require_enough
from hsisr_models.subspace import principal_axes

SOURCE = "Zouaoui, Muhawenayo, Rasti, Chanussot and Mairal, IEEE TIP 32, 2023; started at pixels"

_RESTARTS = 24
_ROUNDS = 100
_STEPS = 5
"""In a round, with the abundances and then with the weights."""
_SHARPNESS = (1.0, 2.0, 4.0)
"""Lengths of a step, one drawn for each restart: they converge to different solutions."""
_EAGER = 50.0
"""The step of the weights, times how many pixels there are for an endmember."""
_FEW = 256
"""Pixels whose errors are computed at a time."""
_FAINT = -60.0
"""The logarithm of a share that is as good as none."""
_AXES = 3
"""Leading axes that are kept, for every endmember."""
_AS_GOOD = 0.05
"""A restart may fit worse than the best by this share, and still be chosen."""
_FAR = 0.99
"""The quantile of the pixels' distances from their mean by which steps are scaled."""


@dataclass(frozen=True)
class _Fit:
    """The solution of one restart."""

    endmembers: Tensor
    """(p, B)."""
    error: float
    """The sum of absolute errors over all pixels of length one."""
    likeness: float
    """The highest correlation between two endmembers."""


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B) of pixels (N, B), each of them a weighted mean of pixels.

    Of seeded restarts that fit about as well as the best, the one whose endmembers are least alike.
    Raises `ValueError` if there are fewer pixels or bands than endmembers.
    """
    require_enough(pixels, endmembers)
    pixels = pixels.double()
    tiny = torch.finfo(pixels.dtype).tiny
    directions = pixels / pixels.norm(dim=1, keepdim=True).clamp_min(tiny)
    mean, axes = principal_axes(directions, min(_AXES * endmembers, pixels.shape[1]))
    points = ((directions - mean) @ axes).float()
    generator = torch.Generator().manual_seed(seed)
    fits = []
    for restart in range(_RESTARTS):

        def told(done: float, before: int = restart) -> None:
            progress((before + done) / _RESTARTS)

        weights, shares = _descend(points, endmembers, generator, told)
        found = weights @ pixels
        fits.append(_Fit(found, _error(directions, weights, shares), _likeness(found)))
    progress(1.0)
    limit = min(fit.error for fit in fits) / (1 - _AS_GOOD)
    chosen = min((fit for fit in fits if fit.error <= limit), key=lambda fit: fit.likeness)
    return chosen.endmembers.float()


def _descend(
    points: Tensor,
    endmembers: int,
    generator: torch.Generator,
    progress: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Weights (p, N) of the pixels, and abundances (p, N), from one random start."""
    count, across = len(points), points.T.contiguous()
    far = float(points.square().sum(1).quantile(_FAR).clamp_min(torch.finfo(points.dtype).eps))
    drawn = torch.randint(len(_SHARPNESS), (1,), generator=generator)
    step = _SHARPNESS[int(drawn)] / far
    slow = _EAGER * step * endmembers / count
    weights, shares = _start(count, endmembers, generator)
    for done in range(_ROUNDS):
        progress(done / _ROUNDS)
        vertices = _exp(weights) @ points
        seen, gram = vertices @ across, vertices @ vertices.T
        for _ in range(_STEPS):
            shares = (shares + step * (seen - gram @ _exp(shares))).log_softmax(0)
        mixed = _exp(shares)
        pulled, overlap = mixed @ points, mixed @ mixed.T
        for _ in range(_STEPS):
            residual = pulled - overlap @ (_exp(weights) @ points)
            weights = (weights + slow * (residual @ across)).log_softmax(1)
    return weights.double().softmax(1), shares.double().softmax(0)


def _exp(logarithms: Tensor) -> Tensor:
    # processors take a hundred times as long for numbers just above zero, which change no sum
    return logarithms.clamp_min(_FAINT).exp_()


def _error(directions: Tensor, weights: Tensor, shares: Tensor) -> float:
    # a few pixels at a time: of all, several copies would be held
    archetypes, parts = weights @ directions, (directions, shares.T)
    pieces = zip(*(torch.split(part, _FEW) for part in parts), strict=True)
    return sum(float((seen - share @ archetypes).abs().sum()) for seen, share in pieces)


def _start(count: int, endmembers: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logarithms: half of each endmember's weight on a pixel of its own, all abundances equal."""
    weights = 0.1 * torch.rand(endmembers, count, generator=generator)
    seeds = torch.randperm(count, generator=generator)[:endmembers]
    weights[torch.arange(endmembers), seeds] += torch.tensor(float(count)).log()
    shares = torch.full((endmembers, count), 1 / endmembers)
    return weights.log_softmax(1), shares.log()


def _likeness(spectra: Tensor) -> float:
    centred = spectra - spectra.mean(1, keepdim=True)
    tiny = torch.finfo(centred.dtype).tiny
    unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(tiny)
    return float((unit @ unit.T).fill_diagonal_(-1).max())
