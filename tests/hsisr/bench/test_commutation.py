"""The error of an encoder that should change places with the degradation, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsisr.bench.commutation import commutation
from hsisr.cube import ArrayCube, Block
from hsisr.data.cutting import Layout
from hsisr.data.patches import PatchSet, open_patches, prepare
from hsisr.training.steps import untrained
from hsisr_models.unmix._mixing import LinearMixing
from tests.hsisr.made_up import mixed_scene
from tests.hsisr.trials import small

BANDS, SCALE = 4, 2


class Encoder(LinearMixing):
    """Maps every pixel by itself: a matrix, then a function."""

    def __init__(self, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.rand(3, BANDS, generator=torch.Generator().manual_seed(0)))
        self.after = after
        self._begin(torch.rand(3, BANDS), "clamp")

    def encode(self, scene: Tensor) -> Tensor:
        return self.after(torch.einsum("pb,nbhw->nphw", self.matrix, scene))


def encoded(network: Encoder, scene: Block) -> NDArray[np.float64]:
    """What the waves below make of a scene (B, h, w)."""
    matrix = network.matrix.detach().numpy().astype(float)
    return np.sin(8 * np.einsum("pb,bhw->phw", matrix, scene.astype(float)))


def pooled(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    count, rows, cols = maps.shape
    return maps.reshape(count, rows // SCALE, SCALE, cols // SCALE, SCALE).mean((2, 4))


def waves(values: Tensor) -> Tensor:
    return torch.sin(8 * values)


@pytest.fixture
def averaged(tmp_path: Path) -> PatchSet:
    """Training data whose low resolution is the mean of the high one."""
    file = tmp_path / "scene.raw"
    file.touch()
    scene = mixed_scene(BANDS, 64, 20)
    list(prepare([ArrayCube(scene, file)], tmp_path, Layout(SCALE, "area")))
    return open_patches(tmp_path)


def test_means_change_places_with_all_that_is_linear(averaged: PatchSet) -> None:
    found = commutation(Encoder(lambda x: x), averaged, "validation")
    assert found.error < 1e-6
    assert found.relative < 1e-4


@pytest.mark.parametrize("split", ["validation", "test"])
def test_any_other_encoder_is_off_by_as_much_as_numpy_says(averaged: PatchSet, split: str) -> None:
    network = Encoder(waves)
    fine, coarse = [], []
    for low, high in averaged.blocks(split):
        fine.append(pooled(encoded(network, high / averaged.peak)).reshape(3, -1))
        coarse.append(encoded(network, low / averaged.peak).reshape(3, -1))
    one, other = np.concatenate(fine, 1), np.concatenate(coarse, 1)
    found = commutation(network, averaged, split)
    assert found.error == pytest.approx(np.abs(one - other).mean(), rel=1e-4)
    spread = np.abs(other - other.mean(1, keepdims=True)).mean()
    assert found.spread == pytest.approx(spread, rel=1e-4)
    assert found.relative == pytest.approx(np.abs(one - other).mean() / spread, rel=1e-4)


def test_pixels_without_data_do_not_count(averaged: PatchSet) -> None:
    """What is cut out is no edge to an encoder that looks at every pixel by itself."""
    network = Encoder(waves)
    for entry in averaged.manifest["blocks"]:
        for kind, holes in (("high", [(0, 0), (2, 5)]), ("low", [(0, 0), (1, 2), (3, 1)])):
            block = np.load(averaged.folder / entry[kind])
            for row, col in holes:
                block[:, row, col] = np.nan
            np.save(averaged.folder / entry[kind], block)
    (low, high), *_ = averaged.blocks("test")
    kept = np.isfinite(low).all(0)
    fine, coarse = encoded(network, high / averaged.peak), encoded(network, low / averaged.peak)
    expected = np.abs(pooled(fine) - coarse)[:, kept].mean()
    assert commutation(network, averaged, "test").error == pytest.approx(expected, rel=1e-4)


def test_maps_that_show_nothing_have_no_error_and_no_spread(averaged: PatchSet) -> None:
    found = commutation(Encoder(torch.zeros_like), averaged, "test")
    assert (found.error, found.spread) == (0, 0)
    assert math.isnan(found.relative)


def test_a_network_with_random_weights_has_an_error_too(averaged: PatchSet) -> None:
    network = untrained(averaged, small(), seed=0).unmixer()
    found = commutation(network, averaged, "test")
    assert 0 < found.error < 1
    assert math.isfinite(found.relative)
