"""A scene seen by a coarser sensor is the same whichever windows it is read in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Geo
from hsisr.errors import InputError
from hsisr.scene import gaps
from hsisr.scene.degraded import DegradedCube, degrade_block
from hsisr.window import TilePlan, Window
from hsisr_models.imaging import OPERATORS, degrade


def scene(rows: int, cols: int, *, holes: bool = True) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    waves = np.sin(np.arange(rows)[:, None] / 5) * np.cos(np.arange(cols) / 7)
    block = (1000 + 400 * waves + rng.normal(0, 50, (3, rows, cols))).astype(np.float32)
    if holes:
        block[:, rows // 3 : 2 * rows // 3, cols // 4 : cols // 2] = np.nan
        block[1, rng.random((rows, cols)) < 0.01] = np.nan
    return block


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", [2, 3, 8])
@pytest.mark.parametrize("tile", [1, 5, 100])
def test_windows_agree_with_the_whole_scene(operator: str, scale: int, tile: int) -> None:
    rows, cols = 14, 11
    block = scene(rows * scale + 1, cols * scale)
    whole = degrade_block(block[:, : rows * scale], scale, operator)
    cube = DegradedCube(ArrayCube(block, Path("x")), scale, operator)
    assert cube.spec.shape == (3, rows, cols)
    steps = [step.write for step in TilePlan(rows, cols, (tile, tile), 0)]
    for window in steps:
        np.testing.assert_allclose(cube.read(window), whole[:, *window.slices], rtol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_without_holes_it_is_the_degradation(operator: str) -> None:
    block = scene(24, 32, holes=False)
    expected = degrade(torch.from_numpy(block)[None], 4, operator)[0].numpy()
    np.testing.assert_array_equal(degrade_block(block, 4, operator), expected)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_pixel_is_missing_where_any_pixel_below_is(operator: str) -> None:
    block = scene(24, 32)
    low = degrade_block(block, 4, operator)
    np.testing.assert_array_equal(np.isnan(low), gaps.pooled(np.isnan(block), 4))


def test_degrading_leaves_the_block_alone() -> None:
    block = scene(8, 8)
    before = block.copy()
    degrade_block(block, 2, "area")
    np.testing.assert_array_equal(block, before)


def test_the_pixels_grow_and_the_corner_stays() -> None:
    source = ArrayCube(scene(9, 8), Path("x"))
    fine = Geo((10, 1, 500, 2, -10, 900), "EPSG:32633")
    source.spec = replace(source.spec, geo=fine, native="what the fine file says")
    cube = DegradedCube(source, 4, "area")
    assert cube.spec.geo == Geo((40, 4, 500, 8, -40, 900), "EPSG:32633")
    assert cube.spec.geo.zoomed(4) == fine
    assert cube.spec.native is None
    assert (cube.files, cube.format, cube.notes) == (source.files, source.format, source.notes)


def test_a_scene_smaller_than_a_pixel_is_refused() -> None:
    with pytest.raises(InputError, match="7 x 30 pixels cannot be degraded by 8"):
        DegradedCube(ArrayCube(scene(7, 30), Path("x")), 8, "area")
    assert DegradedCube(ArrayCube(scene(8, 8), Path("x")), 8, "area").spec.shape == (3, 1, 1)


def test_leaving_it_closes_the_source(tmp_path: Path) -> None:
    class Noting(ArrayCube):
        closed = False

        def close(self) -> None:
            self.closed = True

    source = Noting(scene(8, 8), Path("x"))
    with DegradedCube(source, 2, "area") as cube:
        assert cube.read(Window(0, 0, 1, 1)).shape == (3, 1, 1)
    assert source.closed
