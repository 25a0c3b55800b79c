"""A super-resolution network together with the frozen unmixing network that steers it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsisr_models.networks import SrNetwork, UnmixNetwork
from hsisr_models.rendering import Area, Renderer, everything


class SuperResolver(nn.Module):
    """Sharpens a scene: abundances by the unmixing network, where needed, then the SR network."""

    __call__: Callable[..., Tensor]

    def __init__(self, network: SrNetwork, unmixer: UnmixNetwork | None) -> None:
        super().__init__()
        self.unmixer = unmixer if network.uses_abundances else None
        self.network = network

    @property
    def reach(self) -> int | None:
        """As that of `SrNetwork`, with what the unmixing network sees."""
        reach = self.network.reach
        if reach is None or self.unmixer is None:
            return reach
        if self.unmixer.reach is None:
            return None
        return max(reach, self.unmixer.reach + self.network.abundance_reach)

    @property
    def footprint(self) -> int:
        """As that of `SrNetwork`."""
        return max(self.network.footprint, self.unmixer.footprint if self.unmixer else 0)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """As that of `SrNetwork`, for a normalised scene (N, B, h, w)."""
        if self.unmixer is None:
            return self.network.prepare(scene, kept=kept)
        with torch.no_grad():
            abundances = self.unmixer(scene)
        return self.network.prepare(scene, abundances, kept=kept)

    def forward(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w), normalised, to (N, B, nh, nw)."""
        return everything(self.prepare(scene), scene)
