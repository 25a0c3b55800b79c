"""Written MAT files, read back by SciPy, mat73 and hsisr."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mat73
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from hsisr.cube import CubeSpec, CubeWriter, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError
from hsisr.formats import create_cube, mat5, open_cube
from hsisr.formats._variables import Origin
from hsisr.window import Window

SPEC = CubeSpec(
    5,
    7,
    11,
    np.dtype(np.int16),
    nodata=-999.0,
    gain=(0.01,),
    spectrum=Spectrum((400.0, 500.0, 600.0, 700.0, 804.5), (10.0,) * 5, (True,) * 4 + (False,)),
    geo=Geo((2.0, 0.0, 100.0, 0.0, -2.0, 900.0), "EPSG:32611"),
    band_names=("a", "b", "c", "d", "é"),
    description="two\nlines",
    native=Origin("refl"),
)


def _interrupt(writer: CubeWriter) -> None:
    with writer:
        write_block(writer, Window(0, 0, 2, 11), np.zeros((5, 2, 11), np.float32))
        raise KeyboardInterrupt


def _write(path: Path, spec: CubeSpec, block: np.ndarray, rows: int = 3) -> int:
    clipped = 0
    with create_cube(path, spec, "mat5") as writer:
        for row in range(0, spec.rows, rows):
            height = min(rows, spec.rows - row)
            window = Window(row, 0, height, spec.cols)
            clipped += write_block(writer, window, block[:, row : row + height])
    return clipped


def test_scipy_reads_rows_columns_bands_and_the_metadata(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    stored = rng.integers(-500, 500, SPEC.shape, np.int16)
    assert _write(tmp_path / "s.mat", SPEC, stored * np.float32(0.01)) == 0
    found = loadmat(tmp_path / "s.mat")
    assert found["refl"].dtype == np.int16
    np.testing.assert_array_equal(found["refl"], stored.transpose(1, 2, 0))
    np.testing.assert_array_equal(found["wavelength"].ravel(), [400, 500, 600, 700, 804.5])
    np.testing.assert_array_equal(found["fwhm"].ravel(), [10] * 5)
    assert found["crs"] == ["EPSG:32611"]


@pytest.mark.parametrize("largest", [2**28, 0])
def test_everything_comes_back(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(mat5, "_LARGEST", largest)
    block = rng.integers(-300, 300, SPEC.shape).astype(np.float32)
    block[:, 2, 3] = np.nan
    _write(tmp_path / "s.mat", SPEC, block)
    with open_cube(tmp_path / "s.mat") as cube:
        assert cube.spec == SPEC
        np.testing.assert_allclose(cube.read(cube.spec.window), block, rtol=1e-6)
        assert cube.format == ("mat5" if largest else "hdf5")


def test_a_large_cube_is_written_as_v73_which_mat73_reads(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mat5, "_LARGEST", SPEC.nbytes)
    stored = rng.integers(-500, 500, SPEC.shape, np.int16)
    _write(tmp_path / "s.mat", SPEC, stored * np.float32(0.01))
    assert (tmp_path / "s.mat").read_bytes()[:19] == b"MATLAB 7.3 MAT-file"
    found = mat73.loadmat(tmp_path / "s.mat")
    np.testing.assert_array_equal(found["refl"], stored.transpose(1, 2, 0))
    np.testing.assert_array_equal(found["wavelength"], SPEC.spectrum and SPEC.spectrum.centres_nm)
    assert found["crs"] == "EPSG:32611"
    assert found["band_names"] == "a\nb\nc\nd\né"


@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"]),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_scipy_reads_any_type_and_shape(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: tuple[int, int, int]
) -> None:
    path = tmp_path_factory.mktemp("w") / "s.mat"
    block = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 120
    _write(path, CubeSpec(*shape, np.dtype(dtype)), block)
    found = loadmat(path)["cube"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, block.transpose(1, 2, 0))


def test_half_precision_becomes_single_because_matlab_has_none(tmp_path: Path) -> None:
    spec = CubeSpec(2, 3, 4, np.dtype(np.float16))
    _write(tmp_path / "s.mat", spec, np.full(spec.shape, 0.1, np.float32))
    np.testing.assert_array_equal(loadmat(tmp_path / "s.mat")["cube"], np.float32(0.1))


@pytest.mark.parametrize("name", ["wavelength", "9lives", "x" * 64, "with space", "a/b-c"])
def test_a_name_that_matlab_or_hsisr_would_misread_is_replaced(tmp_path: Path, name: str) -> None:
    spec = replace(SPEC, native=Origin(name))
    _write(tmp_path / "s.mat", spec, np.zeros(spec.shape, np.float32))
    assert loadmat(tmp_path / "s.mat")["cube"].shape == (7, 11, 5)


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    spec = CubeSpec(1, 2, 3, np.dtype(np.uint8))
    assert _write(tmp_path / "s.mat", spec, np.full(spec.shape, 300, np.float32)) == 6
    assert loadmat(tmp_path / "s.mat")["cube"].max() == 255


@pytest.mark.parametrize("largest", [2**28, 0])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(mat5, "_LARGEST", largest)
    (tmp_path / "s.mat").write_bytes(b"old")
    writer = create_cube(tmp_path / "s.mat", SPEC, "mat5")
    with pytest.raises(KeyboardInterrupt):
        _interrupt(writer)
    assert [file.name for file in tmp_path.iterdir()] == ["s.mat"]
    assert (tmp_path / "s.mat").read_bytes() == b"old"


def test_a_cube_larger_than_the_disk_is_refused_before_it_is_begun(tmp_path: Path) -> None:
    spec = CubeSpec(1000, 10**6, 10**6, np.dtype(np.float32))
    with pytest.raises(OutputError, match="not enough disk"):
        create_cube(tmp_path / "s.mat", spec, "mat5")
    assert list(tmp_path.iterdir()) == []
