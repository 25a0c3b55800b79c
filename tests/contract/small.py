"""Networks of the shelves in small, with weights that leave nothing switched off."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

SMALL = {
    "width": 8,
    "depth": 1,
    "reduction": 1,
    "group": 2,
    "overlap": 1,
    "materials": 3,
    "token": 8,
    "patch": 2,
    "heads": 2,
}
Network = TypeVar("Network", bound=nn.Module)


def numbers_for(build: Callable[..., nn.Module], **numbers: Any) -> dict[str, Any]:
    """Those of `SMALL` and `numbers` that a builder takes."""
    known = inspect.signature(build).parameters
    return {key: value for key, value in (SMALL | numbers).items() if key in known}


def variants(
    build: Callable[..., nn.Module], among: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The numbers among these that a builder makes a network of its own of, `{}` always."""
    known = inspect.signature(build).parameters
    usual = {key: known[key].default for key in known} | numbers_for(build)
    return [
        numbers
        for numbers in among
        if not numbers or usual | numbers_for(build, **numbers) != usual
    ]


def shaken(network: Network, seed: int = 0) -> Network:
    """Random numbers added to all weights: layers that start at zero come to life."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(
                torch.randn(value.shape, generator=generator) * 0.3 / value[0].numel() ** 0.5
            )
    return network
