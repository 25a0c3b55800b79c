"""The material-aware module as a part that any network can let in (paper, Table III)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from hsisr_models.blocks import MaterialAwareModule
from hsisr_models.rendering import Image


class MaterialPlugIn(nn.Module):
    """Lets abundances steer the features after the last up-sampling stage of a network.

    Without endmembers, or if `kind` is `off`, it is not there: the network is bit for bit what it
    is without. Raises `ValueError` for another kind than those of the material-aware module.
    """

    __call__: Callable[..., Image]

    def __init__(self, channels: int, endmembers: int, kind: str) -> None:
        super().__init__()
        wanted = endmembers > 0 and kind != "off"
        self.module = MaterialAwareModule(channels, endmembers, kind) if wanted else None

    @property
    def is_on(self) -> bool:
        """Whether it wants abundances."""
        return self.module is not None

    def reach(self, after: int, zoom: int) -> int:
        """How far the abundances reach, `after` fine pixels of them by what follows."""
        return math.ceil((1 + after) / zoom) if self.is_on else 0

    def forward(self, features: Image, abundances: Tensor | None) -> Image:
        """(N, C, nh, nw), steered by (N, p, h, w)."""
        if self.module is None:
            return features
        steered: Image = self.module(features, abundances)
        return steered
