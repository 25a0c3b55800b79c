"""Abundances steer a network where it lets them in, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Image
from tests.contract.small import shaken


@pytest.mark.parametrize(("endmembers", "kind"), [(0, "film"), (0, "off"), (3, "off")])
def test_where_it_is_off_features_pass_as_they_are(endmembers: int, kind: str) -> None:
    plugin, features = MaterialPlugIn(4, endmembers, kind), Image.of(torch.rand(1, 4, 6, 6))
    assert not plugin.is_on
    assert not list(plugin.parameters())
    assert plugin.reach(1, 2) == 0
    assert plugin(features, torch.rand(1, 3, 3, 3)) is features


@pytest.mark.parametrize("kind", ["film", "concat"])
def test_where_it_is_on_abundances_steer_the_features(kind: str) -> None:
    plugin, pixels = shaken(MaterialPlugIn(4, 3, kind)), torch.rand(1, 4, 6, 6)
    assert plugin.is_on
    found = [plugin(Image.of(pixels), torch.rand(1, 3, 3, 3)).whole() for _ in range(2)]
    assert found[0].shape == pixels.shape
    assert not torch.equal(*found)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no material-aware module 'magic'"):
        MaterialPlugIn(4, 3, "magic")


@pytest.mark.parametrize(("after", "zoom", "reach"), [(1, 2, 1), (1, 8, 1), (1, 1, 2), (4, 2, 3)])
def test_abundances_reach_as_far_as_what_follows(after: int, zoom: int, reach: int) -> None:
    assert MaterialPlugIn(4, 3, "film").reach(after, zoom) == reach
