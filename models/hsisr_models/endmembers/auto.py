"""The method that suits the scene: `sisal` where pixels are linear mixtures, else `edaa`.

Where spectra mix linearly down to the noise, `sisal` finds the likeliest simplex, whether or not
any pixel is pure. No real scene seen so far is that simple: materials vary, and a simplex around
all pixels would enclose what is no mixture. There `edaa` finds archetypes among the pixels. Since
an archetype is determined by a few extreme pixels, the endmember is the mean of the pixels nearest
to it in spectral angle.
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
"""The share of the time that `sisal` takes, roughly."""


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
