"""A super-resolution network together with the frozen unmixing network that steers it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class SuperResolver(nn.Module):
    """Sharpens a scene: abundances by the unmixing network, where needed, then the SR network.

    `reach` is how many low-resolution pixels around an output pixel can influence it once the
    attention is frozen, None if the whole image always does.
    """

    def __init__(self, network: nn.Module, unmixer: nn.Module | None) -> None:
        super().__init__()
        # in the order in which they run, for freeze_attention
        self.unmixer = unmixer if network.uses_abundances else None
        self.network = network

    @property
    def reach(self) -> int | None:
        """In low-resolution pixels."""
        reach = cast(int | None, self.network.reach)
        if reach is None or self.unmixer is None:
            return reach
        return max(reach, cast(int, self.unmixer.reach) + cast(int, self.network.abundance_reach))

    def forward(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w), normalised, to (N, B, nh, nw)."""
        if self.unmixer is None:
            return cast(Tensor, self.network(scene))
        with torch.no_grad():
            abundances = self.unmixer(scene)
        return cast(Tensor, self.network(scene, abundances))
