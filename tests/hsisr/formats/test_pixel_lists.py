"""Scenes that MAT files keep as bands x pixels: what `reshape` makes of them is the cube."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from hsisr.errors import InputError
from hsisr.formats import ReadOptions, open_cube
from hsisr.window import Window
from tests.hsisr.protocols import save_mat73

ROWS, COLS, BANDS = 6, 7, 20
SCENE = np.random.default_rng(0).normal(size=(ROWS, COLS, BANDS))
PIXELS = SCENE.reshape(-1, BANDS, order="F").T
"""As `reshape(scene, [], bands)'` of MATLAB."""
SIZES = [("nRow", "nCol"), ("lines", "cols"), ("rows", "columns"), ("h", "w")]
Save = Callable[[Path, dict[str, NDArray[Any]]], None]


@pytest.fixture(params=[savemat, save_mat73], ids=["v5", "v7.3"])
def save(request: pytest.FixtureRequest) -> Save:
    """Writes a file of one version."""
    written: Save = request.param
    return written


def _beside(names: tuple[str, str]) -> dict[str, NDArray[Any]]:
    return {names[0]: np.array([[float(ROWS)]]), names[1]: np.array([[float(COLS)]])}


def _block(path: Path, options: ReadOptions | None = None) -> NDArray[np.float32]:
    with open_cube(path, options or ReadOptions()) as cube:
        block = cube.read(cube.spec.window)
        part = Window(2, 3, 3, 2)
        np.testing.assert_array_equal(cube.read(part, slice(1, 3)), block[1:3, 2:5, 3:5])
    return block


@pytest.mark.parametrize("names", SIZES, ids="-".join)
@pytest.mark.parametrize("transposed", [False, True])
def test_two_numbers_beside_a_matrix_tell_its_rows_and_columns(
    tmp_path: Path, save: Save, names: tuple[str, str], transposed: bool
) -> None:
    path = tmp_path / "unmixing.mat"
    save(path, {"Y": PIXELS.T.copy() if transposed else PIXELS, **_beside(names)})
    np.testing.assert_array_equal(_block(path), SCENE.transpose(2, 0, 1).astype(np.float32))
    with open_cube(path) as cube:
        assert any(f"{names[0]} and {names[1]} tell" in note for note in cube.notes)


def test_maps_of_the_same_pixels_tell_the_rows_and_columns_of_the_scene(
    tmp_path: Path, save: Save
) -> None:
    path = tmp_path / "unmixing.mat"
    maps = np.random.default_rng(1).random((ROWS, COLS, 3))
    save(
        path, {"S_GT": maps, "Y": PIXELS, "M": np.ones((BANDS, 3)), "A": np.ones((3, ROWS * COLS))}
    )
    np.testing.assert_array_equal(_block(path), SCENE.transpose(2, 0, 1).astype(np.float32))
    with open_cube(path, ReadOptions(var="S_GT")) as cube:
        assert cube.spec.shape == (3, ROWS, COLS)
    with open_cube(path, ReadOptions(var="A")) as cube:
        assert cube.spec.shape == (3, ROWS, COLS)


def test_pixels_that_run_along_the_rows_are_asked_for(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "unmixing.mat"
    save(path, {"Y": SCENE.reshape(-1, BANDS).T.copy(), **_beside(SIZES[0])})
    found = _block(path, ReadOptions(axes="BXY"))
    np.testing.assert_array_equal(found, SCENE.transpose(2, 0, 1).astype(np.float32))


def test_metadata_beside_a_matrix_are_those_of_its_scene(tmp_path: Path, save: Save) -> None:
    path, wavelengths = tmp_path / "unmixing.mat", np.linspace(400, 900, BANDS)[None]
    save(path, {"Y": PIXELS, **_beside(SIZES[0]), "wavelengths": wavelengths})
    with open_cube(path) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.centres_nm == pytest.approx(wavelengths[0])


def test_a_cube_with_as_many_bands_or_a_well_known_name_goes_before_a_matrix(
    tmp_path: Path, save: Save
) -> None:
    path = tmp_path / "scene.mat"
    save(path, {"mine": SCENE + 1, "Y": PIXELS})
    np.testing.assert_array_equal(_block(path)[0], (SCENE + 1)[..., 0].astype(np.float32))
    save(path, {"data": SCENE[..., :3].copy(), "Y": PIXELS})
    assert _block(path).shape == (3, ROWS, COLS)


@pytest.mark.parametrize("size", [(6.0, 8.0), (6.5, 7.0), (-6.0, -7.0), (np.nan, 7.0), (np.inf, 1)])
def test_numbers_that_do_not_fit_the_matrix_tell_nothing(
    tmp_path: Path, save: Save, size: tuple[float, float]
) -> None:
    path = tmp_path / "unmixing.mat"
    save(path, {"Y": PIXELS, "rows": np.array([[size[0]]]), "cols": np.array([[size[1]]])})
    with pytest.raises(InputError, match="no 3-D variable"):
        open_cube(path)


def test_a_matrix_that_is_not_matlabs_may_run_either_way(tmp_path: Path) -> None:
    path = tmp_path / "unmixing.h5"
    with h5py.File(path, "w") as file:
        file["Y"], file["A"] = PIXELS, np.ones((ROWS, COLS, 3))
    with pytest.raises(InputError, match="same pixels as Y"):
        open_cube(path)


def test_real_lists_of_pixels_hold_the_scenes_that_others_keep_as_cubes(
    shared_data: Callable[[str], Path],
) -> None:
    samson = _real(shared_data("unmixing/samson/Samson.mat"))
    kept = loadmat(shared_data("unmixing/samson/misicnet_Y_clean.mat"))["Y_clean"]
    assert np.corrcoef(samson.ravel(), kept.transpose(2, 0, 1).ravel())[0, 1] > 0.9999
    jasper = _real(shared_data("unmixing/jasper_ridge/Jasper.mat"))
    other = _real(shared_data("unmixing/jasper_ridge/jasperRidge2_R198.mat"))
    np.testing.assert_array_equal(jasper, other)


def _real(path: Path) -> NDArray[np.float32]:
    with open_cube(path) as cube:
        return cube.read(cube.spec.window)
