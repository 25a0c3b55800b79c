"""Each map of an unmixing is what a formula written out says, and is no data where it has to be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import Block
from hsisr.encoding import encode
from hsisr.results.export import unmixing_maps
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.operations import Operation, Unmix, UnmixLinearly
from hsisr.tiling.run import apply
from hsisr_models.abundances import SHELF as SOLVERS
from hsisr_models.contract import Solution
from tests.hsisr.tiles import cube_of

Scene = Callable[..., NDArray[np.float32]]
GOOD = torch.tensor([True, True, False, True, True, True])


def spectra(count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).uniform(100, 900, (count, 6))).float()


def maps_of(operation: Operation, block: Block, cpu: Runtime) -> NDArray[np.float64]:
    return apply(operation, block, survey(cube_of(block)), cpu).astype(np.float64)


def linear(solver: str, known: Tensor, **more: bool) -> UnmixLinearly:
    return UnmixLinearly(SOLVERS[solver].solve, known, GOOD, **more)


def by_network(known: Tensor) -> Unmix:
    """A network that takes the first three bands for abundances."""
    mixed = known / 1000

    def encode(scene: Tensor) -> Tensor:
        return scene[:, :3].softmax(1)

    return Unmix(encode, lambda a: torch.einsum("npij,pb->nbij", a, mixed), 0, 1000.0)


@pytest.mark.parametrize("kind", ["linear", "network"])
def test_the_angle_is_that_between_spectrum_and_mixture(
    scene: Scene, cpu: Runtime, kind: str
) -> None:
    block, known = scene(6, 9, 14), spectra(3)
    used = GOOD.numpy() if kind == "linear" else np.ones(6, bool)
    operation = linear("fcls", known) if kind == "linear" else by_network(known)
    maps = maps_of(operation, block, cpu)
    assert maps.shape == (6, 9, 14)
    mixed = np.einsum("pij,pb->bij", maps[:3], known.numpy()[:, used])
    seen = block[used].astype(np.float64)
    cosine = (mixed * seen).sum(0) / np.sqrt((mixed**2).sum(0) * (seen**2).sum(0))
    np.testing.assert_allclose(maps[4], np.degrees(np.arccos(cosine)), atol=1e-4)
    np.testing.assert_allclose(maps[3], np.sqrt(((mixed - seen) ** 2).mean(0)), rtol=1e-4)
    assert maps[4].min() > 0.01


def test_a_mixture_without_error_has_no_angle(cpu: Runtime) -> None:
    known = spectra(3)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (7, 5)).astype(np.float32)
    block = np.einsum("ijp,pb->bij", shares, known.numpy())
    maps = maps_of(linear("fcls", known), block, cpu)
    np.testing.assert_allclose(maps[:3], shares.transpose(2, 0, 1), atol=1e-4)
    # the arc cosine of a cosine in float32 would be wrong by 0.02 degrees
    assert maps[4].max() < 1e-4


def test_the_gain_stands_between_the_angle_and_the_class(scene: Scene, cpu: Runtime) -> None:
    def shaded(seen: Tensor, known: Tensor) -> Solution:
        return Solution(torch.full((len(known), seen.shape[1]), 0.5), seen[0].double())

    block, known = scene(6, 4, 5), spectra(2)
    told = maps_of(UnmixLinearly(shaded, known, GOOD, tells_gain=True), block, cpu)
    untold = maps_of(UnmixLinearly(shaded, known, GOOD), block, cpu)
    np.testing.assert_array_equal(told[4], block[0])
    np.testing.assert_array_equal(np.delete(told, 4, 0), untold)
    mixed = 0.5 * block[0] * known.sum(0).numpy()[GOOD][:, None, None]
    error = np.sqrt(((mixed - block[GOOD.numpy()]) ** 2).mean(0))
    np.testing.assert_allclose(told[2], error, rtol=1e-5)


def test_the_class_is_the_endmember_that_a_pixel_has_most_of(scene: Scene, cpu: Runtime) -> None:
    block = scene(6, 9, 14)
    block[:, 2:4, 3:5] = np.nan
    for operation in (linear("ls", spectra(4)), by_network(spectra(3))):
        maps = maps_of(operation, block, cpu)
        count = len(maps) - 3
        there = np.isfinite(block).all(0)
        expected = np.where(there, np.where(there, maps[:count], 0).argmax(0) + 1, np.nan)
        np.testing.assert_array_equal(maps[-1], expected)
        assert len(np.unique(expected[there])) > 1


def test_a_pixel_with_nothing_of_any_endmember_has_no_class(cpu: Runtime) -> None:
    known = spectra(2)
    block = -np.tile(known[0].numpy()[:, None, None], (1, 3, 3))
    block[:, 1, 1] = known[1].numpy()
    maps = maps_of(linear("nnls", known), block, cpu)
    expected = np.zeros((3, 3))
    expected[1, 1] = 2
    np.testing.assert_array_equal(maps[-1], expected)
    spec = unmixing_maps(cube_of(block).spec, ["a", "b"], gain=False)["class"]
    np.testing.assert_array_equal(encode(maps[-1:].astype(np.float32), spec)[0][0], expected)


def test_zero_is_at_right_angles_to_all_but_itself(cpu: Runtime) -> None:
    known = spectra(2)
    block = np.zeros((6, 1, 3), np.float32)
    block[:, 0, 1], block[:, 0, 2] = -known[0], known[1]
    angles = maps_of(linear("nnls", known), block, cpu)[3]
    np.testing.assert_allclose(angles, [[0, 90, 0]], atol=1e-4)


@pytest.mark.parametrize("gain", [True, False])
def test_files_hold_the_maps_in_the_order_in_which_they_come(
    scene: Scene, cpu: Runtime, gain: bool
) -> None:
    block, known, names = scene(6, 5, 8), spectra(2), ["water", "soil"]
    block[:, 0, :3] = np.nan
    operation = linear("fcls", known, tells_gain=gain)
    maps = apply(operation, block, survey(cube_of(block)), cpu)
    files = unmixing_maps(cube_of(block).spec, names, gain=gain)
    kinds = ["rmse", "sam", *(["gain"] if gain else []), "class"]
    assert list(files) == ["abundance", *kinds]
    assert [name for spec in files.values() for name in spec.band_names or ()] == [*names, *kinds]
    assert sum(spec.bands for spec in files.values()) == len(maps)
    spec = files["class"]
    stored, clipped = encode(maps[-1:], spec)
    assert (stored.dtype, clipped, spec.nodata) == (np.uint8, 0, 0)
    np.testing.assert_array_equal(stored[0], np.nan_to_num(maps[-1]))
    assert [kind.name for kind in spec.classes or ()] == ["none", *names]
