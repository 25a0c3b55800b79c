"""The network of SSPSR, and colour images beside it."""

from __future__ import annotations

import pytest
import torch

from hsisr_models.imaging import degrade
from hsisr_models.sr.deepshare import DeepShare
from hsisr_models.sr.sspsr import SSPSR
from tests.contract.small import shaken
from tests.models.counting import conv


def test_it_is_sspsr_and_a_trunk_for_colour_images() -> None:
    """At 128 bands, x4: the second trunk takes 8 bands to 256 features and back."""
    ours, sspsr = (
        sum(value.numel() for value in build(bands=128, scale=4).parameters())
        for build in (DeepShare, SSPSR)
    )
    attention = conv(256, 16, 1) + conv(16, 256, 1)
    block = 2 * conv(256, 256) + 2 * conv(256, 256, 1) + attention
    trunk = 2 * conv(8, 256) + 3 * block + conv(256, 4 * 256) + conv(256, 8)
    assert ours == sspsr + trunk


def test_on_scenes_it_gives_what_sspsr_gives_with_the_same_weights() -> None:
    torch.manual_seed(0)
    numbers = {"bands": 5, "scale": 4, "width": 8, "depth": 1, "group": 3, "overlap": 1}
    ours, sspsr = (shaken(build(**numbers)).eval() for build in (DeepShare, SSPSR))
    sspsr.load_state_dict({key: ours.state_dict()[key] for key in sspsr.state_dict()})
    scene = torch.rand(1, 5, 4, 3)
    with torch.no_grad():
        assert torch.equal(ours(scene), sspsr(scene))


@pytest.mark.parametrize("bands", [1, 2, 3, 7, 128])
def test_a_colour_image_is_the_means_of_thirds_of_the_bands(bands: int) -> None:
    network = DeepShare(bands=bands, scale=2, width=4, depth=1)
    together = min(8, bands)
    truth, estimate = network.auxiliary(torch.rand(2, bands, 4, 3), torch.ones(2, bands, 8, 6))
    assert truth.shape == estimate.shape == (2, together, 8, 6)
    torch.testing.assert_close(truth, torch.ones_like(truth))
    if bands >= 3:
        high = torch.rand(1, bands, 8, 6)
        truth, _ = network.auxiliary(torch.rand(1, bands, 4, 3), high)
        third = -(-bands // 3)
        torch.testing.assert_close(truth[:, 0], high[:, :third].mean(1))
        torch.testing.assert_close(truth[:, -1], high[:, -third:].mean(1))


def test_the_coarse_colour_image_is_the_fine_one_degraded() -> None:
    network, high = DeepShare(bands=9, scale=2, width=4, depth=1), torch.rand(1, 9, 8, 6)
    low = degrade(high, 2, "bicubic")
    fine, _ = network.auxiliary(low, high)
    seen = []
    network.branch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.auxiliary(low, high)
    torch.testing.assert_close(seen[0], degrade(fine, 2, "bicubic"))


def test_colour_images_train_the_branch_and_not_the_trunk_of_the_bands() -> None:
    network = DeepShare(bands=9, scale=4, width=4, depth=1)
    _, estimate = network.auxiliary(torch.rand(1, 9, 4, 3), torch.rand(1, 9, 16, 12))
    estimate.square().sum().backward()
    assert all(value.grad is not None for value in network.branch.parameters())
    assert all(value.grad is not None for value in network.colour_trunk.parameters())
    assert all(value.grad is None for value in network.trunk.parameters())
