"""Reading ENVI: the values and the windows, compared with other readers."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import spectral
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsisr.cube import Interleave
from hsisr.errors import InputError
from hsisr.formats import ReadOptions, envi, open_cube
from hsisr.formats._layout import RawLayout
from hsisr.formats.envi.spec import AXES
from hsisr.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CODES = {
    1: np.uint8,
    2: np.int16,
    3: np.int32,
    4: np.float32,
    5: np.float64,
    12: np.uint16,
    13: np.uint32,
    14: np.int64,
    15: np.uint64,
}
STORED = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
"""The axes of (bands, rows, cols) in the order in which they are stored."""


def scene(
    folder: Path,
    cube: NDArray[np.generic],
    *,
    interleave: str = "bsq",
    byte_order: int = 0,
    offset: int = 0,
    extra: str = "",
) -> Path:
    """A pair of files that holds `cube` (bands, rows, cols), written by other means."""
    code = next(code for code, kind in CODES.items() if cube.dtype == kind)
    stored = np.ascontiguousarray(cube.transpose(STORED[interleave]))
    order = "<>"[byte_order]
    (folder / "scene.img").write_bytes(
        bytes(offset) + stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    )
    bands, rows, cols = cube.shape
    (folder / "scene.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = {offset}\n"
        f"file type = ENVI Standard\ndata type = {code}\ninterleave = {interleave}\n"
        f"byte order = {byte_order}\n{extra}"
    )
    return folder / "scene.hdr"


def cube_of(
    rng: np.random.Generator, kind: type, shape: tuple[int, int, int]
) -> NDArray[np.generic]:
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return rng.normal(0, 1e3, shape).astype(kind)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("interleave", STORED)
@pytest.mark.parametrize(("byte_order", "offset"), [(0, 0), (1, 0), (0, 37), (1, 512)])
def test_values_are_those_that_spectral_and_gdal_read(
    tmp_path: Path,
    rng: np.random.Generator,
    code: int,
    interleave: str,
    byte_order: int,
    offset: int,
) -> None:
    stored = cube_of(rng, CODES[code], (4, 3, 5))
    header = scene(tmp_path, stored, interleave=interleave, byte_order=byte_order, offset=offset)
    with open_cube(header) as cube:
        block = cube.read(cube.spec.window)
        assert cube.spec.dtype == CODES[code]
        assert cube.spec.interleave == interleave
    other = np.asarray(spectral.envi.open(str(header)).open_memmap()).transpose(2, 0, 1)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, other.astype(np.float32))
    with rasterio.open(tmp_path / "scene.img") as gdal:
        np.testing.assert_array_equal(block, gdal.read().astype(np.float32))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_window_is_a_slice_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # rows of the wide one are longer than a page, those of the others are read in full
    cols = st.integers(1, 6) | st.just(4200)
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 7), cols))
    code = data.draw(st.sampled_from(sorted(CODES)))
    stored = cube_of(np.random.default_rng(data.draw(st.integers(0, 99))), CODES[code], shape)
    folder = tmp_path_factory.mktemp("scene")
    header = scene(
        folder,
        stored,
        interleave=data.draw(st.sampled_from(sorted(STORED))),
        byte_order=data.draw(st.sampled_from([0, 1])),
        offset=data.draw(st.integers(0, 9)),
    )
    row, col = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[2] - 1))
    window = Window(
        *(row, col),
        height=data.draw(st.integers(1, shape[1] - row)),
        width=data.draw(st.integers(1, shape[2] - col)),
    )
    first = data.draw(st.integers(0, shape[0] - 1))
    bands = slice(first, data.draw(st.integers(first + 1, shape[0])))
    with open_cube(header) as cube:
        block = cube.read(window, bands)
    assert block.flags.c_contiguous
    np.testing.assert_array_equal(block, stored[bands, *window.slices].astype(np.float32))


@pytest.mark.parametrize(
    ("interleave", "window", "pieces"),
    [
        ("bsq", Window(2, 0, 5, 4), (3, 5 * 4)),
        ("bil", Window(2, 0, 5, 4), (1, 5 * 3 * 4)),
        ("bip", Window(2, 0, 5, 4), (1, 5 * 4 * 3)),
        ("bsq", Window(2, 1, 5, 2), (3 * 5, 2)),
        ("bil", Window(2, 1, 5, 2), (5 * 3, 2)),
        ("bip", Window(2, 1, 5, 2), (5, 2 * 3)),
        ("bsq", Window(0, 0, 8, 4), (1, 8 * 4 * 3)),
    ],
)
def test_a_window_is_read_in_the_fewest_pieces_and_nothing_beside_it(
    interleave: Interleave, window: Window, pieces: tuple[int, int]
) -> None:
    layout = RawLayout(AXES[interleave], (3, 8, 4), np.dtype(np.int16))
    [(_, shape, offsets)] = layout.slabs(layout.box(window))
    assert (len(offsets), math.prod(shape) // len(offsets)) == pieces


def test_a_scene_larger_than_memory_opens_and_its_last_pixel_is_read(tmp_path: Path) -> None:
    bands, rows, cols = 3, 40_000, 70_000
    header = scene(tmp_path, np.zeros((1, 1, 1), np.uint16), interleave="bsq")
    header.write_text(header.read_text().replace("lines = 1", f"lines = {rows}"))
    header.write_text(header.read_text().replace("samples = 1\n", f"samples = {cols}\n"))
    header.write_text(header.read_text().replace("bands = 1", f"bands = {bands}"))
    size = bands * rows * cols * 2
    with (tmp_path / "scene.img").open("r+b") as data:
        data.truncate(size)
        data.seek(size - 2)
        data.write(b"\x07\x01")
    with open_cube(header) as cube:
        block = cube.read(Window(rows - 2, cols - 2, 2, 2))
    np.testing.assert_array_equal(block[:, 1, 1], [0, 0, 263])


def test_gaps_and_infinities_become_nan(tmp_path: Path) -> None:
    stored = np.array([[[1.0, -1.23e34, np.nan, np.inf, -0.0, 1e38, 1e-40]]], np.float32)
    header = scene(tmp_path, stored, extra="data ignore value = -1.23e+34\n")
    with open_cube(header) as cube:
        block = cube.read(cube.spec.window)
    expected = np.array([[[1.0, np.nan, np.nan, np.nan, -0.0, 1e38, 1e-40]]], np.float32)
    np.testing.assert_array_equal(block, expected)


def test_numbers_beyond_float32_are_no_data(tmp_path: Path) -> None:
    header = scene(tmp_path, np.array([[[1e300, 2.5]]], np.float64))
    with open_cube(header) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), [[[np.nan, 2.5]]])


@pytest.mark.parametrize(("factor", "notes"), [("10000", 0), ("0.0001", 1)])
def test_a_scale_factor_divides_as_spectral_does(
    tmp_path: Path, rng: np.random.Generator, factor: str, notes: int
) -> None:
    extra = f"reflectance scale factor = {factor}\n"
    header = scene(tmp_path, cube_of(rng, np.int16, (2, 4, 4)), extra=extra)
    with open_cube(header) as cube:
        block = cube.read(cube.spec.window)
        assert sum("1 becomes 10000" in note for note in cube.notes) == notes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = np.asarray(spectral.envi.open(str(header)).load())
    np.testing.assert_allclose(block, other.transpose(2, 0, 1), rtol=2e-7)


def test_gains_and_offsets_are_those_that_gdal_reads(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    extra = "data gain values = {0.5, 0.25}\ndata offset values = {-1, 3}\n"
    header = scene(tmp_path, cube_of(rng, np.uint16, (2, 3, 3)), extra=extra)
    with rasterio.open(tmp_path / "scene.img") as gdal:
        scales, offsets = np.array(gdal.scales), np.array(gdal.offsets)
        expected = gdal.read() * scales[:, None, None] + offsets[:, None, None]
    with open_cube(header) as cube:
        np.testing.assert_allclose(cube.read(cube.spec.window), expected, rtol=1e-6)


def test_a_scale_factor_and_gains_are_never_both_applied(tmp_path: Path) -> None:
    extra = "reflectance scale factor = 100\ndata gain values = {7}\n"
    header = scene(tmp_path, np.full((1, 1, 1), 50, np.uint8), extra=extra)
    with open_cube(header) as cube:
        assert cube.read(cube.spec.window).item() == pytest.approx(0.5)
        assert any("only the scale factor is applied" in note for note in cube.notes)


@pytest.mark.parametrize("change", ["cut", "longer", "touched"])
def test_a_file_that_changes_while_it_is_open_is_refused(tmp_path: Path, change: str) -> None:
    header = scene(tmp_path, np.zeros((1, 8, 8), np.uint8))
    data = tmp_path / "scene.img"
    with open_cube(header) as cube:
        if change == "touched":
            os.utime(data, ns=(1, 1))
        else:
            os.truncate(data, 10 if change == "cut" else 100)
        with pytest.raises(InputError, match=r"while it was being read") as caught:
            cube.read(cube.spec.window)
    assert caught.value.where == str(data)


def test_the_scene_is_never_opened_for_writing(tmp_path: Path) -> None:
    header = scene(tmp_path, np.zeros((2, 2, 2), np.uint8))
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    with open_cube(header) as cube:
        cube.read(cube.spec.window)
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("window", [Window(2, 0, 3, 4), Window(0, 3, 4, 2)])
def test_a_window_beyond_the_scene_is_a_bug_of_the_caller(tmp_path: Path, window: Window) -> None:
    header = scene(tmp_path, np.zeros((1, 4, 4), np.uint8))
    with open_cube(header) as cube, pytest.raises(ValueError, match="not inside"):
        cube.read(window)


REFUSED = {
    "envi/emit/fake_refl.hdr": "no data file",
    "envi/georeferenced/lats_full_vnir.hdr": "no data file",
    "envi/georeferenced/lons_full_vnir.hdr": "no data file",
    "envi/headwall/darkReference2.hdr": "list of 35",
    "envi/headwall/darkReference4.hdr": "interleave",
    "envi/headwall/darkReference_arcgis.hdr": "ESRI",
    "libraries/spectra.sli.hdr": "spectral library",
}


def test_every_real_scene_is_read_as_spectral_reads_it_or_refused(
    shared_data: Callable[[str], Path],
) -> None:
    root = shared_data("envi").parent
    headers = sorted(root.rglob("*.hdr"))
    assert len(headers) > 60
    refused = {}
    for header in headers:
        try:
            cube = envi.read(header, ReadOptions())
        except InputError as error:
            refused[str(header.relative_to(root))] = error.what
            continue
        with cube:
            block = cube.read(cube.spec.window)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                spy = spectral.envi.open(str(header), str(cube.files[0]))
                other = np.asarray(spy.open_memmap()).transpose(2, 0, 1)
        np.testing.assert_allclose(
            block, _physical(other, cube.spec.nodata, spy.metadata), rtol=3e-7, err_msg=header.name
        )
    assert refused.keys() == REFUSED.keys()
    assert all(word in refused[name] for name, word in REFUSED.items())


def _physical(
    stored: NDArray[np.generic], nodata: float | None, metadata: dict[str, Any]
) -> NDArray[np.float64]:
    values = stored.astype(np.float64) / float(metadata.get("reflectance scale factor", 1))
    if "data gain values" in metadata:
        values = values * float(metadata["data gain values"][0])
        values += float(metadata["data offset values"][0])
    values[~np.isfinite(values)] = np.nan
    return values if nodata is None else np.where(stored == nodata, np.nan, values)
