"""The endmembers that the scene itself calls for.

Where spectra mix linearly down to the noise, the likeliest simplex is found by `sisal`, whether or
not a pixel is pure. No real scene seen so far is so simple: its materials vary, and a simplex
around all pixels would enclose what is no mixture. There, archetypes are found by `edaa`, within
the pixels; as one is set by the few most extreme of its kind, the mean of those that are nearest to
it, in spectral angle, is taken for the endmember.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hsisr_models.contract import unwatched
from hsisr_models.endmembers import edaa, sisal

SOURCE = "sisal where linear mixing explains the scene down to its noise, else edaa; hsisr"

_REGION = 0.01
"""The share of the pixels that an archetype is replaced by."""
_TRIAL = 0.1
"""The share of the time that the simplex takes, about."""


def extract(
    pixels: Tensor, endmembers: int, *, seed: int, progress: Callable[[float], None] = unwatched
) -> Tensor:
    """Endmembers (p, B) of pixels (N, B), in their units.

    Raises `ValueError` if there are fewer pixels or bands than endmembers.
    """
    simplex = sisal.fit(pixels, endmembers, lambda done: progress(_TRIAL * done))
    if simplex.holds:
        progress(1.0)
        return simplex.endmembers.clamp_min(0).float()
    archetypes = edaa.extract(
        pixels,
        endmembers,
        seed=seed,
        progress=lambda done: progress(_TRIAL + (1 - _TRIAL) * done),
    )
    likeness = normalize(archetypes.double()) @ normalize(pixels.double()).T
    nearest = likeness.topk(ceil(_REGION * len(pixels)), 1).indices
    return torch.stack([pixels[region].double().mean(0) for region in nearest]).float()
