"""The place of a GeoTIFF on the map, read and written; GDAL stands at both ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from hsisr.cube import Geo
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube
from hsisr.scene.selection import selected

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

ROWS, COLS = 12, 17
NORTH_UP = rasterio.Affine(30.0, 0.0, 499_985.0, 0.0, -30.0, 4_600_015.0)
ROTATED = rasterio.Affine(4.2, 2.75, 384_341.17, 2.75, -4.2, 5_818_393.55)
DEGREES = rasterio.Affine(9.195265679407681e-05, 0, 77.66173725796105, 0, -9.2e-05, 12.9311)
SOUTH_UP = rasterio.Affine(30.0, 0.0, 5e5, 0.0, 30.0, 4.6e6)
LAEA = "+proj=laea +lat_0=51.25 +lon_0=11.5 +x_0=1000 +y_0=2000 +ellps=bessel +units=m"
LCC = "+proj=lcc +lat_0=33.75 +lon_0=-79 +lat_1=36.2 +lat_2=34.3 +x_0=609601.22 +datum=NAD83"
SYSTEMS = {"UTM": "EPSG:32633", "degrees": "EPSG:4326", "LAEA": LAEA, "LCC": LCC, "none": None}


def made_by_gdal(path: Path, transform: rasterio.Affine, crs: str | None, point: bool) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=ROWS, width=COLS, dtype="uint8",
        transform=transform, crs=crs,
    ) as file:  # fmt: skip
        if point:
            file.update_tags(AREA_OR_POINT="Point")


def upscaled(source: Path, target: Path, scale: int) -> None:
    with open_cube(source) as cube:
        spec = cube.spec.upscaled(scale)
    with create_cube(target, spec, "tiff") as writer:
        write_block(writer, spec.window, np.zeros(spec.shape, np.float32))


def corners(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        points = [(0, 0), (file.width, 0), (file.width, file.height), (0, file.height)]
        return np.array([file.transform @ point for point in points])


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, DEGREES, SOUTH_UP])
def test_the_corners_stay_where_they_are(
    tmp_path: Path, transform: rasterio.Affine, system: str, point: bool, scale: int
) -> None:
    source, target = tmp_path / "source.tif", tmp_path / "target.tif"
    made_by_gdal(source, transform, SYSTEMS[system], point)
    upscaled(source, target, scale)
    before, after = corners(source), corners(target)
    extent = np.ptp(before, axis=0).max()
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9 * extent)
    with rasterio.open(source) as old, rasterio.open(target) as new:
        assert new.crs == old.crs
        assert (new.height, new.width) == (ROWS * scale, COLS * scale)
        assert new.tags().get("AREA_OR_POINT", "Area") == "Area"
    assert not target.with_name("target.tif.aux.xml").exists()


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, DEGREES, SOUTH_UP])
def test_the_transform_is_the_one_gdal_reads(
    tmp_path: Path, transform: rasterio.Affine, point: bool
) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, transform, "EPSG:32633", point)
    with rasterio.open(path) as file, open_cube(path) as cube:
        assert cube.spec.geo is not None
        np.testing.assert_allclose(cube.spec.geo.transform, file.transform[:6], rtol=1e-14)
        np.testing.assert_allclose(cube.spec.geo.corners(ROWS, COLS), corners(path), rtol=1e-14)
        assert cube.spec.geo.crs == "EPSG:32633"


def with_tags(path: Path, *tags: tuple[int, str, int, object, bool]) -> None:
    pixels = np.zeros((ROWS, COLS), np.uint8)
    tifffile.imwrite(path, pixels, metadata=None, extratags=tags)


def test_a_tie_point_may_be_any_pixel(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with_tags(
        path,
        (33550, "d", 3, (30.0, 20.0, 0.0), True),
        (33922, "d", 6, (3.5, 2.0, 0.0, 5e5, 4e6, 0.0), True),
    )
    with rasterio.open(path) as file, open_cube(path) as cube:
        assert cube.spec.geo == Geo(file.transform[:6])
        assert cube.spec.geo.transform == (30.0, 0.0, 499_895.0, 0.0, -20.0, 4_000_040.0)


def test_the_side_file_has_the_last_word_about_the_map(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, NORTH_UP, "EPSG:32633", point=True)
    path.with_name("scene.tif.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:3035</SRS>"
        "<GeoTransform> 1.5e1, 2.0, 0.5, 4.0e2, 0.25, -2.0</GeoTransform></PAMDataset>"
    )
    with rasterio.open(path) as file, open_cube(path) as cube:
        assert file.transform[:6] == (2.0, 0.5, 15.0, 0.25, -2.0, 400.0)
        assert cube.spec.geo == Geo(file.transform[:6], "EPSG:3035")
    upscaled(path, tmp_path / "x2.tif", 2)
    with rasterio.open(tmp_path / "x2.tif") as file:
        assert file.crs.to_epsg() == 3035
        assert file.transform[:6] == (1.0, 0.25, 15.0, 0.125, -1.0, 400.0)


KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32633)
SCALE = (33550, "d", 3, (30.0, 30.0, 0.0), True)
TIE = (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0), True)


@pytest.mark.parametrize(
    "tags",
    [
        [(34735, "H", 16, (*KEYS[:3], 9, *KEYS[4:]), True), SCALE, TIE],
        [(34735, "H", 16, (*KEYS[:4], 1026, 34737, 22, 0, *KEYS[8:]), True), SCALE, TIE],
        [(34735, "H", 3, KEYS[:3], True), SCALE, TIE],
        [(34735, "H", 16, (7, *KEYS[1:]), True), SCALE, TIE],
        [(33550, "d", 3, (float("nan"), 30.0, 0.0), True), TIE],
        [(34264, "d", 16, (1.0,) * 16, True)],
    ],
)
def test_a_broken_position_is_left_out_and_noted(
    tmp_path: Path, tags: list[tuple[int, str, int, object, bool]]
) -> None:
    path = tmp_path / "scene.tif"
    with_tags(path, *tags)
    with open_cube(path) as cube:
        assert cube.spec.geo is None
        assert any("position on the map is ignored" in note for note in cube.notes)


def test_ground_control_points_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    points = [(i * 5.0, j * 5.0, 0.0, 1e5 + i, 2e5 - j * j, 0.0) for i in (0, 1) for j in (0, 1, 2)]
    with_tags(path, (33922, "d", 36, sum(points, ()), True))
    with open_cube(path) as cube:
        assert cube.spec.geo is None
        assert any("ground control points are not used" in note for note in cube.notes)


@pytest.mark.parametrize("kind", ["Area", "Point"])
def test_ground_control_points_are_at_the_same_places(tmp_path: Path, kind: str) -> None:
    source, target, part = (tmp_path / f"{name}.tif" for name in ("source", "target", "part"))
    made_by_gdal(source, rasterio.Affine.identity(), None, point=False)
    points = [
        GroundControlPoint(row, col, 10 + col / 100, 50 - row / 70 - col / 900, 7.5)
        for row, col in ((0, 0), (0, 6.5), (4.25, 0), (5, 7))
    ]
    with rasterio.open(source, "r+") as file:
        file.update_tags(AREA_OR_POINT=kind)
        file.gcps = points, rasterio.CRS.from_epsg(4258)
    with rasterio.open(source) as file:
        # for points, GDAL itself does not read what it wrote
        points, _ = file.gcps
    upscaled(source, target, 4)
    with open_cube(source) as cube:
        spec = selected(cube, None, "1,2,3,4", None).spec
        with create_cube(part, spec, "tiff") as writer:
            write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
    for path, scale, row, col in ((target, 4, 0, 0), (part, 1, 1, 2)):
        with rasterio.open(path) as file:
            found, crs = file.gcps
        assert crs.to_epsg() == 4258
        for before, after in zip(points, found, strict=True):
            assert (after.row, after.col) == (
                (before.row - row) * scale,
                (before.col - col) * scale,
            )
            assert (after.x, after.y, after.z) == (before.x, before.y, before.z)


def test_a_system_without_a_place_in_the_registry_is_carried_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "source.tif", tmp_path / "target.tif"
    made_by_gdal(source, NORTH_UP, LCC, point=False)
    upscaled(source, target, 4)
    with tifffile.TiffFile(source) as old, tifffile.TiffFile(target) as new:
        for code in (34735, 34736, 34737):
            assert new.pages[0].tags[code].value == old.pages[0].tags[code].value
    with open_cube(source) as cube:
        assert cube.spec.geo.crs is None
        assert any("reference system has no EPSG code" in note for note in cube.notes)


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
@pytest.mark.parametrize("point", [False, True])
def test_a_code_and_no_system_need_no_note(tmp_path: Path, crs: str | None, point: bool) -> None:
    made_by_gdal(tmp_path / "source.tif", NORTH_UP, crs, point)
    with open_cube(tmp_path / "source.tif") as cube:
        assert cube.notes == ()


def test_abundances_of_a_geotiff_lie_where_it_lies(tmp_path: Path) -> None:
    source, target = tmp_path / "source.tif", tmp_path / "target.tif"
    made_by_gdal(source, ROTATED, LAEA, point=True)
    with open_cube(source) as cube:
        spec = cube.spec.upscaled(3).with_bands(("soil", "water", "trees"))
    with create_cube(target, spec, "tiff") as writer:
        write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
    with rasterio.open(source) as old, rasterio.open(target) as new:
        assert new.crs == old.crs
        assert new.descriptions == ("soil", "water", "trees")
        assert np.isnan(new.nodata)
    np.testing.assert_allclose(corners(target), corners(source), rtol=1e-14)


@pytest.mark.parametrize("scale", [2, 8])
def test_rational_polynomials_point_at_the_same_ground(tmp_path: Path, scale: int) -> None:
    source, target = tmp_path / "source.tif", tmp_path / "target.tif"
    polynomial = [0.01, 1.0, 0.02, 0.03, *[0.001] * 16]
    made_by_gdal(source, rasterio.Affine.identity(), None, point=False)
    with rasterio.open(source, "r+") as file:
        file.rpcs = RPC(
            height_off=110.0, height_scale=50.0, lat_off=43.5, lat_scale=0.09, line_off=5.25,
            line_scale=6.5, long_off=1.14, long_scale=0.13, samp_off=8.0, samp_scale=9.0,
            line_num_coeff=polynomial[::-1], line_den_coeff=[1.0, *[0.0] * 19],
            samp_num_coeff=polynomial, samp_den_coeff=[1.0, *[0.0] * 19],
        )  # fmt: skip
    upscaled(source, target, scale)
    with rasterio.open(source) as old, rasterio.open(target) as new:
        place = {"xs": [1.1, 1.15, 1.2], "ys": [43.45, 43.5, 43.52], "zs": [100.0, 120.0, 90.0]}
        with RPCTransformer(old.rpcs) as before, RPCTransformer(new.rpcs) as after:
            expected = np.array(before.rowcol(**place, op=float)) * scale
            np.testing.assert_allclose(after.rowcol(**place, op=float), expected, rtol=1e-9)
