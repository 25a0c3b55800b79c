"""The parts of the networks, against their formulas."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsisr_models.blocks import (
    GRAM,
    ChannelAttention,
    ChannelNorm,
    Conv,
    MaterialAwareModule,
    UpsampleStage,
    attention_layers,
    freeze_attention,
    inverse_softplus,
    positive,
    stages,
    thaw_attention,
)
from hsisr_models.rendering import Image


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


def test_channel_norm_is_layer_normalisation_of_each_pixel() -> None:
    features = torch.randn(2, 6, 3, 4) * 5 + 2
    norm = ChannelNorm(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    values = features.double().numpy()
    mean, variance = values.mean(1, keepdims=True), values.var(1, keepdims=True)
    gain, shift = (p.detach().double().numpy()[:, None, None] for p in (norm.weight, norm.bias))
    expected = (values - mean) / np.sqrt(variance + norm.eps) * gain + shift
    np.testing.assert_allclose(norm(features).detach(), expected, rtol=1e-4, atol=1e-5)


def test_channel_attention_weighs_channels_by_their_mean() -> None:
    attention, features = ChannelAttention(8, 2), torch.randn(2, 8, 5, 6)
    squeeze, _, excite, _ = attention.weigh
    pooled = features.mean((2, 3))
    hidden = torch.relu(pooled @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)
    weights = torch.sigmoid(hidden @ excite.weight[:, :, 0, 0].T + excite.bias)
    torch.testing.assert_close(attention(features), features * weights[:, :, None, None])


def test_frozen_attention_is_that_of_the_pooled_mean() -> None:
    attention, features = ChannelAttention(8, 2), torch.randn(1, 8, 5, 6)
    expected = attention(features)
    attention.survey(features.mean((2, 3), keepdim=True))
    assert torch.equal(attention(features), expected)
    assert torch.equal(attention(features[..., 2:4, 1:2]), expected[..., 2:4, 1:2])
    attention.frozen = None
    assert not torch.equal(attention(features[..., 2:4, 1:2]), expected[..., 2:4, 1:2])


def test_freezing_is_no_part_of_a_model() -> None:
    attention = ChannelAttention(8, 2)
    before = list(attention.state_dict())
    attention.survey(torch.randn(1, 8, 1, 1))
    assert list(attention.state_dict()) == before


class Chain(nn.Sequential):
    """Two attentive modules, one after another."""

    def __init__(self) -> None:
        first, second = (GRAM(6, kernel=3, spectral_kernel=1, reduction=2) for _ in range(2))
        super().__init__(Conv(3, 6, 3), first, second)


def test_attention_frozen_to_one_scene_changes_nothing_for_it() -> None:
    network, scene = Chain(), torch.randn(1, 3, 7, 8)
    with torch.no_grad():
        expected = network(scene)
        freeze_attention(network, scene)
        torch.testing.assert_close(network(scene), expected)
        assert not torch.equal(network(2 * scene), Chain()(2 * scene))


def test_later_layers_are_frozen_to_what_frozen_ones_let_through() -> None:
    """By hand: freeze the first layer to its mean, run again, freeze the second."""
    torch.manual_seed(1)
    network, scenes = Chain(), torch.randn(2, 3, 7, 8) * torch.tensor([1, 3])[:, None, None, None]
    freeze_attention(network, scenes)
    found = [layer.frozen for layer in attention_layers(network)]
    thaw_attention(network)
    for index, layer in enumerate(attention_layers(network)):
        seen: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
        with torch.no_grad():
            for scene in scenes:
                network(scene[None])
        hook.remove()
        layer.survey(torch.stack([x.mean((2, 3), keepdim=True) for x in seen]).mean(0))
        assert found[index] is not None
        torch.testing.assert_close(found[index], layer.frozen)


def test_freezing_twice_is_freezing_once() -> None:
    network, scene = Chain(), torch.randn(1, 3, 7, 8)
    freeze_attention(network, scene)
    first = [layer.frozen for layer in attention_layers(network)]
    freeze_attention(network, scene)
    assert all(
        torch.equal(old, layer.frozen)
        for old, layer in zip(first, attention_layers(network), strict=True)
    )


def test_freezing_leaves_no_hooks_behind() -> None:
    network = Chain()
    freeze_attention(network, torch.randn(1, 3, 7, 8))
    assert not any(module._forward_pre_hooks for module in network.modules())
    with pytest.raises(RuntimeError):
        freeze_attention(network, torch.randn(1, 4, 7, 8))
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(("kernel", "spectral_kernel"), [(3, 3), (3, 1), (5, 1)])
def test_a_gram_keeps_the_shape_and_is_residual(kernel: int, spectral_kernel: int) -> None:
    gram = GRAM(6, kernel=kernel, spectral_kernel=spectral_kernel, reduction=2)
    features = torch.randn(2, 6, 7, 8)
    assert gram(features).shape == features.shape
    for branch in (gram.spectral, gram.spatial):
        for layer in branch:
            if isinstance(layer, Conv):
                nn.init.zeros_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    assert torch.equal(gram(features), features)
    assert gram.reach == spectral_kernel // 2 + 2 * (kernel // 2)


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_an_upsampling_stage_enlarges(factor: int) -> None:
    assert UpsampleStage(4, factor)(torch.randn(2, 4, 3, 5)).shape == (2, 4, 3 * factor, 5 * factor)


def steered(module: MaterialAwareModule, features: Tensor, abundances: Tensor) -> Tensor:
    height, width = features.shape[2:]
    return module(Image.of(features), abundances).window(slice(0, height), slice(0, width))


@pytest.mark.parametrize("kind", MaterialAwareModule.KINDS)
def test_the_material_aware_module_starts_as_the_identity(kind: str) -> None:
    module = MaterialAwareModule(6, 3, kind)
    features, shares = torch.randn(2, 6, 8, 12), torch.rand(2, 3, 2, 3).softmax(1)
    assert torch.equal(steered(module, features, shares), features)
    with torch.no_grad():
        module.steer.weight.normal_()
    assert not torch.equal(steered(module, features, shares), features)


@pytest.mark.parametrize("kind", MaterialAwareModule.KINDS)
def test_abundances_steer_the_pixels_they_lie_under(kind: str) -> None:
    module = MaterialAwareModule(6, 3, kind)
    with torch.no_grad():
        module.steer.weight.normal_()
    features, shares = torch.randn(1, 6, 12, 20), torch.rand(1, 3, 3, 5)
    other = shares.clone()
    other[..., 1, 2] += 1
    changed = (steered(module, features, shares) != steered(module, features, other)).any(1)[0]
    rows, cols = torch.nonzero(changed, as_tuple=True)
    # the 4 x 4 pixels over row 1 and column 2, and the neighbours that a 3 x 3 kernel adds
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (3, 8, 7, 12)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="known: film, concat"):
        MaterialAwareModule(6, 3, "fiml")


@pytest.mark.parametrize("scale", range(2, 33))
def test_stages_multiply_to_the_scale_and_end_with_two(scale: int) -> None:
    factors = stages(scale)
    assert math.prod(factors) == scale
    assert all(factor > 1 for factor in factors)
    if scale % 2 == 0:
        assert factors[-1] == 2
    assert all(second == 2 for _, second in pairwise(factors))


def test_stages_are_those_of_the_paper() -> None:
    assert [stages(n) for n in (2, 3, 4, 6, 8)] == [[2], [3], [2, 2], [3, 2], [2, 2, 2]]


def test_inverse_softplus_inverts_softplus() -> None:
    values = torch.tensor([1e-5, 1e-3, 0.5, 1, 20, 1e4])
    back = positive(inverse_softplus(values), "softplus")
    torch.testing.assert_close(back, values, rtol=2e-3, atol=1e-8)
    assert inverse_softplus(torch.zeros(1)).isfinite()


def test_numbers_are_kept_positive() -> None:
    raw = torch.tensor([-3.0, 0.0, 2.0])
    assert (positive(raw, "softplus") > 0).all()
    assert positive(raw, "clamp").tolist() == [0, 0, 2]


@pytest.mark.parametrize("kernel", [0, 2, 4])
def test_a_kernel_without_a_middle_is_refused(kernel: int) -> None:
    with pytest.raises(ValueError, match="should be odd"):
        Conv(1, 1, kernel)
