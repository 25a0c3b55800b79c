"""Groups of bands, and the published sizes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch

from hsisr_models.blocks import attention_layers, freeze_attention
from hsisr_models.groups import branched
from hsisr_models.sr.sspsr import SSPSR
from tests.contract.small import shaken


@pytest.mark.parametrize(
    ("bands", "scale", "millions"), [(128, 4, 13.56), (128, 8, 15.92), (102, 4, 13.38)]
)
def test_it_has_as_many_weights_as_published(bands: int, scale: int, millions: float) -> None:
    network = SSPSR(bands=bands, scale=scale)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.005
    )


@pytest.mark.parametrize("bands", [1, 2, 7, 8, 9, 14, 15, 31, 102, 128])
def test_groups_of_one_size_cover_all_bands(bands: int) -> None:
    groups = SSPSR(bands=bands, scale=2, width=4, depth=1).groups
    assert {len(group) for group in groups} == {min(8, bands)}
    assert set(Counter(band for group in groups for band in group)) == set(range(bands))
    overlaps = [left.stop - right.start for left, right in pairwise(groups)]
    assert all(overlap == 2 for overlap in overlaps[:-1])
    assert all(2 <= overlap < 8 for overlap in overlaps)


def test_groups_that_are_nothing_but_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="groups of 2 bands cannot overlap by 2"):
        SSPSR(bands=5, scale=2, group=2, overlap=2)


def test_bands_of_several_groups_get_their_mean() -> None:
    """The branch replaced by one that tells the groups apart by their first bands."""
    network = SSPSR(bands=5, scale=2, width=4, depth=1, group=3, overlap=1).eval()
    network.branch = torch.nn.Sequential(_FirstBand())
    scene = torch.arange(5.0).reshape(1, 5, 1, 1).expand(1, 5, 2, 2)
    assert [(group.start, group.stop) for group in network.groups] == [(0, 3), (2, 5)]
    assert branched(network.branch, scene, network.groups)[0, :, 0, 0].tolist() == [0, 0, 1, 2, 2]


class _FirstBand(torch.nn.Module):
    def forward(self, group: torch.Tensor) -> torch.Tensor:
        return group[:, :1].expand_as(group)


def test_frozen_attention_is_the_mean_over_the_groups() -> None:
    torch.manual_seed(0)
    network = shaken(SSPSR(bands=5, scale=2, width=4, depth=1, group=3, overlap=1).eval())
    layer, pooled = next(attention_layers(network.branch)), []
    layer.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0].mean((0, 2, 3))))
    scene = torch.rand(1, 5, 4, 4)
    with torch.no_grad():
        for group in network.groups:
            network.branch(scene[:, group.start : group.stop])
        expected = layer.weigh(torch.stack(pooled).mean(0)[None, :, None, None])
        freeze_attention(network, scene)
    torch.testing.assert_close(layer.frozen, expected)
