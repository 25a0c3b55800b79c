"""Networks of every shelf, small and with weights that leave nothing switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hsisr_models.networks import SrNetwork, UnmixNetwork
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS
from tests.contract.small import numbers_for, shaken


@pytest.fixture
def sr_network() -> Callable[..., SrNetwork]:
    """Builds a network of the shelf: `sr_network(name, bands=3, scale=2, endmembers=2)`."""

    def built(
        name: str, *, bands: int = 3, scale: int = 2, endmembers: int = 2, **numbers: Any
    ) -> SrNetwork:
        torch.manual_seed(0)
        build = NETWORKS[name].build
        kept = numbers_for(build, **numbers)
        return shaken(build(bands=bands, scale=scale, endmembers=endmembers, **kept).eval())

    return built


@pytest.fixture
def unmix_network() -> Callable[..., UnmixNetwork]:
    """Builds a network of the shelf: `unmix_network(name, bands=3, endmembers=2)`."""

    def built(name: str, *, bands: int = 3, endmembers: int = 2, **numbers: Any) -> UnmixNetwork:
        torch.manual_seed(0)
        build = METHODS[name].build
        kept = numbers_for(build, **numbers)
        return shaken(build(bands=bands, endmembers=endmembers, **kept).eval())

    return built


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rings() -> Callable[[int, int], Tensor]:
    """Distances (h, w) from the middle of a square of odd side, counted along both axes alike."""

    def distances(side: int, reach: int) -> Tensor:
        assert side // 2 > reach, "nothing lies beyond the reach"
        away = (torch.arange(side) - side // 2).abs()
        return torch.maximum(away[:, None], away)

    return distances
