"""A network that cannot know a sensor: it takes any bands, and arbitrary choices change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hsisr_models.imaging import upscale_bicubic
from hsisr_models.sr.subspace_sr import SubspaceSR
from hsisr_models.subspace import Moments, Subspace
from tests.contract.small import shaken

BANDS = (1, 2, 5, 40)


def network(scale: int = 2, **numbers: int) -> SubspaceSR:
    """A small one whose every layer has an effect."""
    torch.manual_seed(0)
    return shaken(SubspaceSR(scale=scale, **{"width": 8, "depth": 2} | numbers).eval())


def scene_of(bands: int, rows: int = 9, cols: int = 11, seed: int = 0) -> Tensor:
    """Waves of three spectra and some noise (1, bands, rows, cols), values around 100."""
    rng = np.random.default_rng(seed)
    down, across = np.arange(rows)[:, None] / 2, np.arange(cols) / 3
    waves = np.stack([np.sin(down + i) + np.cos((i + 1) * across) for i in range(3)])
    scene = np.einsum("khw,kb->bhw", waves, rng.normal(0, 10, (3, bands)))
    return torch.from_numpy(scene + rng.normal(100, 1, scene.shape)).float()[None]


def subspace_of(scene: Tensor, usable: Tensor | None = None) -> Subspace:
    moments = Moments(scene.shape[1])
    moments.add(scene[0].flatten(1))
    return moments.subspace(8, usable)


@torch.no_grad()
def sharpened(sharpener: SubspaceSR, scene: Tensor, subspace: Subspace | None = None) -> Tensor:
    sharpener.subspace = subspace
    return sharpener(scene)


def assert_close_beyond_bicubic(found: Tensor, expected: Tensor, scene: Tensor, scale: int) -> None:
    """Equal, measured against what the network adds: bicubic alone would not pass."""
    added = float((expected - upscale_bicubic(scene, scale)).abs().max())
    assert added > 1
    assert float((found - expected).abs().max()) < 1e-4 * added


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_it_begins_as_bicubic_interpolation(scale: int) -> None:
    scene = scene_of(7)
    begun = SubspaceSR(scale=scale, width=8, depth=1).eval()
    torch.testing.assert_close(
        sharpened(begun, scene, subspace_of(scene)), upscale_bicubic(scene, scale), rtol=0, atol=0
    )


@pytest.mark.parametrize("bands", BANDS)
def test_one_network_takes_any_number_of_bands(bands: int) -> None:
    scene = scene_of(bands)
    output = sharpened(network(), scene, subspace_of(scene))
    assert output.shape == (1, bands, 18, 22)
    assert output.isfinite().all()
    assert (output - upscale_bicubic(scene, 2)).abs().max() > 1


def test_no_weight_belongs_to_a_band() -> None:
    few, many = (SubspaceSR(scale=4, bands=bands, endmembers=bands) for bands in (1, 300))
    shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (few, many)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("bands", BANDS)
def test_without_a_subspace_it_takes_that_of_the_image(bands: int) -> None:
    scene, sharpener = scene_of(bands), network()
    given = sharpened(sharpener, scene, subspace_of(scene))
    assert torch.equal(sharpened(sharpener, scene), given)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("axis", range(5))
def test_the_sign_of_an_axis_does_not_matter(scale: int, axis: int) -> None:
    scene, sharpener = scene_of(5), network(scale)
    subspace = subspace_of(scene)
    sign = torch.ones(5)
    sign[axis] = -1
    expected = sharpened(sharpener, scene, subspace)
    flipped = sharpened(sharpener, scene, replace(subspace, axes=subspace.axes * sign))
    assert_close_beyond_bicubic(flipped, expected, scene, scale)


@pytest.mark.parametrize("first", range(5))
def test_the_order_of_the_axes_does_not_matter(first: int) -> None:
    """The weights are relative to the first spread, so here all axes keep theirs."""
    scene, sharpener = scene_of(5), network()
    subspace = subspace_of(scene)
    order = torch.tensor([first, *(i for i in range(5) if i != first)])
    tokens, weights = subspace.project(scene), subspace.weights[None]
    with torch.no_grad():
        expected = sharpener.refine(tokens, weights)
        exchanged = sharpener.refine(tokens[:, order], weights[:, order])
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(exchanged, expected[:, order], rtol=1e-4, atol=1e-5)


def test_axes_of_equal_strength_may_be_exchanged() -> None:
    scene, sharpener = scene_of(5), network()
    subspace = replace(subspace_of(scene), spread=torch.tensor([5.0, 5.0, 5.0, 1.0, 1.0]))
    order = torch.tensor([2, 0, 1, 4, 3])
    exchanged = Subspace(subspace.mean, subspace.axes[:, order], subspace.spread[order])
    expected = sharpened(sharpener, scene, subspace)
    found = sharpened(sharpener, scene, exchanged)
    assert_close_beyond_bicubic(found, expected, scene, 2)


@pytest.mark.parametrize(("gain", "offset"), [(1000.0, 5.0), (1e-4, 0.0), (1.0, -300.0)])
def test_the_units_of_a_scene_do_not_matter(gain: float, offset: float) -> None:
    scene, sharpener = scene_of(6), network()
    other = scene * gain + offset
    expected = sharpened(sharpener, scene, subspace_of(scene)) * gain + offset
    found = sharpened(sharpener, other, subspace_of(other))
    added = float((expected - upscale_bicubic(other, 2)).abs().max())
    assert added > gain
    # the scene itself is rounded at 1e-7 of its values when it is brought to other units
    assert float((found - expected).abs().max()) < 1e-3 * added


def test_the_order_of_the_bands_does_not_matter() -> None:
    scene, sharpener = scene_of(9), network()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    expected = sharpened(sharpener, scene, subspace_of(scene))[:, order]
    found = sharpened(sharpener, scene[:, order], subspace_of(scene[:, order]))
    assert_close_beyond_bicubic(found, expected, scene[:, order], 2)


def test_a_token_of_no_weight_changes_nothing_for_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 5, 6, 7, generator=generator)
    weights = torch.tensor([[1.0, 0.5, 0.2, 0.0, 0.0]]).expand(2, -1)
    sharpener = network()
    with torch.no_grad():
        alone = sharpener.refine(tokens[:, :3], weights[:, :3])
        padded = sharpener.refine(tokens, weights)
        present = sharpener.refine(tokens, weights + torch.tensor([0, 0, 0, 0.5, 0]))
    assert torch.equal(padded[:, :3], alone)
    assert not torch.allclose(present[:, :3], alone, atol=1e-3)


def test_scenes_of_a_batch_do_not_know_of_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, weights = torch.randn(3, 4, 6, 5, generator=generator), torch.rand(3, 4) + 0.1
    sharpener = network()
    with torch.no_grad():
        together = sharpener.refine(tokens, weights)
        for index in range(3):
            one = slice(index, index + 1)
            torch.testing.assert_close(
                sharpener.refine(tokens[one], weights[one]), together[one], rtol=1e-4, atol=1e-5
            )


def test_unusable_bands_are_interpolated_to_the_last_bit() -> None:
    scene = scene_of(12)
    usable = torch.ones(12, dtype=torch.bool)
    usable[[0, 4, 11]] = False
    output = sharpened(network(), scene, subspace_of(scene, usable))
    smooth = upscale_bicubic(scene, 2)
    assert torch.equal(output[:, ~usable], smooth[:, ~usable])
    assert ((output - smooth)[:, usable].abs().amax((0, 2, 3)) > 0.1).all()


@pytest.mark.parametrize("given", [True, False])
def test_a_constant_scene_is_interpolated(given: bool) -> None:
    scene = torch.full((1, 4, 6, 7), 12.3)
    output = sharpened(network(3), scene, subspace_of(scene) if given else None)
    assert torch.equal(output, upscale_bicubic(scene, 3))


def test_what_lies_outside_the_subspace_is_interpolated() -> None:
    scene = scene_of(12)
    subspace = subspace_of(scene)
    three = Subspace(subspace.mean, subspace.axes[:, :3], subspace.spread[:3])
    added = (sharpened(network(), scene, three) - upscale_bicubic(scene, 2))[0].flatten(1)
    inside = three.axes @ (three.axes.T @ added)
    assert added.abs().max() > 1
    torch.testing.assert_close(added, inside, rtol=1e-3, atol=1e-3)
