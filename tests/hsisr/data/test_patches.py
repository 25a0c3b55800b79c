"""Scenes are cut into splits that never touch, and degraded block by block."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, CubeSpec, Spectrum
from hsisr.data.cutting import SPLITS, Layout, cut
from hsisr.data.patches import PatchSet, open_patches, prepare
from hsisr.errors import InputError, UsageError
from hsisr.scene.degraded import degrade_block
from hsisr_models.imaging import OPERATORS

Scene = Callable[..., NDArray[np.float32]]
SHARES = st.tuples(*[st.floats(0.4, 1)] * 3)


def spec_of(rows: int, cols: int) -> CubeSpec:
    return CubeSpec(3, rows, cols, np.dtype(np.float32))


@settings(max_examples=300, deadline=None)
@given(st.integers(8, 1600), st.integers(8, 200), st.integers(2, 8), st.integers(0, 5), SHARES)
def test_splits_are_disjoint_with_a_gap(
    rows: int, cols: int, scale: int, gap: int, shares: tuple[float, float, float]
) -> None:
    layout = Layout(scale, shares=shares, gap=gap)
    if min(rows, cols) // scale < 4 or max(rows, cols) // scale < 50 + 4 * gap:
        return  # may be too small, see below
    windows = cut(spec_of(rows, cols), layout, Path("scene"))
    owner = np.zeros((rows, cols), np.uint8)
    for number, split in enumerate(SPLITS, 1):
        assert windows[split]
        for window in windows[split]:
            assert spec_of(rows, cols).window.contains(window)
            assert window.height % scale == window.width % scale == 0
            assert window.row % scale == window.col % scale == 0
            assert min(window.height, window.width) > 0
            assert (owner[window.slices] == 0).all(), "two blocks overlap"
            owner[window.slices] = number
    line = owner.max(1) if rows >= cols else owner.max(0)
    for a, b in combinations(range(1, 4), 2):
        for first, second in ((a, b), (b, a)):
            ends, begins = (np.flatnonzero(line == split) for split in (first, second))
            apart = begins[:, None] - ends
            assert not ((apart > 0) & (apart <= gap * scale)).any()


def test_shares_are_kept_along_the_longer_side() -> None:
    for rows, cols in ((800, 100), (100, 800)):
        shares = (0.5, 0.2, 0.3)
        windows = cut(spec_of(rows, cols), Layout(2, shares=shares, gap=0), Path("scene"))
        areas = [sum(w.height * w.width for w in windows[split]) for split in SPLITS]
        np.testing.assert_allclose(np.array(areas) / (rows * cols), shares, atol=0.01)


def test_a_large_scene_is_tested_in_several_places() -> None:
    windows = cut(spec_of(2000, 100), Layout(2), Path("scene"))
    starts = sorted({window.row for window in windows["test"]})
    assert starts[-1] - starts[0] > 1000


@pytest.mark.parametrize("size", [(20, 200), (200, 20), (40, 40), (3, 500)], ids=str)
def test_a_scene_that_is_too_small_is_refused_with_numbers(size: tuple[int, int]) -> None:
    with pytest.raises(InputError) as caught:
        cut(spec_of(*size), Layout(8), Path("scene"))
    assert f"{size[0]} x {size[1]} pixels" in caught.value.what
    assert "at scale 8" in caught.value.what
    assert caught.value.where == "scene"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="three positive shares"):
        Layout(2, shares=shares)


def test_an_unknown_degradation_is_refused() -> None:
    with pytest.raises(UsageError, match="no degradation 'motion'") as caught:
        Layout(2, "motion")
    assert caught.value.hint == f"one of {', '.join(OPERATORS)}"


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_is_prepared_is_the_scene_and_its_degradation(
    tmp_path: Path, cube: Callable[..., ArrayCube], operator: str
) -> None:
    source = cube(75, 30)
    layout = Layout(3, operator)
    counts = list(prepare([source], tmp_path, layout))
    patches = open_patches(tmp_path)
    assert counts == [(i + 1, len(counts)) for i in range(len(counts))]
    windows = cut(source.spec, layout, Path("scene"))
    for split in SPLITS:
        for window, (low, high) in zip(windows[split], patches.blocks(split), strict=True):
            np.testing.assert_array_equal(high, source.read(window))
            np.testing.assert_array_equal(low, degrade_block(source.read(window), 3, operator))
    assert (patches.bands, patches.scale) == (4, 3)
    train = np.concatenate([high.ravel() for _, high in patches.blocks("train")])
    assert patches.peak == pytest.approx(np.quantile(train, 0.999), rel=1e-3)


def test_other_pixels_are_other_data_even_where_all_else_is_the_same(
    tmp_path: Path, cube: Callable[..., ArrayCube], scene: Scene
) -> None:
    block, layout = scene(4, 80, 20), Layout(2)
    digests = []
    # what is tested does not change the peak
    for row in (None, 0, cut(spec_of(80, 20), layout, Path("scene"))["test"][0].row):
        changed = block.copy()
        if row is not None:
            changed[0, row, 0] *= 0.999
        list(prepare([cube(80, 20, block=changed)], tmp_path, layout))
        digests.append(open_patches(tmp_path).digest)
    assert len(set(digests)) == 3
    list(prepare([cube(80, 20, block=block)], tmp_path, layout))
    assert open_patches(tmp_path).digest == digests[0]


def test_the_peak_is_that_of_training_pixels_alone(
    tmp_path: Path, cube: Callable[..., ArrayCube], scene: Scene
) -> None:
    block = scene(4, 80, 20)
    layout = Layout(2)
    for window in cut(spec_of(80, 20), layout, Path("scene"))["test"]:
        block[:, *window.slices] = 1e6
    list(prepare([cube(80, 20, block=block)], tmp_path, layout))
    assert open_patches(tmp_path).peak < 2000


def test_a_scene_without_light_has_no_peak(tmp_path: Path, cube: Callable[..., ArrayCube]) -> None:
    for value in (0, -5, np.nan):
        dark = cube(80, 20, block=np.full((2, 80, 20), value, np.float32))
        with pytest.raises(InputError, match="no positive values"):
            list(prepare([dark], tmp_path, Layout(2)))
        with pytest.raises(InputError, match="holds no prepared data"):
            open_patches(tmp_path)


def test_several_scenes_are_prepared_together(
    tmp_path: Path, cube: Callable[..., ArrayCube]
) -> None:
    centres = Spectrum((400.0, 500.0, 600.0, 700.0))
    near = Spectrum((410.0, 510.0, 610.0, 710.0))
    scenes = [cube(80, 20, name="a", spectrum=centres), cube(20, 90, name="bb", spectrum=near)]
    list(prepare(scenes, tmp_path, Layout(2)))
    patches = open_patches(tmp_path)
    assert patches.spectrum == centres
    assert [scene["file"] for scene in patches.manifest["scenes"]] == ["a", "bb"]
    shapes = {high.shape[1:] for _, high in patches.blocks("train")}
    assert len(shapes) == 2


def test_scenes_that_differ_in_their_bands_are_refused(
    tmp_path: Path, cube: Callable[..., ArrayCube]
) -> None:
    with pytest.raises(InputError, match="has 5 bands, a has 4"):
        list(
            prepare([cube(80, 20, name="a"), cube(80, 20, name="b", bands=5)], tmp_path, Layout(2))
        )
    centres, shifted = Spectrum((400.0, 500.0, 600.0, 700.0)), (400.0, 500.0, 660.0, 700.0)
    pair = [
        cube(80, 20, name="a", spectrum=centres),
        cube(80, 20, name="b", spectrum=replace(centres, centres_nm=shifted)),
    ]
    with pytest.raises(InputError, match=r"band 3 lies at 660\.0 nm, but at 600\.0 nm in a"):
        list(prepare(pair, tmp_path, Layout(2)))


def test_preparing_anew_begins_by_forgetting(
    tmp_path: Path, cube: Callable[..., ArrayCube]
) -> None:
    source = cube(80, 20)
    list(prepare([source], tmp_path, Layout(2)))
    broken_off = prepare([source], tmp_path, Layout(3))
    next(broken_off)
    broken_off.close()
    with pytest.raises(InputError, match="holds no prepared data"):
        open_patches(tmp_path)


def test_data_that_are_not_there_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for run in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(InputError, match="holds no prepared data") as caught:
            open_patches(run)
        assert "hsisr prepare" in str(caught.value.hint)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not a manifest"):
        open_patches(tmp_path)


def test_blocks_that_were_lost_or_damaged_are_named(patches: Callable[..., PatchSet]) -> None:
    prepared = patches()
    block = prepared.folder / prepared.manifest["blocks"][0]["high"]
    os.truncate(block, block.stat().st_size - 1)
    for damage in (lambda: None, lambda: os.truncate(block, 3), block.unlink):
        damage()
        with pytest.raises(InputError) as caught:
            prepared.blocks("train")
        assert caught.value.where == str(block)


def test_a_manifest_cannot_point_outside_its_folder(
    tmp_path: Path, patches: Callable[..., PatchSet]
) -> None:
    prepared = patches()
    np.save(tmp_path / "secret.npy", np.zeros((1, 4, 4), np.float32))
    for name in (str(tmp_path / "secret.npy"), "../../secret.npy"):
        manifest = json.loads(json.dumps(dict(prepared.manifest)))
        manifest["blocks"][0]["low"] = name
        with pytest.raises(InputError):
            PatchSet(prepared.folder, manifest).blocks("train")
