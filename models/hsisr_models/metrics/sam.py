"""Spectral angle mapper (Kruse et al. 1993)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.linalg import vector_norm

from hsisr_models.contract import Meter
from hsisr_models.metrics._strips import paired

LABEL = "SAM"
UNIT = "°"
IDEAL = 0.0
HIGHER_IS_BETTER = False


def meter(*, peak: float, ratio: int, zero: float | None = None) -> Meter:
    """Begin to measure; spectra of zeros are left out, or every zero is set to `zero`."""
    return _Sam() if zero is None else _Replacing(zero)


def definition(*, peak: float, ratio: int, zero: float | None = None) -> str:
    """What is measured, in one line."""
    if zero is None:
        return (
            "SAM: mean over pixels of the angle between spectra, in degrees, zero spectra left out"
        )
    return (
        "SAM: mean over pixels of acos(x·y / (|x||y| + e)), in degrees, zeros of x and y set to e, "
        f"e {zero:g}"
    )


class _Sam:
    def __init__(self) -> None:
        self._radians, self._pixels = 0.0, 0

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip; missing bands are left out of both spectra of a pixel."""
        spectra = torch.stack(paired(truth, estimate)).nan_to_num(nan=0)
        lengths = vector_norm(spectra, dim=1, keepdim=True)
        lit = (lengths > 0).all(0)[0]
        u, v = spectra[..., lit] / lengths[..., lit]
        # exact at every angle, unlike the arc cosine of the cosine
        angles = 2 * torch.atan2(vector_norm(u - v, dim=0), vector_norm(u + v, dim=0))
        self._add(angles)

    def _add(self, angles: Tensor) -> None:
        self._radians += float(angles.sum())
        self._pixels += len(angles)

    def result(self) -> float:
        """In degrees; NaN if no pixel has two spectra."""
        return math.degrees(self._radians / self._pixels) if self._pixels else math.nan


class _Replacing(_Sam):
    """As MCNet's code does: two spectra of zeros are at right angles."""

    def __init__(self, zero: float) -> None:
        super().__init__()
        self._zero = zero

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next strip; missing bands are left out of both spectra of a pixel."""
        spectra = torch.stack(paired(truth, estimate))
        there = ~spectra.isnan()
        u, v = spectra.where(spectra != 0, self._zero).where(there, 0)[..., there[0].any(0)]
        lengths = vector_norm(u, dim=0) * vector_norm(v, dim=0)
        cosines = (u * v).sum(0) / (lengths + self._zero)
        self._add(cosines.clamp(-1, 1).acos())
