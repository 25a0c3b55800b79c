from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr_models.metrics import SHELF

Scene = NDArray[np.float64]
Measure = Callable[..., float]


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[Scene, Scene]:
    """A true and an estimated scene of 5 bands with values up to 1."""
    truth = rng.uniform(0.05, 0.2, (5, 1, 1)) * rng.uniform(0.5, 5, (5, 23, 17))
    return truth, truth + rng.normal(0, 0.03, truth.shape)


@pytest.fixture
def measure() -> Measure:
    """A measure of two scenes that arrive in strips of the given heights."""

    def run(
        name: str,
        truth: Scene,
        estimate: Scene,
        *,
        peak: float = 1.0,
        ratio: int = 4,
        heights: Sequence[int] | None = None,
        **settings: Any,
    ) -> float:
        meter = SHELF[name].meter(peak=peak, ratio=ratio, **settings)
        edges = np.cumsum([0, *(heights or [truth.shape[1]])])
        for top, bottom in pairwise(edges):
            strips = (torch.from_numpy(scene[:, top:bottom].copy()) for scene in (truth, estimate))
            meter.update(*strips)
        return meter.result()

    return run
