"""What has to be known of a scene as a whole before any part of it is sharpened."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from hsisr import gaps
from hsisr.cube import Block, Cube, CubeSpec
from hsisr.errors import InputError
from hsisr.window import Window
from hsisr_models.subspace import Moments, Subspace

_STRIP = 1 << 23
"""Samples that are read at a time."""


def strips(spec: CubeSpec) -> Iterator[Window]:
    """Full-width windows that cover a scene from top to bottom, each of bounded size."""
    height = max(1, _STRIP // (spec.bands * spec.cols))
    for row in range(0, spec.rows, height):
        yield Window(row, 0, min(height, spec.rows - row), spec.cols)


def gather_moments(cube: Cube) -> Moments:
    """Mean and covariance of a scene's spectra, by reading it once from top to bottom.

    A pixel counts if it has data in at least half of its bands; what it lacks is set to the mean
    of its strip, or where that has none, of those before. Pixels of zeros alone are taken for a
    border without a declared no-data value.
    """
    moments = Moments(cube.spec.bands)
    for window in strips(cube.spec):
        block = cube.read(window)
        pixels = block[:, with_data(block)][:, None]
        known = np.isfinite(pixels).any((1, 2))
        means = np.where(known, gaps.band_means(pixels), moments.mean.numpy())
        complete = gaps.fill(pixels, means, depth=0)
        moments.add(torch.from_numpy(complete[:, 0]))
    return moments


def subspace_of(cube: Cube, tokens: int) -> Subspace:
    """The subspace of a scene; raises `InputError` if no pixel holds data."""
    good = cube.spec.spectrum.good if cube.spec.spectrum else None
    usable = torch.tensor(good) if good and any(good) else None
    try:
        return gather_moments(cube).subspace(tokens, usable)
    except ValueError:
        raise InputError(
            "no pixel holds data", where=cube.files[0], hint=f"hsisr info {cube.files[0]}"
        ) from None


def with_data(block: Block) -> NDArray[np.bool_]:
    """Which pixels of (B, h, w) hold a spectrum: half of the bands at least, not all of them 0."""
    there = np.isfinite(block)
    filled = (np.where(there, block, 0) != 0).any(0)
    return np.asarray(filled & (2 * there.sum(0) >= len(block)))
