"""Outputs beyond 2, 4 and 6 GiB: other programs find the first and the last pixel.

Their room is reserved on the disk, and given back; only two windows are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, Interleave
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube
from hsisr.window import Window

pytestmark = [
    pytest.mark.large,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

GIB = 2**30
BANDS, COLS = 48, 4096
Corners = Callable[[Path, CubeSpec], tuple[NDArray[np.float32], NDArray[np.float32]]]


def spec_of(size: float, interleave: Interleave = "bsq") -> CubeSpec:
    rows = int(size / (BANDS * COLS * 2)) + 1
    return CubeSpec(BANDS, rows, COLS, np.dtype(np.int16), interleave=interleave)


def by_gdal(path: Path, spec: CubeSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with rasterio.open(path) as file:
        assert (file.count, file.height, file.width) == spec.shape
        last = ((spec.rows - 1, spec.rows), (spec.cols - 1, spec.cols))
        first = file.read(window=((0, 1), (0, 1)))
        return first.ravel(), file.read(window=last).ravel()


def by_h5py(path: Path, spec: CubeSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with h5py.File(path) as file:
        cube = file["cube"]
        assert cube.attrs["MATLAB_class"] == b"int16"
        assert cube.shape == (spec.bands, spec.cols, spec.rows)
        return cube[:, 0, 0], cube[:, -1, -1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("format_name", "name", "spec", "corners"),
    [
        ("envi", "a.img", spec_of(6 * GIB, "bsq"), by_gdal),
        ("envi", "a.img", spec_of(6 * GIB, "bil"), by_gdal),
        ("envi", "a.img", spec_of(6 * GIB, "bip"), by_gdal),
        ("tiff", "a.tif", spec_of(4.5 * GIB, "bsq"), by_gdal),
        ("tiff", "a.tif", spec_of(4.5 * GIB, "bip"), by_gdal),
        ("mat5", "a.mat", spec_of(2.2 * GIB), by_h5py),
        ("hdf5", "a.nc", spec_of(4.5 * GIB), by_gdal),
    ],
)
def test_the_first_and_the_last_pixel_of_a_large_cube_are_where_they_belong(
    folder: Path, format_name: str, name: str, spec: CubeSpec, corners: Corners
) -> None:
    first, last = np.arange(1, BANDS + 1), np.arange(101, BANDS + 101)
    with create_cube(folder / name, spec, format_name) as writer:
        for window, numbers in (
            (Window(0, 0, 2, COLS), first),
            (Window(spec.rows - 2, 0, 2, COLS), last),
        ):
            block = np.broadcast_to(numbers[:, None, None], (BANDS, 2, COLS))
            assert write_block(writer, window, block.astype(np.float32)) == 0
    assert (folder / name).stat().st_size >= spec.nbytes
    np.testing.assert_array_equal(corners(folder / name, spec), (first, last))
    with open_cube(folder / name) as cube:
        assert cube.spec.shape == spec.shape
        found = cube.read(Window(spec.rows - 1, spec.cols - 1, 1, 1)).ravel()
        np.testing.assert_array_equal(found, last)
