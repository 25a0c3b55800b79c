"""Dead leaves: synthetic scenes of overlapping objects, in endless supply.

They have what matters for super-resolution: sharp edges of every direction and contrast, objects
of every size, thin lines, textures, and spectra that change at the edges. Sources: Lee,
Mumford, Huang, IJCV 41, 2001 (the model); Achddou, Gousseau, Ladjal, SSVM 2021 (networks trained on
it restore photographs).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Image = NDArray[np.float32]

_FINER = 2
"""Sub-pixels along each side of a pixel, so that edges are mixed as a sensor mixes them."""
_MATERIALS = 14
_TEXTURES = 3
_SMALLEST = 2.8
"""Radius of the smallest leaves, in sub-pixels."""
_BRIGHTNESS = 1000


def dead_leaves(seed: int, *, side: int = 400, bands: int = 24) -> Image:
    """A scene (side, side, bands) of positive values around 1000.

    Every seed has its own materials, sizes and numbers of leaves, textures, optics and noise.
    """
    rng = np.random.default_rng(seed)
    fine = side * _FINER
    labels, gains = _leaves(rng, fine)
    gains *= _texture(rng, labels)
    haze = np.clip(rng.uniform(0, 0.3) * _fractal(rng, fine, 2.5), 0, 0.6)
    spectra, other = _spectra(rng, bands), rng.integers(_MATERIALS)
    optics, noise = rng.uniform(0.3, 0.7), rng.uniform(0, 0.004)
    scene = np.empty((side, side, bands), np.float32)
    for band, values in enumerate(spectra.T):
        seen = values[labels] * gains * (1 - haze) + values[other] * haze
        scene[:, :, band] = gaussian_filter(_pooled(seen), optics)
    scene *= _BRIGHTNESS / scene.mean()
    scene += _BRIGHTNESS * noise * rng.standard_normal(scene.shape, np.float32)
    return np.maximum(scene, 1)


def _leaves(rng: np.random.Generator, size: int) -> tuple[NDArray[np.int64], Image]:
    """Which material lies on top (size, size), and how bright each leaf is."""
    labels = np.full((size, size), rng.integers(_MATERIALS))
    gains = np.ones((size, size), np.float32)
    # as many per area whatever the size: 300 to 1500 on 400 x 400 sub-pixels
    count = int(rng.integers(300, 1500) * (size / 400) ** 2)
    for radius in _radii(rng, count, largest=min(size, 400) / 3):
        row, col = rng.uniform(0, size, 2)
        reach = int(1.5 * radius) + 2
        rows = slice(max(0, int(row) - reach), int(row) + reach)
        cols = slice(max(0, int(col) - reach), int(col) + reach)
        down = np.arange(size, dtype=np.float32)[rows, None] - row
        across = np.arange(size, dtype=np.float32)[cols] - col
        covered = _shape(rng, down / radius, across / radius)
        labels[rows, cols][covered] = rng.integers(_MATERIALS)
        gains[rows, cols][covered] = rng.lognormal(0, 0.15)
    return labels, gains


def _radii(rng: np.random.Generator, count: int, largest: float) -> NDArray[np.float64]:
    """Radii of leaves from the lowest to the topmost, by a power law, which has no scale."""
    power = 1 - rng.uniform(2.2, 3.2)
    ends = _SMALLEST**power, largest**power
    radii = (ends[0] + rng.uniform(size=count) * (ends[1] - ends[0])) ** (1 / power)
    # half of the scenes have their small things on top
    return np.sort(radii)[::-1] if rng.random() < 0.5 else radii


def _shape(rng: np.random.Generator, down: Image, across: Image) -> NDArray[np.bool_]:
    """An ellipse, a rectangle or, more rarely, a line of unit length, turned at random."""
    kind, angle = rng.integers(4), rng.uniform(0, np.pi)
    aspect = rng.uniform(0.02, 0.08) if kind == 3 else rng.uniform(0.15, 1)
    along = across * np.cos(angle) + down * np.sin(angle)
    beside = (down * np.cos(angle) - across * np.sin(angle)) / aspect
    inside = along**2 + beside**2 < 1 if kind == 0 else np.maximum(abs(along), abs(beside)) < 1
    return np.asarray(inside)


def _texture(rng: np.random.Generator, labels: NDArray[np.int64]) -> Image:
    """A factor for every pixel, rough in its own way and by its own measure on each material."""
    strength = rng.uniform(0, 0.12, _MATERIALS).astype(np.float32)
    kinds = rng.integers(_TEXTURES, size=_MATERIALS)
    factor = np.ones(labels.shape, np.float32)
    for kind in range(_TEXTURES):
        rough = _fractal(rng, len(labels), rng.uniform(1, 2.2))
        factor += np.where(kinds[labels] == kind, strength[labels], 0) * rough
    return factor


def _fractal(rng: np.random.Generator, size: int, slope: float) -> Image:
    """Noise (size, size) of variance 1 whose amplitudes fall as frequency to the power -`slope`."""
    squared = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size) ** 2
    squared[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * squared ** (-slope / 2)
    field = np.fft.irfft2(spectrum, (size, size))
    return np.asarray(field / field.std(), np.float32)


def _spectra(rng: np.random.Generator, bands: int) -> Image:
    """Smooth spectra (materials, bands) that differ more in brightness than in shape."""
    where = np.linspace(0, np.pi, bands)
    orders = np.arange(8)[:, None]
    waves = np.cos(orders * where + rng.uniform(0, 6, (_MATERIALS, 8, 1)))
    shapes = (rng.standard_normal((_MATERIALS, 8, 1)) * waves / (orders + 1) ** 1.2).sum(1)
    brightness = rng.lognormal(0, 0.5, (_MATERIALS, 1))
    return np.asarray(brightness * np.exp(0.35 * shapes / shapes.std()), np.float32)


def _pooled(values: Image) -> Image:
    side = len(values) // _FINER
    pooled: Image = values.reshape(side, _FINER, side, _FINER).mean((1, 3))
    return pooled
