"""The network in three dimensions, computed in two, against torch's own three."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.sr.mcnet import MCNet
from tests.contract.small import shaken


@pytest.mark.parametrize(("scale", "millions"), [(4, 2.17), (8, 2.96)])
def test_it_has_as_many_weights_as_published(scale: int, millions: float) -> None:
    network = MCNet(bands=128, scale=scale)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.005
    )


def literally(network: MCNet, scene: Tensor) -> Tensor:
    """The published layers on features (N, C, B, h, w)."""
    width = len(network.enlarge.bias)

    def in_plane(layer: nn.Module, features: Tensor) -> Tensor:
        size = layer.weight.shape[2]
        return F.conv3d(
            features, layer.weight[:, :, None], layer.bias, padding=(0, size // 2, size // 2)
        )

    def separable(unit: nn.Sequential, features: Tensor) -> Tensor:
        along = unit[2]
        flat = in_plane(unit[0], features).relu()
        return F.conv3d(flat, along.weight[..., None], along.bias, padding=(1, 0, 0)).relu()

    def mixed(block: nn.Module, features: Tensor) -> Tensor:
        found, parts = features, []
        for unit, branch, gain in zip(block.units, block.branches, block.gains, strict=True):
            found = found + separable(unit, found)
            flat = in_plane(branch[2], in_plane(branch[0], found).relu())
            parts.append(gain * flat)
        both = in_plane(block.mix, torch.cat(parts, 1)).relu() + features
        return separable(block.last, both)

    features = shallow = F.conv3d(
        scene[:, None], network.stem.weight[:, None], network.stem.bias, padding=1
    )
    for block in network.body:
        features = mixed(block, features) + shallow
    # what comes from the band before is the last part of a transposed kernel
    spread = network.enlarge.weight.unflatten(1, (3, width)).flip(1).permute(2, 0, 1, 3, 4)
    fine = F.conv_transpose3d(
        features, spread, network.enlarge.bias, (1, network.scale, network.scale), padding=1
    )
    collect = network.head.weight.unflatten(1, (3, width)).transpose(1, 2)
    # a band gives its first share to the band after it
    return F.conv3d(fine, collect, network.head.bias, padding=1)[:, 0]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_exact_convolutions_in_two_dimensions_are_those_in_three(scale: int, bands: int) -> None:
    torch.manual_seed(0)
    network = shaken(MCNet(bands=bands, scale=scale, width=6, depth=2).eval())
    scene = torch.rand(2, bands, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close(network(scene), literally(network, scene))


def test_one_network_takes_any_number_of_bands() -> None:
    network = MCNet(bands=4, scale=2, width=4, depth=1).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 7, 3, 3)).shape == (1, 7, 6, 6)
