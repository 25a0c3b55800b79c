"""The super-resolution network and the unmixing network that steers it, as one."""

from __future__ import annotations

import pytest
import torch

from hsisr_models.blocks import attention_layers
from hsisr_models.networks import SrNetwork
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import bicubic, unmixing_sr
from hsisr_models.unmix import gram_autoencoder


def pair(material: str = "film") -> tuple[SrNetwork, gram_autoencoder.GramAutoencoder]:
    torch.manual_seed(0)
    network = unmixing_sr.build(bands=4, scale=2, endmembers=3, width=8, depth=1, material=material)
    unmixer = gram_autoencoder.build(bands=4, endmembers=3, width=8, depth=3, kernel=5)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return network.eval(), unmixer.eval()


def test_the_abundances_of_the_scene_steer_it() -> None:
    network, unmixer = pair()
    scene = torch.rand(1, 4, 6, 7)
    with torch.no_grad():
        expected = network(scene, unmixer.encode(scene))
        assert torch.equal(SuperResolver(network, unmixer)(scene), expected)
        uniform = torch.full((1, 3, 6, 7), 1 / 3)
        assert not torch.equal(network(scene, uniform), expected)


def test_an_unmixer_that_nobody_asks_is_left_out() -> None:
    for network in (bicubic.build(bands=4, scale=2), pair(material="off")[0]):
        resolver = SuperResolver(network, pair()[1])
        assert resolver.unmixer is None
        assert resolver.reach == network.reach
        scene = torch.rand(1, 4, 6, 7)
        with torch.no_grad():
            assert torch.equal(resolver(scene), network(scene, None))


def test_the_reach_is_the_longer_of_both_ways() -> None:
    network, unmixer = pair()
    assert unmixer.reach is not None
    assert network.reach is not None
    through_materials = unmixer.reach + network.abundance_reach
    assert through_materials > network.reach
    assert SuperResolver(network, unmixer).reach == through_materials
    unmixer.reach = 0
    assert SuperResolver(network, unmixer).reach == network.reach


@pytest.mark.parametrize("which", ["network", "unmixer"])
def test_a_part_that_is_not_local_makes_the_whole_not_local(which: str) -> None:
    network, unmixer = pair()
    {"network": network, "unmixer": unmixer}[which].reach = None
    assert SuperResolver(network, unmixer).reach is None


def test_no_gradient_reaches_the_unmixer_through_its_abundances() -> None:
    network, unmixer = pair()
    SuperResolver(network, unmixer)(torch.rand(1, 4, 6, 7)).sum().backward()
    assert all(value.grad is None for value in unmixer.parameters())
    assert any(value.grad is not None for value in network.parameters())


def test_attention_is_met_in_the_order_in_which_it_runs() -> None:
    network, unmixer = pair()
    resolver, met = SuperResolver(network, unmixer), []
    layers = list(attention_layers(resolver))
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: met.append(layer))
    resolver(torch.rand(1, 4, 6, 7))
    assert [id(layer) for layer in met] == [id(layer) for layer in layers]
