"""Writing ENVI: other programs read the same values and metadata, and nothing is half written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import spectral
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, Interleave, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError, UsageError
from hsisr.formats import create_cube, envi, open_cube
from hsisr.formats.envi.header import parse_header
from hsisr.window import TilePlan, Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

DTYPES = ("uint8", "int16", "int32", "float32", "float64", "uint16", "uint32", "int64", "uint64")


def write(path: Path, spec: CubeSpec, block: NDArray[Any]) -> tuple[Path, ...]:
    with create_cube(path, spec, "envi") as writer:
        write_block(writer, spec.window, block.astype(np.float32))
    return writer.files


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_what_is_written_is_what_spectral_and_gdal_read(
    tmp_path: Path, rng: np.random.Generator, dtype: str, interleave: Interleave
) -> None:
    names = ("blue", "green", "red")
    spectrum = Spectrum((450.25, 550.1, 650.0), (5.5, 6.0, 7.25), (True, False, True))
    spec = CubeSpec(
        *(3, 5, 4), np.dtype(dtype), spectrum=spectrum, band_names=names, interleave=interleave
    )
    values = rng.integers(0, 256, spec.shape)
    write(tmp_path / "a.img", spec, values)
    spy = spectral.envi.open(str(tmp_path / "a.hdr"))
    np.testing.assert_array_equal(np.asarray(spy.open_memmap()).transpose(2, 0, 1), values)
    assert spy.bands.centers == list(spectrum.centres_nm)
    assert spy.bands.bandwidths == list(spectrum.widths_nm or ())
    assert spy.bands.band_unit == "Nanometers"
    assert spy.metadata["band names"] == list(names)
    assert spy.metadata["bbl"] == [1, 0, 1]
    assert spy.metadata["interleave"] == interleave
    with rasterio.open(tmp_path / "a.img") as gdal:
        np.testing.assert_array_equal(gdal.read(), values)
        assert gdal.dtypes == (dtype,) * 3
        assert [gdal.tags(band)["wavelength"] for band in (1, 2, 3)] == ["450.25", "550.1", "650.0"]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 8)),
    tile=st.integers(1, 9),
    interleave=st.sampled_from(["bsq", "bil", "bip"]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_tiles_in_any_order_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    tile: int,
    interleave: Interleave,
    dtype: str,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    block = rng.integers(0, 200, shape).astype(np.float32)
    spec = CubeSpec(*shape, np.dtype(dtype), interleave=interleave)
    path = tmp_path_factory.mktemp("out") / "a.img"
    tiles = list(TilePlan(shape[1], shape[2], (tile, tile), halo=0))
    with create_cube(path, spec, "envi") as writer:
        for i in rng.permutation(len(tiles)):
            write_block(writer, tiles[i].write, block[:, *tiles[i].write.slices])
    with open_cube(path) as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), block)
        assert replace(cube.spec, native=None) == spec


def test_a_header_with_thousands_of_bands_is_read_by_gdal_to_its_end(tmp_path: Path) -> None:
    centres = tuple(400.123456789 + i / 7 for i in range(3000))
    spec = CubeSpec(3000, 1, 1, np.dtype(np.uint8), spectrum=Spectrum(centres), nodata=7)
    write(tmp_path / "a.img", spec, np.zeros(spec.shape))
    with rasterio.open(tmp_path / "a.img") as file:
        assert file.nodata == 7
        assert float(file.tags(3000)["wavelength"]) == centres[-1]


@pytest.mark.parametrize("text", ["-9999", "{-9999}", "{ -9999.0 }", "{\n-9999\n}"])
def test_the_number_for_no_data_is_written_as_gdal_reads_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.img").write_bytes(np.int16([-9999, 7]).tobytes())
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 2\nlines = 1\nbands = 1\nheader offset = 0\ndata type = 2\n"
        f"interleave = bsq\nbyte order = 0\ndata ignore value = {text}\n"
    )
    with open_cube(tmp_path / "a.hdr") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), [[[np.nan, 7]]])
        spec = cube.spec.upscaled(2)
    write(tmp_path / "b.img", spec, np.zeros(spec.shape))
    with rasterio.open(tmp_path / "b.img") as file:
        assert file.nodata == -9999


@pytest.mark.parametrize("dtype", ["int8", "float16", "bool", "complex64"])
def test_a_type_that_envi_lacks_is_named_before_anything_is_written(
    tmp_path: Path, dtype: str
) -> None:
    with pytest.raises(UsageError, match=f"cannot store {dtype}"):
        create_cube(tmp_path / "a.img", CubeSpec(1, 1, 1, np.dtype(dtype)), "envi")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("bands", "interleave"), [(64, "bip"), (65, "bil")])
def test_a_wide_bip_cube_becomes_bil(tmp_path: Path, bands: int, interleave: str) -> None:
    spec = CubeSpec(bands, 2, 2, np.dtype(np.uint8), interleave="bip")
    block = np.arange(bands * 4).reshape(spec.shape) % 250
    write(tmp_path / "a.img", spec, block)
    with open_cube(tmp_path / "a.img") as cube:
        assert cube.spec.interleave == interleave
        np.testing.assert_array_equal(cube.read(cube.spec.window), block)


@pytest.mark.parametrize(
    ("name", "data", "header"),
    [
        ("a_x8.img", "a_x8.img", "a_x8.hdr"),
        ("a_x8.BIL", "a_x8.BIL", "a_x8.hdr"),
        ("a_x8.hdr", "a_x8.img", "a_x8.hdr"),
        ("a_x8", "a_x8", "a_x8.hdr"),
        ("flight.v1.2_x8", "flight.v1.2_x8", "flight.v1.2_x8.hdr"),
    ],
)
def test_the_two_files_are_announced_and_found_again(
    tmp_path: Path, name: str, data: str, header: str
) -> None:
    expected = (tmp_path / data, tmp_path / header)
    assert envi.outputs(tmp_path / name) == expected
    assert write(tmp_path / name, CubeSpec(1, 1, 1, np.dtype(np.uint8)), np.ones((1, 1, 1))) == (
        expected
    )
    assert sorted(tmp_path.iterdir()) == sorted(expected)
    for path in expected:
        with open_cube(path) as cube:
            assert cube.files == expected


def test_samples_beyond_the_type_are_clipped_and_counted(tmp_path: Path) -> None:
    spec = CubeSpec(1, 1, 4, np.dtype(np.uint8))
    with create_cube(tmp_path / "a.img", spec, "envi") as writer:
        for col, values in ((0, (-0.6, 255.4)), (2, (300, np.nan))):
            block = np.array(values, np.float32).reshape(1, 1, 2)
            assert write_block(writer, Window(0, col, 1, 2), block) == 1
    assert (tmp_path / "a.img").read_bytes() == bytes([0, 255, 255, 0])


def test_an_error_leaves_the_older_pair_as_it_was(tmp_path: Path) -> None:
    spec = CubeSpec(1, 1, 1, np.dtype(np.uint8))
    write(tmp_path / "a.img", spec, np.full((1, 1, 1), 5))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def stop_halfway() -> None:
        with create_cube(tmp_path / "a.img", spec, "envi") as writer:
            write_block(writer, spec.window, np.full((1, 1, 1), 9, np.float32))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_halfway()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_is_visible_before_the_end_and_stale_parts_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.img.part").write_bytes(bytes(1000))
    (tmp_path / "a.hdr.part").write_bytes(b"x" * 1000)
    spec = CubeSpec(1, 1, 2, np.dtype(np.int16))
    with create_cube(tmp_path / "a.img", spec, "envi") as writer:
        write_block(writer, spec.window, np.array([[[1, 2]]], np.float32))
        assert not (tmp_path / "a.img").exists()
        assert not (tmp_path / "a.hdr").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdr", "a.img"]
    assert (tmp_path / "a.img").read_bytes() == b"\1\0\2\0"


def test_a_publication_that_was_interrupted_is_finished_before_a_new_one_begins(
    tmp_path: Path,
) -> None:
    spec = CubeSpec(1, 1, 1, np.dtype(np.uint8))
    write(tmp_path / "a.img", spec, np.full((1, 1, 1), 5))
    for name in ("a.img", "a.hdr"):
        (tmp_path / name).rename(tmp_path / f"{name}.part")
    (tmp_path / "a.hdr.commit.part").write_text('["a.img", "a.hdr"]')
    with pytest.raises(KeyError), create_cube(tmp_path / "a.img", spec, "envi"):
        raise KeyError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdr", "a.img"]
    with open_cube(tmp_path / "a.img") as cube:
        assert cube.read(spec.window).item() == 5


def test_two_runs_cannot_write_the_same_pair(tmp_path: Path) -> None:
    spec = CubeSpec(1, 1, 1, np.dtype(np.uint8))
    with create_cube(tmp_path / "a.img", spec, "envi") as writer:
        with pytest.raises(OutputError, match="another run"):
            create_cube(tmp_path / "a.img", spec, "envi")
        write_block(writer, spec.window, np.full((1, 1, 1), 3, np.float32))
    assert (tmp_path / "a.img").read_bytes() == b"\3"


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        create_cube(tmp_path / "none" / "a.img", CubeSpec(1, 1, 1, np.dtype(np.uint8)), "envi")


def test_a_real_scene_passes_through_unchanged(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("envi/fenix/image.hdr")
    with open_cube(source) as cube, create_cube(tmp_path / "a.dat", cube.spec, "envi") as writer:
        for tile in TilePlan(cube.spec.rows, cube.spec.cols, tile=(16, 16), halo=0):
            write_block(writer, tile.write, cube.read(tile.read))
    assert (tmp_path / "a.dat").read_bytes() == source.with_suffix(".dat").read_bytes()
    before = dict(parse_header(source.read_text()).entries)
    after = dict(parse_header((tmp_path / "a.hdr").read_text()).entries)
    assert after == before
