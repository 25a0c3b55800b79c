"""MAT files up to v7: what SciPy reads is what the cube holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from hsisr.cube import Cube, Geo, Spectrum
from hsisr.errors import InputError, UsageError
from hsisr.formats import ReadOptions, open_cube
from hsisr.window import Window

ROWS, COLS, BANDS = 7, 11, 5
WHOLE = Window(0, 0, ROWS, COLS)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cube, np.ndarray]]:
    path = tmp_path_factory.mktemp("mat5") / "scene.mat"
    values = np.random.default_rng(1).integers(-3000, 3000, (ROWS, COLS, BANDS), np.int16)
    savemat(path, {"cube": values}, do_compression=True)
    with open_cube(path) as cube:
        yield cube, loadmat(path)["cube"]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_window_equals_the_slice_of_what_scipy_reads(
    opened: tuple[Cube, np.ndarray], data: st.DataObject
) -> None:
    cube, truth = opened
    row, col = data.draw(st.integers(0, ROWS - 1)), data.draw(st.integers(0, COLS - 1))
    height = data.draw(st.integers(1, ROWS - row))
    width = data.draw(st.integers(1, COLS - col))
    block = cube.read(Window(row, col, height, width))
    assert block.dtype == np.float32
    assert block.flags.c_contiguous
    expected = truth[row : row + height, col : col + width].transpose(2, 0, 1)
    np.testing.assert_array_equal(block, expected)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_every_class_is_read_with_its_type(
    tmp_path: Path, rng: np.random.Generator, dtype: str, compressed: bool
) -> None:
    path = tmp_path / "scene.mat"
    truth = (rng.random((ROWS, COLS, BANDS)) * 200).astype(dtype)
    savemat(path, {"cube": truth}, do_compression=compressed)
    with open_cube(path) as cube:
        assert cube.format == "mat5"
        assert cube.spec.shape == (BANDS, ROWS, COLS)
        assert cube.spec.dtype == np.dtype(dtype)
        expected = truth.astype(np.float32).transpose(2, 0, 1)
        np.testing.assert_array_equal(cube.read(WHOLE), expected)


def test_no_temporary_file_and_no_process_is_left_even_while_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    savemat(tmp_path / "scene.mat", {"cube": np.ones((4, 5, 6))})
    before = psutil.Process().children()
    with open_cube(tmp_path / "scene.mat") as cube:
        assert list(scratch.iterdir()) == []
        assert psutil.Process().children() == before
        assert cube.read(cube.spec.window).sum() == 120


def test_metadata_are_taken_from_the_variables_beside_the_cube(tmp_path: Path) -> None:
    path = tmp_path / "scene.mat"
    content = {
        "refl": np.full((3, 4, 5), 20, np.int16),
        "wavelengths": np.array([0.4, 0.5, 0.6045, 0.7, 2.5]),
        "fwhm": np.full((5, 1), 0.01),
        "bbl": np.array([1, 1, 0, 1, 1]),
        "scale_factor": 0.5,
        "add_offset": 3.0,
        "transform": np.array([2.0, 0, 100, 0, -2, 900]),
        "crs": "EPSG:32611",
        "description": "a test",
        "band_names": "a\nb\nc\nd\ne",
    }
    savemat(path, content)
    with open_cube(path) as cube:
        spec = cube.spec
        np.testing.assert_array_equal(cube.read(spec.window), np.float32(20 * 0.5 + 3))
    assert spec.spectrum == Spectrum(
        (400.0, 500.0, 604.5, 700.0, 2500.0), (10.0,) * 5, (True, True, False, True, True)
    )
    assert spec.geo == Geo((2, 0, 100, 0, -2, 900), "EPSG:32611")
    assert spec.description == "a test"
    assert spec.band_names == ("a", "b", "c", "d", "e")
    assert any("micrometres" in note for note in cube.notes)
    assert any("scale_factor" in note for note in cube.notes)


def test_no_data_become_nan(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    savemat(tmp_path / "scene.mat", {"cube": stored, "fill_value": 5})
    with open_cube(tmp_path / "scene.mat") as cube:
        block = cube.read(cube.spec.window)
    np.testing.assert_array_equal(np.isnan(block), stored.transpose(2, 0, 1) == 5)


@pytest.mark.parametrize("order", ["YXB", "BYX", "YBX"])
def test_the_axis_as_long_as_the_wavelengths_is_the_bands(tmp_path: Path, order: str) -> None:
    truth = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    shape_order = [{"Y": 0, "X": 1, "B": 2}[axis] for axis in order]
    savemat(tmp_path / "s.mat", {"cube": truth.transpose(shape_order), "wl": np.arange(5) + 500.0})
    with open_cube(tmp_path / "s.mat") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), truth.transpose(2, 0, 1))
        assert any(f"axes {order}" in note for note in cube.notes)


def test_axes_are_asked_for_as_matlab_shows_them(tmp_path: Path) -> None:
    truth = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    savemat(tmp_path / "s.mat", {"cube": truth})
    with open_cube(tmp_path / "s.mat", ReadOptions(axes="XBY")) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), truth.transpose(1, 2, 0))


def test_numbers_that_only_count_the_bands_are_not_wavelengths(tmp_path: Path) -> None:
    savemat(tmp_path / "s.mat", {"cube": np.ones((3, 4, 6)), "bands": np.arange(1, 7)})
    with open_cube(tmp_path / "s.mat") as cube:
        assert cube.spec.spectrum is None
        assert any("only count the bands" in note for note in cube.notes)


def test_a_well_known_name_decides_between_several_cubes_and_is_noted(tmp_path: Path) -> None:
    content = {"hsi": np.ones((4, 5, 6)), "lr": np.ones((2, 2, 6)), "rgb": np.ones((4, 5, 3))}
    savemat(tmp_path / "s.mat", content)
    with open_cube(tmp_path / "s.mat") as cube:
        assert cube.spec.shape == (6, 4, 5)
        assert "lr (2x2x6 double)" in cube.notes[0]
    with open_cube(tmp_path / "s.mat", ReadOptions(var="rgb")) as cube:
        assert cube.spec.shape == (3, 4, 5)


def test_several_cubes_without_a_well_known_name_are_refused_by_name(tmp_path: Path) -> None:
    savemat(tmp_path / "s.mat", {"one": np.ones((4, 5, 6)), "two": np.ones((2, 2, 6))})
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "s.mat")
    assert "one (4x5x6 double), two (2x2x6 double)" in caught.value.what
    assert "--var one" in str(caught.value.hint)


def test_a_variable_that_is_not_there_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    savemat(tmp_path / "s.mat", {"one": np.ones((4, 5, 6))})
    with pytest.raises(UsageError) as caught:
        open_cube(tmp_path / "s.mat", ReadOptions(var="two"))
    assert "one (4x5x6 double)" in str(caught.value.hint)


ABU = [
    *("airport-1", "airport-2", "airport-3", "airport-4", "beach-1", "beach-3"),
    *("urban-1", "urban-3", "urban-4", "urban-5"),
]
SCENES = [
    *((f"scenes/abu/abu-{name}.mat", "data") for name in ABU),
    ("scenes/abu/sandiego.mat", "data"),
    ("scenes/aviris_vegetation_224.mat", "hsi_img"),
    ("unmixing/samson/misicnet_Y_clean.mat", "Y_clean"),
    ("unmixing/samson/misicnet_A_true.mat", "A_true"),
    ("unmixing/sim1/Y_clean.mat", "Y_clean"),
    ("unmixing/sim1/A_true.mat", "A_true"),
]


@pytest.mark.parametrize(("name", "variable"), SCENES)
def test_real_scenes_hold_what_scipy_reads(
    shared_data: Callable[[str], Path], name: str, variable: str
) -> None:
    path = shared_data(name)
    truth = loadmat(path)[variable].astype(np.float32)
    with open_cube(path) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), truth.transpose(2, 0, 1))


def test_a_real_scene_keeps_its_wavelengths(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("scenes/aviris_vegetation_224.mat")
    with open_cube(path) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.centres_nm == tuple(loadmat(path)["wavelengths"].ravel())


REFUSED = [
    ("unmixing/jasper_ridge/JasperRidge2_end4.mat", "M (198x4 double)"),
    ("unmixing/samson/misicnet_E.mat", "E (156x3 double)"),
    ("unmixing/sim1/E.mat", "E (224x6 double)"),
    ("mat/v4.mat", "a_matrix (100x100 double)"),
    ("mat/v6.mat", "a_complex_3d_single_matrix"),
    ("mat/v7.mat", "a_complex_3d_single_matrix"),
    ("mat/cell_struct_v7.mat", "a_struct_array (1x5 struct)"),
    ("mat/mcos_class_instance_v7.mat", "an object"),
    ("mat/sparse_v4.mat", "A_col (10x1 sparse)"),
    ("mat/scipy_installed/little_endian.mat", "floats (2x2 single)"),
    ("mat/scipy_installed/big_endian.mat", "floats (2x2 single)"),
    ("mat/scipy_installed/corrupted_zlib_data.mat", "datagrid (6694x1 single)"),
    ("mat/scipy_installed/testdouble_4.2c_SOL2.mat", "testdouble (1x9 double)"),
]


@pytest.mark.parametrize(("name", "found"), REFUSED)
def test_real_files_without_a_cube_are_refused_with_what_they_hold(
    shared_data: Callable[[str], Path], name: str, found: str
) -> None:
    with pytest.raises(InputError) as caught:
        open_cube(shared_data(name))
    assert found in caught.value.what
