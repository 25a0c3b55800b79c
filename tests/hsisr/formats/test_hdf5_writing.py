"""Written HDF5 files, read back by h5py, mat73 and hsisr."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import mat73
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.cube import CubeSpec, CubeWriter, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError
from hsisr.formats import create_cube, open_cube
from hsisr.formats._variables import Origin
from hsisr.window import TilePlan, Window

SPEC = CubeSpec(
    5,
    70,
    130,
    np.dtype(np.uint16),
    nodata=7.0,
    gain=(0.01,),
    offset=(-1.0,),
    spectrum=Spectrum((400.0, 500.0, 600.0, 700.0, 804.5), (10.0,) * 5, (True,) * 4 + (False,)),
    geo=Geo((2.0, 0.0, 100.0, 0.0, -2.0, 900.0), "EPSG:32611"),
    band_names=("a", "b", "c", "d", "é"),
    description="two\nlines",
)


def _interrupt(writer: CubeWriter) -> None:
    with writer:
        write_block(writer, Window(0, 0, 2, 130), np.zeros((5, 2, 130), np.float32))
        raise KeyboardInterrupt


def _write(path: Path, spec: CubeSpec, block: np.ndarray, tile: int = 33) -> None:
    with create_cube(path, spec, "hdf5") as writer:
        for each in TilePlan(spec.rows, spec.cols, (tile, tile), halo=0):
            write_block(writer, each.write, block[:, *each.write.slices])


@pytest.fixture
def stored(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(8, 60000, SPEC.shape, np.uint16)


def _physical(stored: np.ndarray) -> np.ndarray:
    return (stored * 0.01 - 1).astype(np.float32)


@pytest.mark.parametrize("name", ["s.h5", "s.mat"])
def test_everything_comes_back(tmp_path: Path, stored: np.ndarray, name: str) -> None:
    block = _physical(stored)
    block[:, 2, 3] = np.nan
    _write(tmp_path / name, SPEC, block)
    with open_cube(tmp_path / name) as cube:
        assert cube.spec == replace(SPEC, native=Origin("cube"))
        np.testing.assert_allclose(cube.read(cube.spec.window), block, rtol=1e-6)


def test_h5py_reads_bands_rows_columns_and_what_describes_them(
    tmp_path: Path, stored: np.ndarray
) -> None:
    _write(tmp_path / "s.h5", SPEC, _physical(stored))
    with h5py.File(tmp_path / "s.h5") as file:
        np.testing.assert_array_equal(file["cube"], stored)
        attributes = dict(file["cube"].attrs)
        scales = [dimension[0].name for dimension in file["cube"].dims]
        np.testing.assert_array_equal(file["wavelength"], [400, 500, 600, 700, 804.5])
        np.testing.assert_array_equal(file["good_wavelengths"], [1, 1, 1, 1, 0])
        np.testing.assert_array_equal(file["x"], 101 + 2 * np.arange(130))
        np.testing.assert_array_equal(file["y"], 899 - 2 * np.arange(70))
        assert file["spatial_ref"].attrs["epsg_code"] == 32611
        assert file["wavelength"].attrs["units"] == file["fwhm"].attrs["units"] == b"nm"
    assert scales == ["/wavelength", "/y", "/x"]
    assert attributes["grid_mapping"] == b"spatial_ref"
    assert attributes["scale_factor"] == 0.01
    assert attributes["_FillValue"] == np.uint16(7)
    assert attributes["_FillValue"].dtype == np.uint16


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("dtype", "nodata", "seen"),
    [("u2", 7, 7), ("i2", -9999, -9999), ("f4", -9999, -9999), ("u1", -9999, None)],
)
def test_gdal_sees_the_no_data_value(
    tmp_path: Path, dtype: str, nodata: float, seen: float | None
) -> None:
    spec = CubeSpec(5, 6, 4, np.dtype(dtype), nodata=nodata)
    _write(tmp_path / "s.h5", spec, np.ones(spec.shape, np.float32))
    with rasterio.open(tmp_path / "s.h5") as file:
        assert file.nodata == seen
    with open_cube(tmp_path / "s.h5") as cube:
        assert cube.spec.nodata == nodata


def test_mat73_reads_rows_columns_bands_and_variables(tmp_path: Path, stored: np.ndarray) -> None:
    _write(tmp_path / "s.mat", SPEC, _physical(stored))
    found = mat73.loadmat(tmp_path / "s.mat")
    assert found["cube"].dtype == np.uint16
    np.testing.assert_array_equal(found["cube"], stored.transpose(1, 2, 0))
    np.testing.assert_array_equal(found["fwhm"], [10] * 5)
    assert found["description"] == "two\nlines"
    assert found["scale_factor"] == 0.01


def test_matlab_finds_its_signature_and_classes(tmp_path: Path, stored: np.ndarray) -> None:
    _write(tmp_path / "s.mat", SPEC, _physical(stored))
    head = (tmp_path / "s.mat").read_bytes()[:520]
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert head[124:128] == b"\x00\x02IM"
    assert head[512:520] == b"\x89HDF\r\n\x1a\n"
    with h5py.File(tmp_path / "s.mat") as file:
        assert file["cube"].shape == (5, 130, 70)
        assert file["cube"].attrs["MATLAB_class"] == b"uint16"
        assert file["wavelength"].attrs["MATLAB_class"] == b"double"
        assert file["crs"].attrs["MATLAB_class"] == b"char"


@given(
    name=st.sampled_from(["s.h5", "s.mat"]),
    dtype=st.sampled_from(["u1", "i2", "u4", "i8", "f4", "f8"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70)),
    tile=st.integers(1, 70),
)
@settings(max_examples=30, deadline=None)
def test_any_type_shape_and_tiling_is_read_back_by_h5py(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    dtype: str,
    shape: tuple[int, int, int],
    tile: int,
) -> None:
    path = tmp_path_factory.mktemp("w") / name
    block = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 120
    _write(path, CubeSpec(*shape, np.dtype(dtype)), block, max(tile, max(shape) // 4))
    with h5py.File(path) as file:
        found = file["cube"][:]
    assert found.dtype == np.dtype(dtype)
    expected = block if name == "s.h5" else block.transpose(0, 2, 1)
    np.testing.assert_array_equal(found, expected)


def test_long_spectra_fit(tmp_path: Path) -> None:
    spectrum = Spectrum(tuple(400 + 0.1 * band for band in range(9000)))
    spec = CubeSpec(9000, 1, 2, np.dtype(np.uint8), spectrum=spectrum)
    _write(tmp_path / "s.h5", spec, np.ones(spec.shape, np.float32))
    with open_cube(tmp_path / "s.h5") as cube:
        assert cube.spec.spectrum == spectrum


@pytest.mark.parametrize("name", ["s.h5", "s.mat"])
def test_the_room_is_taken_before_the_first_pixel(tmp_path: Path, name: str) -> None:
    with create_cube(tmp_path / name, SPEC, "hdf5") as writer:
        (part,) = tmp_path.iterdir()
        assert part.stat().st_blocks * 512 >= SPEC.nbytes
        write_block(writer, SPEC.window, np.ones(SPEC.shape, np.float32))


@pytest.mark.parametrize("name", ["s.h5", "s.mat"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"old")
    writer = create_cube(tmp_path / name, SPEC, "hdf5")
    with pytest.raises(KeyboardInterrupt):
        _interrupt(writer)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with create_cube(tmp_path / "s.h5", SPEC, "hdf5") as writer:
        with pytest.raises(OutputError, match="another run"):
            create_cube(tmp_path / "s.h5", SPEC, "hdf5")
        write_block(writer, SPEC.window, np.ones(SPEC.shape, np.float32))
    with open_cube(tmp_path / "s.h5") as cube:
        assert np.nanmax(cube.read(cube.spec.window)) == 1


def test_a_cube_larger_than_the_disk_is_refused_before_it_is_begun(tmp_path: Path) -> None:
    spec = CubeSpec(1000, 10**6, 10**6, np.dtype(np.float32))
    with pytest.raises(OutputError, match="not enough disk"):
        create_cube(tmp_path / "s.h5", spec, "hdf5")
    assert list(tmp_path.iterdir()) == []
