"""SISAL: the likeliest simplex around the pixels, which is as small as their noise allows.

If pixels are spread evenly over a simplex and blurred by Gaussian noise, the likelihood of a pixel
is about 1 / volume, times the probability for every facet that noise has not moved it across. The
maximum is a simplex of minimum volume with borders as soft as the noise, and needs no pure pixel.
Bands are first divided by their noise, so that it is one in all directions.

Where pixels are equally bright, the simplex is flat: it lies in an affine space of p - 1
dimensions. Where they are not, its vertices span a cone in p dimensions; then the simplex that a
plane cuts from the cone is minimised, whatever the brightness of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from hsisr_models.contract import unwatched
from hsisr_models.endmembers._pixels import require_enough
from hsisr_models.endmembers.nfindr import corners
from hsisr_models.noise import energies
from hsisr_models.subspace import principal_axes

SOURCE = "Huang, Shao, Ma and So, SISAL Revisited, SIAM J. Imaging Sci. 15(2), 2022"

_FAINTEST = 1e-4
"""The noise of a band is no less than this, in parts of the scene's brightness."""
_AS_NOISE = 1.05
"""What is left unexplained passes for noise if it is larger by at most this factor."""
_BELOW_ZERO = 0.05
"""The share of a spectrum that may be negative by chance."""
_DARK = 0.1
"""Share of the median brightness; the direction of darker pixels is mostly noise."""
_STEPS = 300
"""At most."""


@dataclass(frozen=True)
class Fit:
    """A simplex, and what it leaves unexplained."""

    endmembers: Tensor
    """(p, B), float64."""
    unexplained: float
    """Root mean square distance of pixels from the space of the simplex, in units of the noise."""

    @property
    def holds(self) -> bool:
        """Whether the scene is a mixture of these spectra, to all that its noise can tell."""
        below = self.endmembers.clamp(max=0).norm(dim=1)
        possible = below <= _BELOW_ZERO * self.endmembers.norm(dim=1)
        return self.unexplained <= _AS_NOISE and bool(possible.all())


@dataclass(frozen=True)
class _Space:
    """Where a simplex is looked for; all of its vertices have 1 for their last coordinate."""

    points: Tensor
    """The pixels (N, p); the last coordinate is their brightness."""
    noise: Tensor
    """What noise of one does to a point: a square root of its covariance (p, p)."""
    lift: Tensor
    """From points to spectra (p, B)."""
    unexplained: float

    @property
    def cut(self) -> Tensor:
        """The points as if all were equally bright, without dark ones."""
        bright = self.points[:, -1] > _DARK * self.points[:, -1].median()
        return self.points[bright] / self.points[bright, -1:]


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B) of pixels (N, B), which may lie outside of all pixels but not below zero.

    Starts at the pixels of `nfindr`; nothing is random. Raises `ValueError` if there are fewer
    pixels or bands than endmembers.
    """
    del seed
    return fit(pixels, endmembers, progress).endmembers.clamp_min(0).float()


def fit(pixels: Tensor, endmembers: int, progress: Callable[[float], None] = unwatched) -> Fit:
    """The simplex of pixels (N, B): the flat one if it holds, else that of varying brightness.

    Raises as `extract`.
    """
    require_enough(pixels, endmembers)
    noise = _noise(pixels.double())
    white = pixels.double() / noise
    if endmembers == 1 or white.std(0).max() < _FAINTEST:
        progress(1.0)
        return Fit(pixels.double().mean(0).expand(endmembers, -1), torch.inf)
    found, flat = None, _flat(white, endmembers)
    if flat.unexplained <= _AS_NOISE:
        spectra = _likeliest(flat, lambda done: progress(done / 2))
        found = Fit(spectra * noise, flat.unexplained)
    if found is None or not found.holds:
        cone = _cone(white, endmembers)
        spectra = _likeliest(cone, lambda done: progress((1 + done) / 2))
        found = Fit(_as_bright(spectra, white) * noise, cone.unexplained)
    progress(1.0)
    return found


def _noise(pixels: Tensor) -> Tensor:
    """The standard deviation of the noise of each band (B,)."""
    total, bands = pixels.shape
    mean = pixels.mean(0)
    products, inverse = energies(mean, (pixels - mean).T @ (pixels - mean) / total)
    # a regression takes part of the noise for signal
    found = (total / max(total - bands, 1) / inverse.diagonal()).sqrt()
    least = (_FAINTEST * products.diagonal().mean().sqrt()).clamp_min(torch.finfo(mean.dtype).eps)
    return found.clamp_min(least)


def _flat(white: Tensor, endmembers: int) -> _Space:
    """The affine space of p - 1 dimensions nearest to the pixels."""
    mean, axes = principal_axes(white, endmembers - 1)
    inside = (white - mean) @ axes
    points = torch.cat((inside, torch.ones_like(inside[:, :1])), 1)
    noise = torch.ones_like(points[0])
    noise[-1] = 0
    left = (white - mean).square().sum() - inside.square().sum()
    unexplained = _rms(left, white, endmembers - 1)
    return _Space(points, noise.diag(), torch.vstack((axes.T, mean)), unexplained)


def _cone(white: Tensor, endmembers: int) -> _Space:
    """The linear space of p dimensions nearest to the pixels; its last axis is their mean."""
    _, every = torch.linalg.eigh(white.T @ white)
    axes = every.flip(1)[:, :endmembers]
    mean = axes @ (axes.T @ white.mean(0))
    up, bright = mean / mean.norm(), mean.norm()
    across = torch.linalg.svd(axes - torch.outer(up, up @ axes), full_matrices=False)[0]
    across = across[:, : endmembers - 1]
    points = torch.cat((white @ across, (white @ up / bright)[:, None]), 1)
    noise = torch.ones_like(points[0])
    noise[-1] = 1 / bright
    left = white.square().sum() - (white @ axes).square().sum()
    lift = torch.vstack((across.T, mean))
    return _Space(points, noise.diag(), lift, _rms(left, white, endmembers))


def _rms(left: Tensor, white: Tensor, fitted: int) -> float:
    """Of what is `left` of all pixels once `fitted` of the dimensions that vary are taken out."""
    bands = int((white.std(0) > 0).sum())
    return sqrt(max(float(left), 0) / len(white) / max(bands - fitted, 1))


def _likeliest(space: _Space, progress: Callable[[float], None]) -> Tensor:
    """The spectra (p, B) of the vertices that make the points most likely."""
    space = _rounded(space)
    start = space.cut[corners(space.cut), :-1]
    # pixels that are all the same span no simplex
    start += _FAINTEST * torch.eye(*start.shape, dtype=start.dtype)
    steps = count()

    def unlikeliness(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        progress(min(next(steps) / _STEPS, 1.0))
        vertices = torch.tensor(values).reshape(start.shape).requires_grad_(True)
        value = _unlikeliness(vertices, space)
        (slope,) = torch.autograd.grad(value, vertices)
        return float(value.detach()), slope.flatten().numpy()

    found = minimize(
        unlikeliness,
        start.flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _STEPS, "maxcor": 20},
    )
    vertices = torch.from_numpy(found.x).reshape(start.shape)
    return torch.cat((vertices, torch.ones_like(vertices[:, :1])), 1) @ space.lift


def _rounded(space: _Space) -> _Space:
    """The same in coordinates in which the points spread equally far in all directions."""
    seen = space.cut[:, :-1]
    centred = seen - seen.mean(0)
    spread = centred.T @ centred / len(seen) + space.noise[:-1, :-1] ** 2
    back = torch.eye(len(space.lift), dtype=seen.dtype)
    back[:-1, :-1] = torch.linalg.cholesky(spread)
    back[:-1, -1] = seen.mean(0)
    there = torch.linalg.inv(back)
    return _Space(
        space.points @ there.T, there @ space.noise, back.T @ space.lift, space.unexplained
    )


def _unlikeliness(vertices: Tensor, space: _Space) -> Tensor:
    """The mean of -log likelihood, but for a constant, of a simplex with `vertices` (p, p - 1)."""
    size = len(vertices)
    rows = torch.cat((vertices, torch.ones_like(vertices[:, :1])), 1)
    weights, _ = torch.linalg.inv_ex(rows)
    # barycentric coordinates, in units of what the noise does to them
    inside = (space.points @ weights) / (space.noise.T @ weights).norm(dim=0)
    centred = vertices - vertices.mean(0)
    blur = space.noise[:-1] @ space.noise[:-1].T
    # the covariance of a simplex; the noise keeps its volume from vanishing
    volume = torch.logdet(centred.T @ centred / (size * (size + 1)) + blur) / 2
    within: Tensor = torch.special.log_ndtr(inside)
    return volume - within.sum(1).mean()


def _as_bright(spectra: Tensor, white: Tensor) -> Tensor:
    """The spectra (p, B), each as bright as makes the shares of a pixel sum to one on average."""
    shares = torch.linalg.lstsq(spectra.T, white.T).solution
    weights = torch.linalg.lstsq(shares.T, torch.ones_like(shares[:1].T)).solution
    return spectra / weights if (weights > 0).all() else spectra
