"""What is known of a scene before its tiles are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Block, Spectrum
from hsisr.errors import InputError
from hsisr.scene.spectra import subspace_of
from hsisr.scene.survey import Survey, survey

Scene = Callable[..., NDArray[np.float32]]


def cube_of(block: Block, good: tuple[bool, ...] | None = None) -> ArrayCube:
    centres = tuple(400.0 + 10 * band for band in range(len(block)))
    return ArrayCube(block, Path("scene.img"), Spectrum(centres, good=good))


def test_the_survey_holds_the_subspace_where_tokens_are_wanted(scene: Scene) -> None:
    block = scene(6, 90, 70)
    assert survey(cube_of(block)).subspace is None
    found = survey(cube_of(block), 4).subspace
    assert found is not None
    assert found.axes.shape == (6, 4)
    # of all pixels, not of the samples alone
    assert torch.equal(found.axes, subspace_of(cube_of(block), 4).axes)


def test_bands_of_noise_among_others_are_noticed(scene: Scene) -> None:
    block = scene(12, 40, 50)
    rng = np.random.default_rng(1)
    block[[2, 3, 5]] = rng.normal(500, 40, (3, 40, 50))
    # between two of them, one that is clear is hardly so
    assert np.flatnonzero(survey(cube_of(block)).noise).tolist() == [2, 3, 4, 5]
    assert not survey(cube_of(scene(12, 40, 50))).noise.any()
    # where most bands are, these are no neighbours
    block[:8] = rng.normal(500, 40, (8, 40, 50))
    assert not survey(cube_of(block)).noise.any()


@pytest.mark.parametrize("number", [0, -9999, -1])
def test_pixels_that_are_filled_with_one_number_are_counted(scene: Scene, number: float) -> None:
    block = scene(5, 64, 20) + 1
    block[:, :3] = number
    block[:, 3, :2] = -2
    block[0, 10] = number  # one band alone is no fill
    found, share = survey(cube_of(block)).blank
    assert (found, share) == (number, 3 / 64)


def test_a_scene_without_filled_pixels_has_none(scene: Scene) -> None:
    assert survey(cube_of(scene(5, 9, 9) + 1)).blank == (0, 0)
    assert survey(cube_of(np.zeros((1, 9, 9), np.float32))).blank == (0, 0)
    # as bright as can be in all bands is a pixel that is too bright
    assert survey(cube_of(np.full((4, 9, 9), 255, np.float32))).blank == (0, 0)


def test_the_subspace_is_the_same_with_any_number_of_threads(scene: Scene) -> None:
    cube, found = cube_of(scene(101, 53, 47)), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 16):
            torch.set_num_threads(threads)
            found.append(survey(cube, 8).tensors())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in found[0])


def test_the_survey_counts_every_pixel_once(scene: Scene) -> None:
    block = scene(3, 64, 32)
    block[1, :50] = np.nan
    seen = survey(cube_of(block))
    assert len(seen.samples) == 2
    np.testing.assert_allclose(seen.means, np.nanmean(block.astype(float), (1, 2)), rtol=1e-6)
    assert all(np.isfinite(sample).all() for sample in seen.samples)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 200), (33, 32)], ids=str)
def test_the_survey_is_spread_over_the_scene(scene: Scene, size: tuple[int, int]) -> None:
    rows, cols = np.mgrid[: size[0], : size[1]].astype(np.float32)
    seen = survey(cube_of(np.stack((rows, cols))))
    assert len(seen.samples) <= 16
    assert {sample.shape for sample in seen.samples} == {(2, *(min(n, 32) for n in size))}
    for axis, length in enumerate(size):
        values = np.concatenate([sample[axis].ravel() for sample in seen.samples])
        assert values.min() == 0
        assert values.max() == length - 1


def test_a_narrow_scene_between_the_samples_is_found() -> None:
    block = np.full((2, 400, 300), np.nan, np.float32)
    block[:, 350:353, 60:] = 7
    seen = survey(cube_of(block))
    np.testing.assert_array_equal(seen.means, [7, 7])
    assert all((sample == 7).all() for sample in seen.samples)
    assert {sample.shape for sample in seen.samples} == {(2, 32, 32)}


def test_a_scene_without_data_is_refused() -> None:
    with pytest.raises(InputError, match="no pixel holds data"):
        survey(cube_of(np.full((2, 40, 50), np.nan, np.float32)))


@pytest.mark.parametrize("tokens", [0, 3])
def test_a_survey_that_was_stored_is_the_same(scene: Scene, tokens: int) -> None:
    stored = survey(cube_of(scene(5, 70, 40)), tokens).tensors()
    again = Survey.of(stored)
    assert (again.subspace is None) == (tokens == 0)
    found = again.tensors()
    assert list(found) == list(stored)
    assert all(torch.equal(found[name], stored[name]) for name in stored)
