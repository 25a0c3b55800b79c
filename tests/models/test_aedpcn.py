"""An autoencoder, and what is done between its halves."""

from __future__ import annotations

from typing import Any

import torch

from hsisr_models.imaging import mix, upscale_bicubic
from hsisr_models.sr.aedpcn import AeDPCN
from tests.contract.small import shaken
from tests.models.counting import conv


def small(**numbers: Any) -> AeDPCN:
    torch.manual_seed(0)
    given = {"bands": 5, "scale": 2, "width": 8, "depth": 1, "materials": 3} | numbers
    return AeDPCN(**given).eval()


def test_its_weights_are_those_of_its_layers() -> None:
    """At 128 bands, x4; there is no published number."""
    autoencoder = conv(128, 128, 1) + conv(128, 30, 1) + 30 * 128
    block = 3 * conv(64, 64)
    enlarge, reduce = 2 * conv(64, 256), 2 * conv(64, 16)
    sharpen = conv(30, 64) + 4 * block + enlarge + conv(64, 30)
    count = sum(value.numel() for value in AeDPCN(bands=128, scale=4).parameters())
    assert count == autoencoder + sharpen + 2 * (reduce + block + enlarge)


def test_pixels_are_encoded_to_shares_and_decoded_by_mixing() -> None:
    network, scene = shaken(small()), torch.rand(2, 5, 4, 3)
    with torch.no_grad():
        shares = network.encode(scene)
        truth, estimate = network.auxiliary(torch.rand(2, 5, 2, 2), scene)
    assert shares.min() > 0
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 4, 3))
    endmembers = network.decoder.weight[:, :, 0, 0].T.detach()
    torch.testing.assert_close(estimate, mix(shares, endmembers))
    assert torch.equal(truth, scene)


def test_it_starts_with_abundances_enlarged() -> None:
    network, scene = small(), torch.rand(1, 5, 4, 3)
    with torch.no_grad():
        expected = network.decoder(upscale_bicubic(network.encode(scene), 2))
        torch.testing.assert_close(network(scene), expected)


def test_features_that_project_back_to_the_coarse_ones_are_not_corrected() -> None:
    correct = shaken(small(scale=4)).corrections[0]
    for name, value in correct.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(value)
    fine, coarse = torch.rand(1, 8, 8, 12), torch.rand(1, 8, 2, 3)
    with torch.no_grad():
        torch.testing.assert_close(correct(fine, correct.reduce(fine)), fine)
        assert not torch.equal(correct(fine, coarse), fine)
