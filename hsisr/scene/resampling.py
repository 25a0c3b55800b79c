"""Spectra on the bands of another sensor.

A spectrum is taken to be linear between its samples. A band that is wider than the samples sees it
through a Gaussian whose full width at half maximum is that of the band, less, in squares, that of
the samples, by which the spectrum is blurred already. A band that is no wider, or whose width is
not known, interpolates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from hsisr.cube import Spectrum

Matrix = NDArray[np.float64]

_SIGMA = (8 * np.log(2)) ** -0.5
"""Standard deviation of a Gaussian whose full width at half maximum is 1."""


def covered(have: Spectrum, want: Spectrum) -> NDArray[np.bool_]:
    """Which wanted bands lie among the samples of a spectrum, not beyond or in a gap (B,).

    Beyond the last samples lies what is further than half a step; in a gap what is further from
    the nearest sample than the usual step, and than the band is wide.
    """
    grid, centres = np.unique(have.centres_nm), np.array(want.centres_nm)
    steps = _steps(grid)
    inside = (centres >= grid[0] - steps[0] / 2) & (centres <= grid[-1] + steps[-1] / 2)
    away = np.abs(centres[:, None] - grid).min(1)
    near = np.maximum(np.median(steps), _widths(want, np.unique(centres), centres))
    return np.asarray(inside & (away <= near))


def weights(have: Spectrum, want: Spectrum) -> Matrix:
    """The weight of each sample in each wanted band (B, m); every row sums to 1."""
    grid, which, count = np.unique(have.centres_nm, return_inverse=True, return_counts=True)
    centres = np.array(want.centres_nm).clip(grid[0], grid[-1])
    taken = _linear(grid, centres)
    if want.widths_nm is not None and len(grid) > 1:
        own = _widths(have, grid, centres)
        left = np.square(want.widths_nm) - own**2
        wide = left > 0
        taken[wide] = _gaussian(grid, centres[wide], _SIGMA * np.sqrt(left[wide]))
    # samples at the same wavelength share alike
    return np.asarray((taken / count)[:, which])


def _steps(grid: Matrix) -> Matrix:
    return np.asarray(np.gradient(grid)) if len(grid) > 1 else np.ones(1)


def _widths(spectrum: Spectrum, grid: Matrix, places: Matrix) -> Matrix:
    """The widths of samples at some places; by default the step between samples."""
    if spectrum.widths_nm is None:
        return np.asarray(np.interp(places, grid, _steps(grid)))
    order = np.argsort(spectrum.centres_nm, kind="stable")
    known = np.array(spectrum.centres_nm)[order], np.array(spectrum.widths_nm)[order]
    return np.asarray(np.interp(places, *known))


def _linear(grid: Matrix, centres: Matrix) -> Matrix:
    """The weights of linear interpolation (B, m)."""
    taken, bands = np.zeros((len(centres), len(grid))), np.arange(len(centres))
    if len(grid) == 1:
        return taken + 1
    after = np.searchsorted(grid, centres).clip(1, len(grid) - 1)
    share = (centres - grid[after - 1]) / (grid[after] - grid[after - 1])
    taken[bands, after - 1], taken[bands, after] = 1 - share, share
    return taken


def _gaussian(grid: Matrix, centres: Matrix, sigma: Matrix) -> Matrix:
    """The weights of linear interpolation, averaged under a Gaussian as far as samples reach."""
    middle, sigma = centres[:, None], sigma[:, None]
    z = (grid - middle) / sigma
    mass = np.diff(ndtr(z), axis=1)
    moment = middle * mass - sigma * np.diff(np.exp(-(z**2) / 2), axis=1) / np.sqrt(2 * np.pi)
    taken = np.zeros_like(z)
    taken[:, 1:] += (moment - grid[:-1] * mass) / np.diff(grid)
    taken[:, :-1] += (grid[1:] * mass - moment) / np.diff(grid)
    return np.asarray(taken / taken.sum(1, keepdims=True))
