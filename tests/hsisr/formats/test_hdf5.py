"""HDF5 files of several kinds: what h5py and mat73 read is what the cube holds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import mat73
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.cube import Cube, Geo, Spectrum
from hsisr.errors import InputError, UsageError
from hsisr.formats import ReadOptions, hdf5, open_cube
from hsisr.formats.hdf5 import source
from hsisr.window import TilePlan, Window

ROWS, COLS, BANDS = 7, 11, 5


def _matlab(path: Path, values: np.ndarray, **options: object) -> None:
    """What MATLAB's `save -v7.3` leaves: the axes reversed, the class beside, a header before."""
    with h5py.File(path, "w", userblock_size=512) as file:
        dataset = file.create_dataset("scene", data=values.T, **options)
        kind = {"float64": "double", "float32": "single"}.get(values.dtype.name, values.dtype.name)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.fixture(scope="module", params=["matlab", "plain", "chunked", "big-endian"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cube, np.ndarray]]:
    values = np.random.default_rng(1).integers(-3000, 3000, (ROWS, COLS, BANDS), np.int16)
    path = tmp_path_factory.mktemp("hdf5") / "scene"
    if request.param == "matlab":
        _matlab(path, values, chunks=(2, 3, 7), compression="gzip")
    else:
        stored = values.astype(">i2" if request.param == "big-endian" else "<i2")
        chunks = (3, 4, 5) if request.param == "chunked" else None
        with h5py.File(path, "w") as file:
            file.create_dataset("scene", data=stored, chunks=chunks, shuffle=chunks and True)
    with open_cube(path) as cube:
        yield cube, values


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_window_equals_the_slice_of_the_array(
    opened: tuple[Cube, np.ndarray], data: st.DataObject
) -> None:
    cube, truth = opened
    row, col = data.draw(st.integers(0, ROWS - 1)), data.draw(st.integers(0, COLS - 1))
    height = data.draw(st.integers(1, ROWS - row))
    width = data.draw(st.integers(1, COLS - col))
    block = cube.read(Window(row, col, height, width))
    assert cube.format == "hdf5"
    assert cube.spec.dtype == np.int16
    assert cube.spec.dtype.isnative
    assert block.dtype == np.float32
    assert block.flags.c_contiguous
    expected = truth[row : row + height, col : col + width].transpose(2, 0, 1)
    np.testing.assert_array_equal(block, expected)


def test_mat73_and_hsisr_agree_on_the_axes_of_matlab(tmp_path: Path) -> None:
    _matlab(tmp_path / "s.mat", np.random.default_rng(0).random((4, 6, 3)))
    truth = mat73.loadmat(tmp_path / "s.mat")["scene"]
    with open_cube(tmp_path / "s.mat") as cube:
        expected = truth.astype(np.float32).transpose(2, 0, 1)
        np.testing.assert_array_equal(cube.read(cube.spec.window), expected)
        assert "scene (4x6x3 float64)" in cube.notes[0]
        assert "axes YXB" in cube.notes[1]


def test_axes_are_asked_for_as_matlab_shows_them(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
    _matlab(tmp_path / "s.mat", values)
    with open_cube(tmp_path / "s.mat", ReadOptions(axes="BYX")) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), values)


@pytest.mark.parametrize("order", ["YXB", "BYX", "YBX"])
@pytest.mark.parametrize("known_by", ["wavelengths", "labels", "scales", "options"])
def test_the_order_of_the_axes_is_found_or_told(tmp_path: Path, order: str, known_by: str) -> None:
    truth = np.arange(3 * 4 * 5, dtype=np.float32).reshape(5, 3, 4)
    stored = np.einsum(f"BYX->{order}", truth)
    names = {"Y": "y", "X": "x", "B": "band"}
    with h5py.File(tmp_path / "s.h5", "w") as file:
        dataset = file.create_dataset("data", data=stored)
        for axis, letter in enumerate(order):
            if known_by == "labels":
                dataset.dims[axis].label = names[letter]
            elif known_by == "scales":
                file[names[letter]] = np.arange(stored.shape[axis])
                file[names[letter]].make_scale(names[letter])
                dataset.dims[axis].attach_scale(file[names[letter]])
        if known_by == "wavelengths":
            file["metadata/Wavelengths"] = np.arange(5) * 10.0 + 500
    options = ReadOptions(axes=order if known_by == "options" else None)
    with open_cube(tmp_path / "s.h5", options) as cube:
        assert f"axes {order}" in cube.notes[1]
        np.testing.assert_array_equal(cube.read(cube.spec.window), truth)


def test_cf_attributes_are_applied(tmp_path: Path) -> None:
    stored = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    with h5py.File(tmp_path / "s.nc", "w") as file:
        dataset = file.create_dataset("reflectance", data=stored)
        attributes = {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(7)}
        dataset.attrs.update({**attributes, "grid_mapping": "spatial_ref"})
        dataset.attrs["DIMENSION_LABELS"] = np.array([b"wavelength", b"y", b"x"])
        bands = file.create_dataset("sensor/wavelengths", data=np.array([0.4, 0.5, 0.6, 0.7045]))
        bands.attrs["units"] = "um"
        mapping = file.create_dataset("spatial_ref", data=0)
        mapping.attrs["GeoTransform"] = "100.0 2.0 0.0 900.0 0.0 -2.0"
        mapping.attrs["crs_wkt"] = 'PROJCS["somewhere"]'
    with open_cube(tmp_path / "s.nc") as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.spectrum == Spectrum((400.0, 500.0, 600.0, 704.5))
        assert cube.spec.geo == Geo((2, 0, 100, 0, -2, 900), 'PROJCS["somewhere"]')
    expected = np.where(stored == 7, np.nan, stored * 0.5 + 1)
    np.testing.assert_array_equal(block, expected.astype(np.float32))


def test_of_two_spectra_the_one_in_the_group_of_the_cube_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a/wavelength"] = [400.0, 500.0]
        file["b/cube"] = np.ones((3, 4, 2))
        file["b/wavelength"] = [600.0, 700.0]
        file["wavelength"] = [800.0, 900.0]
    with open_cube(tmp_path / "s.h5") as cube:
        assert cube.spec.spectrum == Spectrum((600.0, 700.0))


def test_a_name_with_blanks_is_told_as_the_shell_takes_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.he5", "w") as file:
        for name in ("SWIR_Cube", "VNIR_Cube"):
            file["Data Fields/" + name] = np.ones((4, 5, 6))
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "s.he5")
    option = shlex.split(str(caught.value.hint).partition("for example ")[2])
    with open_cube(tmp_path / "s.he5", ReadOptions(var=option[1])) as cube:
        assert cube.spec.shape == (6, 4, 5)


def test_a_group_path_names_the_variable(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["day/one"] = np.full((3, 4, 2), 1.0)
        file["day/two"] = np.full((3, 4, 2), 2.0)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "s.h5")
    assert "day/one (3x4x2 float64), day/two (3x4x2 float64)" in caught.value.what
    for name in ("/day/two", "day/two", "two"):
        with open_cube(tmp_path / "s.h5", ReadOptions(var=name)) as cube:
            assert cube.read(cube.spec.window).max() == 2
    with pytest.raises(UsageError):
        open_cube(tmp_path / "s.h5", ReadOptions(var="three"))


def test_chunks_that_reach_over_all_rows_are_copied_once_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(source, "_LARGEST_STRIP", 100)
    values = np.random.default_rng(2).integers(0, 999, (ROWS, COLS, BANDS), np.uint16)
    _matlab(tmp_path / "s.mat", values, chunks=(1, 2, ROWS), compression="gzip")
    with open_cube(tmp_path / "s.mat") as cube:
        for tile in TilePlan(ROWS, COLS, tile=(3, 3), halo=1):
            expected = values.transpose(2, 0, 1)[:, *tile.read.slices]
            np.testing.assert_array_equal(cube.read(tile.read), expected)
        assert list(scratch.iterdir()) == []


def test_chunks_that_were_never_written_are_noted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        dataset = file.create_dataset("cube", (4, 4, 6), "f4", chunks=(2, 4, 6), fillvalue=-1)
        dataset[:2] = 5
    with open_cube(tmp_path / "s.h5") as cube:
        assert any("1 chunk never written" in note for note in cube.notes)
        assert cube.read(Window(3, 0, 1, 1)).max() == -1


@pytest.mark.parametrize("offset", [0, 512, 1024, 8192])
def test_the_signature_is_found_behind_a_user_block(tmp_path: Path, offset: int) -> None:
    with h5py.File(tmp_path / "s.mat", "w", userblock_size=offset) as file:
        file["cube"] = np.ones((2, 3, 4))
    with open_cube(tmp_path / "s.mat") as cube:
        assert cube.format == "hdf5"
        assert cube.spec.shape == (4, 2, 3)


def test_a_file_without_write_permission_and_locked_by_a_writer_is_read(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = np.ones((2, 3, 4))
    path.chmod(0o444)
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with open_cube(path) as cube:
            assert cube.read(cube.spec.window).sum() == 24
    finally:
        os.close(handle)


def test_a_reader_in_another_process_of_the_same_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = np.ones((2, 3, 4))
    before = path.read_bytes()
    with open_cube(path) as first, open_cube(path) as second:
        np.testing.assert_array_equal(
            first.read(first.spec.window), second.read(second.spec.window)
        )
    assert path.read_bytes() == before


def test_a_real_neon_scene_is_reflectance_on_the_map(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("hdf5/neon_sjer_30x30x426.h5")
    with h5py.File(path) as file:
        site = file["SJER/Reflectance"]
        stored = site["Reflectance_Data"][:]
        wavelengths = site["Metadata/Spectral_Data/Wavelength"][:]
    with open_cube(path) as cube:
        block = cube.read(cube.spec.window)
        spec = cube.spec
    expected = np.where(stored == -9999, np.nan, stored / 10000).transpose(2, 0, 1)
    np.testing.assert_allclose(block, expected.astype(np.float32), rtol=1e-6)
    assert spec.nodata == -9999
    assert spec.spectrum is not None
    assert spec.spectrum.centres_nm == tuple(wavelengths)
    assert spec.geo == Geo((1, 0, 257000, 0, -1, 4112000), "EPSG:32611")


REFUSED = [
    ("envi/olci_big_endian/ppetest.nc", "Oa01_radiance (20x20 int16)"),
    ("mat/v73.mat", "a_complex_3d_single_matrix (10x10x10 complex)"),
    ("mat/cell_struct_v73.mat", "a_cell_array (1x5 cell)"),
    ("mat/sparse_v73.mat", "A_col (sparse)"),
    ("mat/string_v73.mat", "my_string (6x1 string)"),
    ("mat/struct_in_cell_v73.mat", "x/test (1x1 cell)"),
    ("mat/compare_datetime_with_and_without_time_zone_v7p3.mat", "date_time_only (6x1 datetime)"),
    ("mat/scipy_installed/testhdf5_7.4_GLNX86.mat", "testdouble (1x9 float64)"),
]


@pytest.mark.parametrize(("name", "found"), REFUSED)
def test_real_files_without_a_cube_are_refused_with_what_they_hold(
    shared_data: Callable[[str], Path], name: str, found: str
) -> None:
    path = shared_data(name)
    assert hdf5.sniff(path, path.read_bytes()[:4096])
    with pytest.raises(InputError, match="no 3-D variable") as caught:
        open_cube(path)
    assert found in caught.value.what
