"""The published size, and the recurrence over groups of bands."""

from __future__ import annotations

import pytest
import torch

from hsisr_models.blocks import freeze_attention
from hsisr_models.sr.rfsr import RFSR
from tests.contract.small import shaken
from tests.models.counting import conv


def test_it_has_as_many_weights_as_published() -> None:
    """At 128 bands, x4: groups of 16, 64 features, 6 blocks."""
    stem = conv(16 + 64 + 16 * 4 * 4, 64)
    block = 2 * conv(64, 64) + conv(64, 4, 1) + conv(4, 64, 1)
    regulariser = 128 * (3 * 1 * 1 + 1) + (128 * 1 * 3 * 3 + 1)
    expected = stem + 6 * block + 2 * conv(64, 256) + conv(64, 16) + conv(64, 64) + 3 * regulariser
    count = sum(value.numel() for value in RFSR(bands=128, scale=4).parameters())
    assert count == expected
    assert count / 1e6 == pytest.approx(0.99, rel=0.02)


@pytest.mark.parametrize(("bands", "steps"), [(1, 1), (15, 1), (16, 1), (17, 2), (102, 7)])
def test_groups_cover_all_bands(bands: int, steps: int) -> None:
    network = RFSR(bands=bands, scale=2, width=4, depth=1).eval()
    assert len(network.body[0].attend) == steps
    with torch.no_grad():
        assert network(torch.rand(1, bands, 2, 2)).shape == (1, bands, 4, 4)


def test_a_group_is_told_of_those_before_it_alone() -> None:
    torch.manual_seed(0)
    network = shaken(RFSR(bands=6, scale=2, width=4, depth=1, group=2).eval())
    network.regularisers = torch.nn.ModuleList()
    scene = torch.rand(1, 6, 4, 4, requires_grad=True)
    network(scene)[:, 2:4].square().sum().backward()
    assert scene.grad is not None
    assert (scene.grad.abs().amax((0, 2, 3)) > 0).tolist() == [True] * 4 + [False] * 2


def test_without_weights_the_bands_are_replicated() -> None:
    network = RFSR(bands=5, scale=3, width=4, depth=1, group=2).eval()
    for value in network.parameters():
        torch.nn.init.zeros_(value)
    scene = torch.rand(2, 5, 3, 4)
    with torch.no_grad():
        assert torch.equal(network(scene), scene.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_bands_are_made_to_agree_as_in_three_dimensions() -> None:
    network = shaken(RFSR(bands=5, scale=2, width=4, depth=1))
    regulariser, sharp = network.regularisers[0], torch.rand(2, 5, 6, 7)
    along, within = regulariser.along, regulariser.within
    features = torch.nn.functional.conv3d(
        sharp[:, None], along.weight[:, None, :, :, :], along.bias, padding=(1, 0, 0)
    ).relu()
    mixed = torch.nn.functional.conv3d(
        features, within.weight[:, :, None], within.bias, padding=(0, 1, 1)
    )
    torch.testing.assert_close(regulariser(sharp), sharp + mixed[:, 0])


def test_every_step_is_frozen_to_what_it_sees_itself() -> None:
    """On the very scene that it was frozen to, nothing changes."""
    torch.manual_seed(0)
    network = shaken(RFSR(bands=6, scale=2, width=8, depth=2, group=2, reduction=1).eval())
    scene = torch.rand(1, 6, 5, 5)
    with torch.no_grad():
        free = network(scene)
        freeze_attention(network, scene)
        torch.testing.assert_close(network(scene), free)
    means = [layer.frozen for layer in network.body[0].attend]
    assert not torch.equal(means[0], means[1])


def test_a_model_file_holds_shared_weights_once() -> None:
    one, many = (RFSR(bands=bands, scale=2, group=2, width=4) for bands in (4, 8))
    assert one.state_dict().keys() == many.state_dict().keys()
