"""The published size, and attention and the deformable convolution by their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hsisr_models.blocks import freeze_attention
from hsisr_models.sr.msdformer import MSDformer, _CrossAttention, _DeformableConv
from tests.contract.small import shaken
from tests.models.counting import conv, linear


def test_it_has_as_many_weights_as_published() -> None:
    """At 128 bands, x4: 240 features, 6 heads, 21 groups of 8 bands, 4 blocks."""
    look = 3 * conv(8, 240) + 1 + 2 * conv(240, 240)
    attention = conv(240, 15, 1) + conv(15, 240, 1)
    spectral = 2 * conv(240, 240, 1) + attention + conv(240, 8, 1)
    cross = conv(240, 18) + conv(240, 240, bias=False) + 3 * linear(240, 240, bias=False) + 6
    perceptron = linear(240, 960) + linear(960, 240)
    block = 2 * (2 * 240) + cross + perceptron + conv(240, 240)
    ends = conv(128, 240, 1) + 2 * conv(240, 4 * 240) + conv(128, 240) + conv(240, 128)
    count = sum(value.numel() for value in MSDformer(bands=128, scale=4).parameters())
    assert count == look + 21 * spectral + 4 * block + ends
    assert count / 1e6 == pytest.approx(15.5, rel=0.02)
    # theirs has a third of three more for each block
    unused = 4 * linear(240, 240, bias=False)
    assert (count + unused) / 1e6 == pytest.approx(15.53, abs=0.005)


def test_heads_that_do_not_share_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="8 channels cannot be shared out among 3 heads"):
        MSDformer(bands=3, scale=2, width=8, heads=3)


def test_channels_attend_to_those_that_look_alike() -> None:
    torch.manual_seed(0)
    layer, features = shaken(_CrossAttention(6, 2)), torch.randn(2, 6, 4, 5)
    with torch.no_grad():
        found = layer(features)
        query, key, value = (part(features) for part in (layer.query, layer.key, layer.value))
        mixed = torch.empty_like(value)
        for scene in range(2):
            for head, channels in enumerate((range(3), range(3, 6))):
                for channel in channels:
                    alike = torch.stack(
                        [
                            F.cosine_similarity(
                                query[scene, channel].flatten(), key[scene, other].flatten(), 0
                            )
                            for other in channels
                        ]
                    )
                    shares = (alike * layer.temperature[head, 0, 0]).softmax(0)
                    parts = value[scene, channels.start : channels.stop]
                    mixed[scene, channel] = (shares[:, None, None] * parts).sum(0)
        torch.testing.assert_close(found, layer.out(mixed))


def test_a_convolution_that_aims_nowhere_else_is_a_convolution() -> None:
    layer, features = _DeformableConv(4), torch.randn(2, 4, 6, 5)
    with torch.no_grad():
        expected = F.conv2d(features, layer.weigh.weight, padding=1)
        torch.testing.assert_close(layer(features), expected, atol=1e-5, rtol=1e-5)


def test_a_convolution_looks_where_it_aims() -> None:
    """All taps aim one row down and half a pixel to the left."""
    layer, features = _DeformableConv(4), torch.randn(1, 4, 6, 5)
    with torch.no_grad():
        layer.aim.bias[:9], layer.aim.bias[9:] = 1.0, -0.5
        moved = F.pad(features, (2, 2, 2, 2))
        left = (moved + moved.roll(1, 3)) / 2
        expected = F.conv2d(left, layer.weigh.weight)[..., 2:8, 1:6]
        torch.testing.assert_close(layer(features), expected, atol=1e-5, rtol=1e-5)


def test_frozen_to_a_scene_it_gives_the_same_on_that_scene() -> None:
    torch.manual_seed(0)
    network = shaken(MSDformer(bands=5, scale=2, width=8, depth=2, heads=2, group=3).eval())
    scene = torch.rand(1, 5, 6, 7)
    with torch.no_grad():
        free = network(scene)
        freeze_attention(network, scene)
        torch.testing.assert_close(network(scene), free)


def test_frozen_it_needs_no_queries() -> None:
    network = MSDformer(bands=5, scale=2, width=8, depth=1, heads=2, group=3).eval()
    scene = torch.rand(1, 5, 6, 7)
    with torch.no_grad():
        freeze_attention(network, scene)
        before = network(scene)
        torch.nn.init.constant_(network.body[0].attend[1].query.weigh.weight, torch.nan)
        assert torch.equal(network(scene), before)
