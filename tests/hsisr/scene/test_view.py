"""A part of a scene, written and read back by other programs: where it lies, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import spectral
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer
from spectral.io.envi import read_envi_header

from hsisr.cube import ArrayCube, Cube, CubeSpec, Spectrum
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube
from hsisr.scene.view import View, part_of
from hsisr.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

BANDS, ROWS, COLS = 5, 20, 30
PART = Window(7, 11, 6, 9)
CHOSEN = (3, 0, 4)
SCALE = 4
HEADER = f"""ENVI
description = {{1, 2, 3, 4, 5}}
samples = {COLS}
lines = {ROWS}
bands = {BANDS}
header offset = 0
file type = ENVI Standard
data type = 12
interleave = bil
byte order = 0
x start = 101
y start = 51
wavelength units = Micrometers
wavelength = {{0.4045, 0.5, 0.6, 0.7, 0.8}}
fwhm = {{0.01, 0.02, 0.03, 0.04, 0.05}}
bbl = {{1, 1, 0, 0, 1}}
band names = {{a, b, c, d, e}}
default bands = {{5, 4, 1}}
data gain values = {{1, 2, 3, 4, 5}}
data offset values = {{0, 0, 0, 10, 20}}
solar irradiance = {{11, 12, 13, 14, 15,}}
smile of my sensor = {{
 .1, .2, .3,
 .4, .5}}
temperatures = {{20, 21}}
"""


def envi(folder: Path, map_info: str = "", header: str = HEADER) -> Path:
    """A scene whose samples count up; returns its header."""
    samples = np.arange(BANDS * ROWS * COLS, dtype="<u2").reshape(BANDS, ROWS, COLS)
    (folder / "scene.img").write_bytes(samples.transpose(1, 0, 2).tobytes())
    place = f"map info = {{{map_info}}}\n" if map_info else ""
    (folder / "scene.hdr").write_text(header + place)
    return folder / "scene.hdr"


def write_upscaled(cube: Cube, target: Path, format_name: str) -> Path:
    spec = cube.spec.upscaled(SCALE)
    finer = cube.read(cube.spec.window).repeat(SCALE, 1).repeat(SCALE, 2)
    with create_cube(target, spec, format_name) as writer:
        write_block(writer, spec.window, finer)
    return target


def corners(path: Path, window: Window | None = None) -> np.ndarray:
    """Of a file, or of a window of it, as GDAL sees them."""
    with rasterio.open(path) as file:
        part = window or Window(0, 0, file.height, file.width)
        points = [(c, r) for c in (part.col, part.col_stop) for r in (part.row, part.row_stop)]
        return np.array([file.transform @ point for point in points])


def assert_in_place(target: Path, source: Path) -> None:
    wanted = corners(source, PART)
    extent = np.ptp(corners(source), axis=0).max()
    np.testing.assert_allclose(corners(target), wanted, rtol=0, atol=1e-9 * extent)


@pytest.mark.parametrize("reference", ["1, 1", "1.5, 1.5", "37.25, 1", "-3, 12.125"])
@pytest.mark.parametrize(
    "place",
    [
        "500000, 4600000, 30, 30, 32, North, WGS-84, units=Meters",
        "384341.17, 5818393.55, 5.02, 5.02, 33, North, WGS-84, units=Meters, rotation=33.21",
        "384341.17, 5818393.55, 5.02, 5.02, 33, North, WGS-84, rotation=-147.5",
    ],
)
def test_a_window_of_an_envi_scene_stays_where_it_is(
    tmp_path: Path, reference: str, place: str
) -> None:
    source = envi(tmp_path, f"UTM, {reference}, {place}")
    with open_cube(source) as cube:
        view = View(cube, CHOSEN, PART)
        wanted = view.spec.geo.corners(PART.height, PART.width)
        target = write_upscaled(view, tmp_path / "part.img", "envi")
    assert_in_place(target, tmp_path / "scene.img")
    with open_cube(target) as again:
        found = again.spec.geo.corners(again.spec.rows, again.spec.cols)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-7)
        assert again.spec.geo.crs.startswith("EPSG:326")


def test_a_window_of_a_geographic_envi_scene_stays_where_it_is(tmp_path: Path) -> None:
    place = "1.5, 1.5, 77.66173725796105, 12.9311, 9.195265679407681e-05, 9.2e-05, WGS-84"
    source = envi(tmp_path, f"Geographic Lat/Lon, {place}")
    with open_cube(source) as cube:
        target = write_upscaled(View(cube, None, PART), tmp_path / "part.img", "envi")
    assert_in_place(target, tmp_path / "scene.img")


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize(
    "transform",
    [
        rasterio.Affine(30.0, 0.0, 499_985.0, 0.0, -30.0, 4_600_015.0),
        rasterio.Affine(4.2, 2.75, 384_341.17, 2.75, -4.2, 5_818_393.55),
        rasterio.Affine(30.0, 0.0, 5e5, 0.0, 30.0, 4.6e6),
    ],
)
def test_a_window_of_a_tiff_stays_where_it_is(
    tmp_path: Path, transform: rasterio.Affine, point: bool
) -> None:
    source = tmp_path / "scene.tif"
    with rasterio.open(
        source, "w", driver="GTiff", count=BANDS, height=ROWS, width=COLS, dtype="uint8",
        transform=transform, crs="EPSG:32633",
    ) as file:  # fmt: skip
        if point:
            file.update_tags(AREA_OR_POINT="Point")
    with open_cube(source) as cube:
        for target, name in ((tmp_path / "part.tif", "tiff"), (tmp_path / "part.h5", "hdf5")):
            write_upscaled(View(cube, CHOSEN, PART), target, name)
    assert_in_place(tmp_path / "part.tif", source)
    with open_cube(tmp_path / "part.h5") as again, rasterio.open(tmp_path / "part.tif") as tiff:
        np.testing.assert_allclose(again.spec.geo.transform, tiff.transform[:6], rtol=1e-14)


def test_the_rational_polynomials_of_a_tiff_follow_its_window(tmp_path: Path) -> None:
    coefficients = [0.0] * 20
    rpc = RPC(
        height_off=10, height_scale=100, lat_off=45, lat_scale=1, long_off=7, long_scale=1,
        line_off=9.5, line_scale=10, samp_off=14.5, samp_scale=15,
        line_num_coeff=[0, 0, -1, *coefficients[3:]], line_den_coeff=[1, *coefficients[1:]],
        samp_num_coeff=[0, 1, *coefficients[2:]], samp_den_coeff=[1, *coefficients[1:]],
    )  # fmt: skip
    source = tmp_path / "scene.tif"
    with rasterio.open(
        source, "w", driver="GTiff", count=1, height=ROWS, width=COLS, dtype="uint8"
    ) as file:
        file.rpcs = rpc
    with open_cube(source) as cube:
        target = write_upscaled(View(cube, None, PART), tmp_path / "part.tif", "tiff")
    with rasterio.open(target) as file, RPCTransformer(file.rpcs) as finer:
        line, sample = finer.rowcol(7.25, 45.5, zs=10, op=float)
    with RPCTransformer(rpc) as coarse:
        before_line, before_sample = coarse.rowcol(7.25, 45.5, zs=10, op=float)
    # GDAL counts from the corner of the first pixel, in the coarse grid and in the fine
    assert math.isclose(line, (before_line - PART.row) * SCALE, abs_tol=1e-6)
    assert math.isclose(sample, (before_sample - PART.col) * SCALE, abs_tol=1e-6)


def test_lists_of_the_header_have_a_value_for_each_chosen_band(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path)) as cube:
        write_upscaled(View(cube, CHOSEN, PART), tmp_path / "part.img", "envi")
    found = spectral.open_image(str(tmp_path / "part.hdr"))
    assert found.shape == (PART.height * SCALE, PART.width * SCALE, 3)
    assert found.bands.centers == [0.7, 0.4045, 0.8]
    assert found.bands.bandwidths == [0.04, 0.01, 0.05]
    assert found.bands.band_unit == "Micrometers"
    metadata = read_envi_header(str(tmp_path / "part.hdr"))
    lists = {
        "bbl": ["0", "1", "1"],
        "band names": ["d", "a", "e"],
        "default bands": ["3", "1", "2"],
        "data gain values": ["4", "1", "5"],
        "data offset values": ["10", "0", "20"],
        "solar irradiance": ["14", "11", "15"],
        "smile of my sensor": [".4", ".1", ".5"],
        "temperatures": ["20", "21"],
    }
    for key, values in lists.items():
        assert metadata[key] == values
    assert metadata["description"] == "1, 2, 3, 4, 5"
    assert metadata["x start"] == str((101 + PART.col - 1) * SCALE + 1)
    assert metadata["y start"] == str((51 + PART.row - 1) * SCALE + 1)


def test_a_window_alone_leaves_the_words_about_bands(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path)) as cube:
        write_upscaled(View(cube, None, PART), tmp_path / "part.img", "envi")
    written = (tmp_path / "part.hdr").read_text()
    for line in ("default bands = {5, 4, 1}", "smile of my sensor = {\n .1, .2, .3,\n .4, .5}"):
        assert line in written


def test_the_samples_are_those_of_the_chosen_bands_and_pixels(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path)) as cube:
        target = write_upscaled(View(cube, CHOSEN, PART), tmp_path / "part.img", "envi")
    with rasterio.open(tmp_path / "scene.img") as before, rasterio.open(target) as after:
        stored = before.read()[list(CHOSEN)][:, *PART.slices]
        np.testing.assert_array_equal(after.read()[:, ::SCALE, ::SCALE], stored)


def test_bands_that_are_shown_by_default_but_not_taken_are_not_named(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path)) as cube:
        write_upscaled(View(cube, (0, 1, 4)), tmp_path / "part.img", "envi")
    assert "default bands" not in (tmp_path / "part.hdr").read_text()


def test_bad_bands_that_are_asked_for_are_not_bad(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path)) as cube:
        view = View(cube, (2, 3))
        assert view.spec.spectrum.good is None
        write_upscaled(view, tmp_path / "part.img", "envi")
    with open_cube(tmp_path / "part.img") as again:
        assert again.spec.spectrum.centres_nm == (600, 700)
        assert again.spec.spectrum.good is None


def test_geo_points_and_polynomials_of_a_header_follow_the_window(tmp_path: Path) -> None:
    polynomials = ", ".join(["12.5", "20.25", *["1"] * 91])
    header = f"{HEADER}geo points = {{1, 1, 45, 7, 30, 20, 44, 8}}\nrpc info = {{{polynomials}}}\n"
    with open_cube(envi(tmp_path, header=header)) as cube:
        native = View(cube, None, PART).spec.native.header
    points = [number.strip() for number in native.values("geo points")[0].strip("{}").split(",")]
    assert points == ["-10", "-6", "45", "7", "19", "13", "44", "8"]
    numbers = native.values("rpc info")[0].strip("{}").split(",")
    assert [float(number) for number in numbers[:3]] == [5.5, 9.25, 1]


def test_a_place_that_is_not_understood_is_not_carried_over(tmp_path: Path) -> None:
    with open_cube(envi(tmp_path, "UTM, 1, 1, here, there, 30, 30")) as cube:
        write_upscaled(View(cube, None, PART), tmp_path / "part.img", "envi")
    assert "map info" not in (tmp_path / "part.hdr").read_text()


@pytest.mark.parametrize(
    ("name", "format_name"), [("part.tif", "tiff"), ("part.h5", "hdf5"), ("part.mat", "mat5")]
)
def test_other_formats_tell_the_same_about_the_part(
    tmp_path: Path, name: str, format_name: str
) -> None:
    with open_cube(envi(tmp_path)) as cube:
        view = View(cube, CHOSEN, PART)
        target = write_upscaled(view, tmp_path / name, format_name)
        wanted = view.read(view.spec.window)
    with open_cube(target) as again:
        assert again.spec.spectrum == Spectrum((700, 404.5, 800), (40, 10, 50), (False, True, True))
        assert again.spec.band_names == ("d", "a", "e")
        found = again.read(again.spec.window)[:, ::SCALE, ::SCALE]
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("bands", [(1,), (1, 2, 3), (4, 3), (3, 0, 4)], ids=str)
@pytest.mark.parametrize("name", ["a.img", "a.tif", "a.h5", "a.mat", "a.npy"])
def test_bands_of_any_file_are_those_of_the_whole(
    tmp_path: Path, name: str, bands: tuple[int, ...]
) -> None:
    spec = CubeSpec(BANDS, ROWS, COLS, np.dtype(np.int16), gain=(1.0, 2.0, 3.0, 4.0, 5.0))
    spec = spec if name in ("a.img", "a.tif") else replace(spec, gain=None)
    values = np.arange(BANDS * ROWS * COLS, dtype=np.float32).reshape(BANDS, ROWS, COLS)
    values *= np.array(spec.gain or (1,) * BANDS, np.float32)[:, None, None]
    formats = {".img": "envi", ".tif": "tiff", ".h5": "hdf5", ".mat": "mat5", ".npy": "npy"}
    with create_cube(tmp_path / name, spec, formats[Path(name).suffix]) as writer:
        write_block(writer, spec.window, values)
    with open_cube(tmp_path / name) as cube:
        view = View(cube, bands, PART)
        found = view.read(view.spec.window)
    np.testing.assert_array_equal(found, values[list(bands)][:, *PART.slices])


def test_bands_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    spec = CubeSpec(40, 100, 120, np.dtype(np.int16))
    with create_cube(tmp_path / "a.img", spec, "envi") as writer:
        write_block(writer, spec.window, np.ones(spec.shape, np.float32))
    with open_cube(tmp_path / "a.img") as cube:
        view, before = View(cube, (7, 8)), bytes_read()
        view.read(view.spec.window)
        read = bytes_read() - before
    assert 2 * 100 * 120 * 2 <= read < 3 * 100 * 120 * 2


def bytes_read() -> int:
    """By this process, as the system counts them."""
    first = Path("/proc/self/io").read_text().splitlines()[0]
    return int(first.removeprefix("rchar:"))


def test_a_window_of_a_view_is_counted_from_its_corner(
    cube: Callable[..., ArrayCube], tmp_path: Path
) -> None:
    scene = cube(ROWS, COLS, bands=BANDS)
    view = View(scene, CHOSEN, PART)
    part = Window(2, 1, 3, 5)
    whole = scene.read(scene.spec.window)
    np.testing.assert_array_equal(view.read(part), whole[list(CHOSEN), 9:12, 12:17])
    inside = View(view, [2], part)
    np.testing.assert_array_equal(inside.read(inside.spec.window), whole[[4], 9:12, 12:17])
    assert view.files == scene.files


def test_what_lies_outside_is_not_read(cube: Callable[..., ArrayCube]) -> None:
    view = View(cube(ROWS, COLS), None, PART)
    with pytest.raises(ValueError, match="not inside"):
        view.read(Window(0, 0, PART.height + 1, 1))
    with pytest.raises(ValueError, match="not inside"):
        View(view, None, Window(0, 0, 1, PART.width + 1))


def test_the_notes_say_what_was_taken(cube: Callable[..., ArrayCube]) -> None:
    view = View(cube(ROWS, COLS, bands=BANDS), (0, 1, 2, 4), PART)
    assert view.notes == (
        "cut to 4 of 5 bands: 1-3,5",
        "cut to 6 of 20 rows, from row 7, and 9 of 30 columns, from column 11",
    )
    assert View(cube(ROWS, COLS)).notes == ()


def test_one_gain_for_all_bands_stays_one(tmp_path: Path) -> None:
    spec = CubeSpec(BANDS, ROWS, COLS, np.dtype(np.int16), gain=(0.5,), offset=(1, 0, 0, 0, 0))
    part = part_of(spec, (1, 2), PART)
    assert part == replace(spec, bands=2, rows=6, cols=9, offset=None)
