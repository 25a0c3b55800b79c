"""What every unmixing method of the shelf keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.checkpoint import Card, Part
from hsisr_models.blocks import attention_layers, freeze_attention, thaw_attention
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.networks import UnmixNetwork
from hsisr_models.unmix import SHELF
from tests.contract.small import numbers_for, variants

NAMES = list(SHELF)
VARIANTS = [
    {},
    {"positivity": "clamp"},
    {"positivity": "softplus"},
    {"kernel": 5, "depth": 2},
    {"stem_kernel": 1, "spectral_kernel": 3},
]
CASES = [(name, numbers) for name in NAMES for numbers in variants(SHELF[name].build, VARIANTS)]
PLAIN = {
    name: SHELF[name].build(bands=3, endmembers=2, **numbers_for(SHELF[name].build))
    for name in NAMES
}
TILED = [name for name in NAMES if PLAIN[name].reach is not None]
Build = Callable[..., UnmixNetwork]

every_method = pytest.mark.parametrize("name", NAMES)
every_variant = pytest.mark.parametrize(("name", "numbers"), CASES, ids=str)
every_tiled_method = pytest.mark.parametrize("name", TILED)


@every_method
def test_a_method_names_its_source(name: str) -> None:
    assert len(SHELF[name].SOURCE) > 10


@every_method
@pytest.mark.parametrize("bands", [1, 31, 128])
@pytest.mark.parametrize("endmembers", [1, 2, 7])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_abundances_lie_on_the_simplex(
    unmix_network: Build, name: str, bands: int, endmembers: int, precision: torch.dtype
) -> None:
    network = unmix_network(name, bands=bands, endmembers=endmembers)
    reduced = precision is torch.bfloat16
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
        shares = network(10 * torch.rand(2, bands, 4, 5))
    assert shares.shape == (2, endmembers, 4, 5)
    assert shares.dtype == torch.float32
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 4, 5))


@every_variant
def test_scenes_are_mixed_linearly(
    unmix_network: Build, name: str, numbers: dict[str, object]
) -> None:
    network = unmix_network(name, bands=6, endmembers=3, **numbers)
    shares = torch.rand(2, 3, 4, 5).softmax(1)
    with torch.no_grad():
        scene, spectra = network.decode(shares), network.endmembers
    assert spectra.shape == (3, 6)
    expected = (shares.double().permute(0, 2, 3, 1) @ spectra.double()).permute(0, 3, 1, 2)
    torch.testing.assert_close(scene.double(), expected, rtol=1e-6, atol=1e-6)


@every_variant
def test_endmembers_can_be_set_and_stay_positive(
    unmix_network: Build, name: str, numbers: dict[str, object]
) -> None:
    network = unmix_network(name, bands=6, endmembers=3, **numbers)
    spectra = torch.rand(3, 6) + 0.01
    network.set_endmembers(spectra)
    torch.testing.assert_close(network.endmembers.detach(), spectra, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        for value in network.parameters():
            value.sub_(2)
    network.project()
    assert network.endmembers.min() >= 0


@every_variant
def test_every_weight_is_trained(
    unmix_network: Build, name: str, numbers: dict[str, object]
) -> None:
    network = unmix_network(name, **numbers).train()
    network.set_endmembers(torch.rand(2, 3) + 0.1)
    shares, terms = network.encode_with_terms(torch.rand(2, 3, 6, 6))
    total = network.decode(shares).square().sum() + sum(terms.values())
    total.backward()
    for key, value in network.named_parameters():
        assert value.grad is not None, key
        assert value.grad.abs().max() > 0, key


@every_method
def test_its_own_terms_are_finite_scalars(unmix_network: Build, name: str) -> None:
    network, scene = unmix_network(name), torch.rand(2, 3, 6, 7)
    with torch.no_grad():
        shares, terms = network.encode_with_terms(scene)
        assert torch.equal(shares, network.encode(scene))
    assert tuple(terms) == network.terms
    assert not set(terms).intersection(LOSSES)
    for value in terms.values():
        assert value.shape == ()
        assert value.isfinite()
        assert value >= 0


@every_method
def test_it_remembers_where_its_endmembers_began(unmix_network: Build, name: str) -> None:
    network, spectra = unmix_network(name), torch.rand(2, 3) + 0.1
    network.set_endmembers(spectra)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.5)
    torch.testing.assert_close(network.start, spectra, rtol=1e-5, atol=1e-6)
    assert (network.endmembers - network.start).abs().max() > 0.01


@pytest.mark.parametrize("name", [name for name in NAMES if PLAIN[name].independent])
def test_scenes_of_a_batch_are_independent_where_it_says_so(
    unmix_network: Build, name: str
) -> None:
    network, batch = unmix_network(name).train(), torch.rand(3, 3, 6, 6)
    assert not network.terms
    with torch.no_grad():
        torch.testing.assert_close(network.encode(batch)[:1], network.encode(batch[:1]))


@every_method
def test_the_same_scene_gives_the_same_bits(unmix_network: Build, name: str) -> None:
    network, scene = unmix_network(name), torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        assert torch.equal(network.encode(scene), network.encode(scene))
        assert torch.equal(network(scene), network.encode(scene))


@every_method
def test_a_method_survives_its_file(unmix_network: Build, name: str, tmp_path: Path) -> None:
    network = trained(unmix_network(name, bands=3, endmembers=2))
    part = Part(name, numbers_for(SHELF[name].build))
    card = Card("unmix", bands=3, scale=1, peak=1.0, unmixer=part, endmembers=2)
    checkpoint.save(tmp_path / "model.safetensors", card, {"unmixer": network})
    back = checkpoint.load(tmp_path / "model.safetensors").unmixer()
    scene = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        assert torch.equal(back.encode(scene), network.encode(scene))
        assert torch.equal(back.endmembers, network.endmembers)
        assert torch.equal(back.start, network.start)


def trained(network: UnmixNetwork) -> UnmixNetwork:
    """The same after it has seen a batch in training, for what it keeps of that."""
    with torch.no_grad():
        network.train().encode(torch.rand(2, 3, 8, 8))
    return network.eval()


def sees(network: UnmixNetwork, side: int) -> Tensor:
    """How strongly each pixel (side, side) acts on the abundances of the one in the middle."""
    scene = torch.rand(1, 3, side, side, requires_grad=True)
    shares = network.encode(scene)[0, :, side // 2, side // 2]
    (shares * torch.randn_like(shares)).sum().backward()
    assert scene.grad is not None
    return scene.grad[0].abs().amax(0)


@pytest.mark.parametrize(("name", "numbers"), [c for c in CASES if c[0] in TILED], ids=str)
def test_the_reach_is_what_a_gradient_sees(
    unmix_network: Build,
    rings: Callable[[int, int], Tensor],
    name: str,
    numbers: dict[str, object],
) -> None:
    network = unmix_network(name, **numbers)
    freeze_attention(network, torch.rand(2, 3, 6, 7))
    assert network.reach is not None
    side = 2 * network.reach + 5
    gradient, away = sees(network, side), rings(side, network.reach)
    assert gradient[away > network.reach].max() == 0
    assert gradient[away == network.reach].max() > 0


@every_tiled_method
def test_tiles_agree_with_the_whole_in_every_bit(unmix_network: Build, name: str) -> None:
    network, scene = trained(unmix_network(name)), torch.rand(1, 3, 23, 29)
    freeze_attention(network, scene)
    assert network.reach is not None
    reach, inner = network.reach, slice(12, 17)
    seen = slice(inner.start - reach, inner.stop + reach)
    with torch.no_grad():
        whole, tile = network.encode(scene), network.encode(scene[..., seen, seen])
    own = slice(reach, reach + 5)
    assert torch.equal(tile[..., own, own], whole[..., inner, inner])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TILED])
def test_without_a_reach_it_matters_where_an_image_begins(unmix_network: Build, name: str) -> None:
    network, scene = trained(unmix_network(name)), torch.rand(1, 3, 41, 41)
    with torch.no_grad():
        whole, moved = network.encode(scene), network.encode(scene[..., 1:, 1:])
    assert (whole[..., 20, 20] - moved[..., 19, 19]).abs().max() > 1e-5


@pytest.mark.parametrize(
    "name", [n for n in NAMES if any(True for _ in attention_layers(PLAIN[n]))]
)
def test_attention_that_is_not_frozen_sees_the_whole_scene(unmix_network: Build, name: str) -> None:
    network = unmix_network(name)
    assert network.reach is not None
    side = 2 * network.reach + 9
    assert (sees(network, side) > 0).all()
    freeze_attention(network, torch.rand(1, 3, 6, 7))
    assert not (sees(network, side) > 0).all()
    thaw_attention(network)
    assert (sees(network, side) > 0).all()
