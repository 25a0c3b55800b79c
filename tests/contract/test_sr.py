"""What every super-resolution network of the shelf keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.checkpoint import Card, Part
from hsisr_models.blocks import attention_layers, freeze_attention
from hsisr_models.networks import SrNetwork, TokenNetwork
from hsisr_models.rendering import cut, grown, within
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import SHELF
from hsisr_models.subspace import Moments
from hsisr_models.unmix import SHELF as METHODS
from tests.contract.small import SMALL, numbers_for, shaken, variants
from tests.windows import windows

NAMES = list(SHELF)
SIZES = [(name, scale) for name in NAMES for scale in SHELF[name].SCALES]
VARIANTS = [
    {},
    {"skip": "feature"},
    {"material": "concat", "head_kernel": 1},
    {"kernel": 5, "skip": "feature"},
    {"kernel": 1, "skip": "feature"},
    {"spectral_kernel": 1, "material": "off"},
]
Build = Callable[..., SrNetwork]


def is_tiled(name: str) -> bool:
    """Whether tiles with a halo are the whole."""
    build, (scale, *_) = SHELF[name].build, SHELF[name].SCALES
    return build(bands=3, scale=scale, **numbers_for(build)).reach is not None


STEERED = [name for name in NAMES if "material" in inspect.signature(SHELF[name].build).parameters]
TILED = [name for name in NAMES if is_tiled(name)]
# every scale once, every variant at the smallest and the largest
TILED_CASES = [
    (name, scale, numbers)
    for name, scale in SIZES
    if name in TILED
    for numbers in variants(SHELF[name].build, VARIANTS)
    if not numbers or scale in (SHELF[name].SCALES[0], SHELF[name].SCALES[-1])
]


def shares(count: int, endmembers: int, rows: int, cols: int) -> Tensor:
    return torch.rand(count, endmembers, rows, cols).softmax(1)


def frozen(network: SrNetwork, bands: int, endmembers: int = 2) -> SrNetwork:
    """The same with its attention fixed to what it sees in two random scenes."""
    freeze_attention(network, torch.rand(2, bands, 6, 7), shares(2, endmembers, 6, 7))
    return surveyed(network, bands)


def surveyed(network: SrNetwork, bands: int) -> SrNetwork:
    """The same with the subspace of a random scene, where it wants one."""
    if isinstance(network, TokenNetwork):
        moments = Moments(bands)
        moments.add(torch.rand(bands, 50))
        network.subspace = moments.subspace(network.tokens)
    return network


@pytest.mark.parametrize("name", NAMES)
def test_a_network_names_its_source_and_its_scales(name: str) -> None:
    assert len(SHELF[name].SOURCE) > 10
    assert SHELF[name].SCALES
    assert all(2 <= scale <= 8 for scale in SHELF[name].SCALES)


@pytest.mark.parametrize(("name", "scale"), SIZES)
@pytest.mark.parametrize("bands", [1, 31, 102, 128])
def test_the_output_is_the_scene_enlarged(
    sr_network: Build, name: str, scale: int, bands: int
) -> None:
    for endmembers, precision in product((0, 4), (torch.float32, torch.bfloat16)):
        # groups as small as elsewhere would be many
        group = max(2, bands // 4)
        network = sr_network(name, bands=bands, scale=scale, endmembers=endmembers, group=group)
        maps = shares(2, endmembers, 3, 5) if endmembers else None
        reduced = precision is torch.bfloat16
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            output = network(torch.rand(2, bands, 3, 5), maps)
        assert output.shape == (2, bands, 3 * scale, 5 * scale)
        assert output.dtype == torch.float32
        assert output.isfinite().all()
        assert not (network.uses_abundances and endmembers == 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2)])
def test_the_smallest_scenes_are_enlarged(
    sr_network: Build, name: str, size: tuple[int, int]
) -> None:
    network = sr_network(name, scale=2, endmembers=0)
    with torch.no_grad():
        output = network(torch.rand(1, 3, *size), None)
    assert output.shape[2:] == (2 * size[0], 2 * size[1])
    assert output.isfinite().all()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [(n, kept) for n in NAMES for kept in variants(SHELF[n].build, VARIANTS)],
    ids=str,
)
def test_every_weight_is_trained(sr_network: Build, name: str, numbers: dict[str, object]) -> None:
    network = sr_network(name, **numbers).train()
    low, high = (torch.rand(2, 3, side, side) for side in (6, 6 * network.scale))
    outputs = [network(low.requires_grad_(), shares(2, 2, 6, 6))]
    if other := network.auxiliary(low, high):
        truth, estimate = other
        assert truth.shape == estimate.shape
        outputs.append(estimate)
    sum(output.square().sum() for output in outputs).backward()
    for key, value in network.named_parameters():
        assert value.grad is not None, key
        assert value.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_the_same_scene_gives_the_same_bits(sr_network: Build, name: str) -> None:
    network = surveyed(sr_network(name), 3)
    scene, maps = torch.rand(1, 3, 9, 8), shares(1, 2, 9, 8)
    with torch.no_grad():
        assert torch.equal(network(scene, maps), network(scene, maps))
        # nor do the scenes of a batch know of each other
        pair = network(torch.cat((scene, scene.flip(3))), torch.cat((maps, maps.flip(3))))
        torch.testing.assert_close(pair[:1], network(scene, maps))


@pytest.mark.parametrize("name", STEERED)
def test_without_unmixing_it_is_the_plain_network(name: str) -> None:
    """With `--unmix none` there are the same weights, and the same bits, as if it knew of none."""
    build = SHELF[name].build
    made = []
    for numbers in ({}, {"endmembers": 4, "material": "off"}):
        torch.manual_seed(0)
        made.append(build(bands=3, scale=2, **numbers_for(build, **numbers)).eval())
    plain, off = (network.state_dict() for network in made)
    assert plain.keys() == off.keys()
    assert all(torch.equal(value, off[key]) for key, value in plain.items())
    assert not any(network.uses_abundances for network in made)
    scene = torch.rand(1, 3, 5, 6)
    with torch.no_grad():
        assert torch.equal(made[0](scene), made[1](scene, shares(1, 4, 5, 6)))


@pytest.mark.parametrize("name", STEERED)
def test_what_steers_a_network_starts_as_nothing(name: str) -> None:
    build = SHELF[name].build
    steered, scene = (
        build(bands=3, scale=2, endmembers=4, **numbers_for(build)).eval(),
        torch.rand(1, 3, 5, 6),
    )
    assert steered.uses_abundances
    plain = build(bands=3, scale=2, **numbers_for(build)).eval()
    plain.load_state_dict({key: steered.state_dict()[key] for key in plain.state_dict()})
    with torch.no_grad():
        assert torch.equal(steered(scene, shares(1, 4, 5, 6)), plain(scene))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_survives_its_file(sr_network: Build, name: str, tmp_path: Path) -> None:
    network = sr_network(name, bands=3, scale=2, endmembers=0)
    numbers = numbers_for(SHELF[name].build)
    card = Card("sr", bands=3, scale=2, peak=1.0, network=Part(name, numbers))
    checkpoint.save(tmp_path / "model.safetensors", card, {"network": network})
    back = checkpoint.load(tmp_path / "model.safetensors").resolver()
    scene = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        assert torch.equal(back(scene), network(scene, None))


@pytest.mark.parametrize(("name", "scale", "numbers"), TILED_CASES, ids=str)
def test_the_reach_is_what_a_gradient_sees(
    sr_network: Build,
    rings: Callable[[int, int], Tensor],
    name: str,
    scale: int,
    numbers: dict[str, object],
) -> None:
    """No farther pixel has any influence, and some at the very reach have."""
    network = frozen(sr_network(name, scale=scale, **numbers), 3, 2)
    assert network.reach is not None
    used = network.uses_abundances
    reaches = {"scene": network.reach} | ({"abundances": network.abundance_reach} if used else {})
    side = 2 * max(reaches.values()) + 5
    inputs = {"scene": torch.rand(1, 3, side, side), "abundances": shares(1, 2, side, side)}
    for value in inputs.values():
        value.requires_grad_()
    middle = slice(side // 2 * scale, (side // 2 + 1) * scale)
    pixel = network(inputs["scene"], inputs["abundances"])[..., middle, middle]
    (pixel * torch.randn_like(pixel)).sum().backward()
    for key, reach in reaches.items():
        gradient = inputs[key].grad
        assert gradient is not None
        seen = gradient[0].abs().amax(0)
        assert seen[rings(side, reach) > reach].max() == 0
        assert seen[rings(side, reach) == reach].max() > 0, f"{key} reaches less than {reach}"


@pytest.mark.parametrize(("name", "scale", "numbers"), TILED_CASES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 12), (11, 9)], ids=str)
@pytest.mark.parametrize("reduced", [False, True])
def test_a_window_is_that_of_the_whole_to_the_last_bit(
    sr_network: Build,
    name: str,
    scale: int,
    numbers: dict[str, object],
    size: tuple[int, int],
    reduced: bool,
) -> None:
    scene, maps = torch.rand(2, 3, *size), shares(2, 2, *size)
    for made in (surveyed, frozen):
        network = made(sr_network(name, scale=scale, **numbers), 3)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
            whole, render = network(scene, maps), network.prepare(scene, maps)
            for rows, cols in windows(size, 3):
                expected = cut(whole, scale)(rows, cols)
                assert torch.equal(render(rows, cols), expected), (rows, cols)
                alone = network.prepare(scene, maps, kept=(rows, cols))
                assert torch.equal(alone(rows, cols), expected), (rows, cols)


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("reduced", [False, True])
def test_a_tile_with_its_halo_is_the_whole_to_the_last_bit(
    sr_network: Build, name: str, reduced: bool
) -> None:
    network = frozen(sr_network(name, endmembers=0), 3)
    assert network.reach is not None
    size = (network.reach + 21, 2 * network.reach + 13)
    scene = torch.rand(1, 3, *size)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
        whole = network(scene)
        for kept in windows(size, 2):
            around = grown(kept, network.reach, size)
            render = network.prepare(scene[..., *around], kept=within(kept, around))
            assert torch.equal(render(*within(kept, around)), cut(whole, 2)(*kept)), kept


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TILED])
def test_without_a_reach_no_halo_makes_a_tile_the_whole(sr_network: Build, name: str) -> None:
    network, scene = sr_network(name, endmembers=0), torch.rand(1, 3, 60, 60)
    freeze_attention(network, scene)
    with torch.no_grad():
        whole, tile = network(scene), network(scene[..., :45, :45])
    assert not torch.equal(whole[..., :2, :2], tile[..., :2, :2])


@pytest.mark.parametrize("name", TILED)
def test_attention_that_is_not_frozen_sees_the_whole_scene(sr_network: Build, name: str) -> None:
    network = sr_network(name)
    if not any(True for _ in attention_layers(network)):
        return
    assert network.reach is not None
    side = 2 * network.reach + 9
    scene = torch.rand(1, 3, side, side, requires_grad=True)
    output = network(scene, shares(1, 2, side, side))
    output[..., side, side].sum().backward()
    assert scene.grad is not None
    assert (scene.grad.abs().amax((0, 1)) > 0).all()


@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("scale", [2, 8])
def test_the_reach_holds_through_the_unmixing_network(
    sr_network: Build, rings: Callable[[int, int], Tensor], name: str, method: str, scale: int
) -> None:
    """The abundances are not differentiated through, so pixels are changed and bits compared."""
    build = METHODS[method].build
    numbers = numbers_for(build, **SMALL | {"depth": 2, "kernel": 5})
    unmixer = shaken(build(bands=3, endmembers=2, **numbers).eval())
    resolver = SuperResolver(surveyed(sr_network(name, scale=scale), 3), unmixer)
    freeze_attention(resolver, torch.rand(1, 3, 8, 8, generator=torch.manual_seed(1)))
    reach = resolver.reach
    if resolver.unmixer and unmixer.reach is None:
        assert reach is None
        return
    assert reach is not None
    side = 2 * reach + 5
    # what comes from the very reach, on few paths, may be lost in the last bits
    distances = rings(side, reach)
    far, near = distances > reach, (distances <= reach) & (distances > reach - 5)
    scene = torch.rand(1, 3, side, side)
    middle = slice(side // 2 * scale, (side // 2 + 1) * scale)

    def pixel(changed: Tensor) -> Tensor:
        other = torch.where(changed, torch.rand_like(scene) * 1e4, scene)
        with torch.no_grad():
            return resolver(other)[..., middle, middle]

    nothing = torch.zeros_like(far)
    assert torch.equal(pixel(far), pixel(nothing))
    assert not torch.equal(pixel(near), pixel(nothing))
