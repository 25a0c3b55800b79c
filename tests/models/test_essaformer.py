"""The published size, and attention by its published formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hsisr_models.blocks import freeze_attention
from hsisr_models.sr.essaformer import ESSAformer, _Block
from tests.contract.small import shaken
from tests.models.counting import conv, linear


def test_it_has_as_many_weights_as_published() -> None:
    """At 128 bands, x4: 256 features, two stages each way, two blocks that are used again."""
    attention = 2 * 256 + linear(256, 3 * 256) + linear(256, 256)
    block = attention + conv(512, 512, 1) + conv(512, 512) + conv(512, 256, 1)
    stages = 2 * (conv(256, 4 * 256) + conv(256, 256 // 4))
    count = sum(value.numel() for value in ESSAformer(bands=128, scale=4).parameters())
    assert count == conv(128, 256) + 2 * block + stages + conv(256, 128)
    assert count / 1e6 == pytest.approx(11.64, rel=0.02)


def published(block: _Block, features: Tensor) -> Tensor:
    """Attention on tokens (N, pixels, C) as the authors write it."""
    channels, pixels = features.shape[1], features.shape[2] * features.shape[3]
    tokens = F.layer_norm(
        features.flatten(2).mT, (channels,), block.norm.weight, block.norm.bias, block.norm.eps
    )
    split = F.linear(tokens, block.split.weight[:, :, 0, 0], block.split.bias)
    query, key, value = split.split(channels, 2)
    query, key = (x - x.mean(2, keepdim=True) for x in (query, key))
    query, key = (x**2 / ((x**2).sum(2, keepdim=True) + 1e-7) for x in (query, key))
    query, key = query / query.norm(dim=2, keepdim=True), key / key.norm(dim=1, keepdim=True)
    mixed = value + query @ (key.mT @ value) / math.sqrt(pixels)
    out = F.linear(mixed, block.out.weight[:, :, 0, 0], block.out.bias)
    return out.mT.reshape(features.shape)


def test_attention_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    block, features = shaken(_Block(8, 1).eval()), torch.randn(2, 8, 5, 6)
    with torch.no_grad():
        attended = published(block, features)
        expected = features + block.fuse(torch.cat((attended, features), 1))
        torch.testing.assert_close(block(features, 0), expected)


def test_frozen_to_a_scene_it_gives_the_same_on_that_scene() -> None:
    torch.manual_seed(0)
    network, scene = shaken(ESSAformer(bands=3, scale=2, width=8).eval()), torch.rand(1, 3, 6, 7)
    with torch.no_grad():
        free = network(scene)
        freeze_attention(network, scene)
        torch.testing.assert_close(network(scene), free)
    frozen = [context.frozen for context in network.fine.contexts]
    assert not torch.equal(frozen[0], frozen[1])


def test_features_that_a_stage_down_cannot_divide_keep_their_number() -> None:
    network = ESSAformer(bands=3, scale=3, width=16)
    with torch.no_grad():
        assert network.reduce(torch.rand(1, 16, 6, 9)).shape == (1, 16, 2, 3)


def test_features_are_dropped_in_training_alone() -> None:
    network, scene = ESSAformer(bands=3, scale=2, width=8), torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        assert not torch.equal(network.train()(scene), network(scene))
        assert torch.equal(network.eval()(scene), network(scene))
