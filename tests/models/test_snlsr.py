"""The published size, and the parts by their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hsisr_models.imaging import upscale_bicubic
from hsisr_models.sr.snlsr import SNLSR
from tests.contract.small import shaken
from tests.models.counting import conv, linear


def small(**numbers: Any) -> SNLSR:
    torch.manual_seed(0)
    given = {"bands": 5, "scale": 2, "width": 8, "materials": 3} | numbers
    return shaken(SNLSR(**given).eval())


def test_it_has_as_many_weights_as_published() -> None:
    """At 128 bands, x4: 30 endmembers, 64 features."""
    gate = conv(2, 1, 7)
    decompose = conv(128, 240) + conv(240, 120) + conv(120, 60) + 3 * gate + conv(60, 30, 1)
    spatial = conv(64, 16, 1) + conv(16, 16, 1) + 4 * conv(16, 16) + conv(16, 64, 1)
    spectral = 2 * conv(64, 64) + 3 * linear(64, 64, bias=False) + linear(64, 64)
    fusion = conv(64, 64, 1) + 64 * (3 * 3 + 1)
    dense = 3 * (spatial + spectral + fusion) + conv(2 * 64, 64, 1) + conv(3 * 64, 64, 1)
    stage = dense + conv(4 * 64, 64, 1) + conv(64, 4 * 64)
    ends = conv(30, 64) + conv(64, 30) + 30 * 128
    count = sum(value.numel() for value in SNLSR(bands=128, scale=4).parameters())
    assert count == decompose + 2 * stage + ends
    assert count / 1e6 == pytest.approx(1.65, rel=0.02)


def test_it_starts_from_abundances_on_the_simplex() -> None:
    with torch.no_grad():
        shares = small().decompose(torch.rand(2, 5, 9, 8))
    assert shares.shape == (2, 3, 9, 8)
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 9, 8))


def test_what_it_adds_to_bicubic_is_mixed_of_its_endmembers() -> None:
    network, scene = small(), torch.rand(1, 5, 16, 17)
    with torch.no_grad():
        added = (network(scene) - upscale_bicubic(scene, 2))[0].flatten(1)
    endmembers = network.mix.weight[:, :, 0, 0].detach()
    weights = torch.linalg.lstsq(endmembers, added).solution
    torch.testing.assert_close(endmembers @ weights, added, atol=1e-5, rtol=0)
    assert added.abs().max() > 0.01


def test_channels_attend_to_each_other_in_each_pixel() -> None:
    layer, features = small().sharpen[1].blocks[0].spectral, torch.rand(1, 8, 3, 4)
    with torch.no_grad():
        found, embedded = layer(features), layer.embed(features)
        for row, col in ((0, 0), (2, 3), (1, 2)):
            pixel = embedded[0, :, row, col]
            query, key, value = (
                part.weight[:, :, 0, 0] @ pixel for part in (layer.query, layer.key, layer.value)
            )
            scores = torch.outer(query / query.norm(), key / key.norm()).exp()
            mixed = scores / scores.sum(1, keepdim=True) @ value
            expected = pixel + layer.out.weight[:, :, 0, 0] @ mixed + layer.out.bias
            torch.testing.assert_close(found[0, :, row, col], expected)


def test_pieces_of_the_attention_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, scene = small(), torch.rand(2, 5, 7, 9)
    with torch.no_grad():
        whole = network(scene)
        monkeypatch.setattr("hsisr_models.sr.snlsr._CACHED", 1000)
        torch.testing.assert_close(network(scene), whole)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_both_stages_together_make_the_scale(scale: int) -> None:
    with torch.no_grad():
        assert small(scale=scale)(torch.rand(1, 5, 4, 3)).shape == (1, 5, 4 * scale, 3 * scale)
