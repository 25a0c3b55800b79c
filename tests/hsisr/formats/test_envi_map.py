"""Where the pixels of an ENVI scene lie, compared with GDAL and with the definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from hsisr.cube import CubeSpec, Geo
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube
from hsisr.formats.envi.map_info import geo_entries, read_geo, same_place, zoomed
from hsisr.scene.selection import selected

UTM = "32, North, WGS-84, units=Meters"
Corners = list[tuple[float, float]]


def scene(folder: Path, map_info: str, extra: str = "") -> Path:
    (folder / "scene.img").write_bytes(bytes(6 * 5))
    (folder / "scene.hdr").write_text(
        "ENVI\nsamples = 6\nlines = 5\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
        f"data type = 1\ninterleave = bsq\nbyte order = 0\nmap info = {{{map_info}}}\n{extra}"
    )
    return folder / "scene.hdr"


def gdal_corners(path: Path) -> Corners:
    with rasterio.open(path) as file:
        points = ((0, 0), (file.width, 0), (file.width, file.height), (0, file.height))
        a, b, x, d, e, y = file.transform[:6]
        return [(a * col + b * row + x, d * col + e * row + y) for col, row in points]


def upscale(header: Path, scale: int) -> Path:
    """The scene on a finer grid, written as an upscaled scene is; the path of its data."""
    with open_cube(header) as cube:
        spec = cube.spec.upscaled(scale)
    path = header.with_name(f"scene_x{scale}.img")
    with create_cube(path, spec, "envi") as writer:
        write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
    return path


def assert_same_corners(one: Corners, other: Corners) -> None:
    extent = math.dist(one[0], one[2])
    for p, q in zip(one, other, strict=True):
        assert math.dist(p, q) <= 1e-9 * extent


REFERENCES = [("1", "1"), ("1.5", "1.5"), ("37.25", "1"), ("-3", "12.125")]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("rotation", ["", ", rotation=33.00", ", rotation=-107.5"])
@pytest.mark.parametrize("pixel", [("30", "30"), ("6.0000000000e-01", "1.7")])
def test_the_corners_stay_where_gdal_sees_them(
    tmp_path: Path,
    scale: int,
    reference: tuple[str, str],
    rotation: str,
    pixel: tuple[str, str],
) -> None:
    place = ", ".join((*reference, "622613.864409047", "5269351.40255343", *pixel))
    header = scene(tmp_path, f"UTM, {place}, {UTM}{rotation}")
    path = upscale(header, scale)
    assert_same_corners(gdal_corners(path), gdal_corners(tmp_path / "scene.img"))
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32632
    with open_cube(header) as before, open_cube(path) as after:
        assert before.spec.geo is not None
        assert after.spec.geo is not None
        assert_same_corners(
            list(before.spec.geo.corners(5, 6)), list(after.spec.geo.corners(5 * scale, 6 * scale))
        )


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("rotation", ["180", "-180.00"])
def test_a_scene_whose_first_row_is_the_southernmost_lies_where_gdal_sees_it(
    tmp_path: Path, reference: tuple[str, str], rotation: str
) -> None:
    place = ", ".join((*reference, "622613.5", "5269351.25", "30", "20"))
    header = scene(tmp_path, f"UTM, {place}, {UTM}, rotation={rotation}")
    for path in (tmp_path / "scene.img", upscale(header, 4)):
        with open_cube(path) as cube, rasterio.open(path) as file:
            assert cube.spec.geo is not None
            assert cube.spec.geo.transform == pytest.approx(file.transform[:6], abs=1e-9)
            assert file.transform.e > 0


def test_a_scene_that_gdal_wrote_south_up_stays_so_in_windows_and_from_other_formats(
    tmp_path: Path,
) -> None:
    place = Affine(30, 0, 622613.5, 0, 20, 5269351.25)
    profile = {"width": 6, "height": 5, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
    for driver, name in (("ENVI", "a.img"), ("GTiff", "b.tif")):
        with rasterio.open(tmp_path / name, "w", driver, transform=place, **profile) as file:
            file.write(np.zeros((1, 5, 6), np.uint8))
        with open_cube(tmp_path / name) as cube:
            window = selected(cube, None, "2,1,3,4", None)
            assert cube.spec.geo is not None
            assert cube.spec.geo.transform == place[:6]
            spec = window.spec
        path = tmp_path / f"{driver}_part.img"
        with create_cube(path, spec, "envi") as writer:
            write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
        with rasterio.open(path) as part:
            assert part.transform == Affine(30, 0, 622613.5 + 30, 0, 20, 5269351.25 + 2 * 20)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("rotation", [0, 33, 179, -107.5])
def test_the_reference_pixel_lies_at_its_coordinates_and_steps_have_the_pixels_length(
    reference: tuple[str, str], rotation: float
) -> None:
    text = f"UTM, {', '.join(reference)}, 5e5, 46e5, 30, 20, {UTM}, rotation={rotation}"
    geo, note = read_geo(text)
    assert geo is not None
    assert note is None
    a, b, x, d, e, y = geo.transform
    col, row = float(reference[0]) - 1, float(reference[1]) - 1
    assert (a * col + b * row + x, d * col + e * row + y) == pytest.approx((5e5, 46e5), abs=1e-6)
    assert (math.hypot(a, d), math.hypot(b, e)) == pytest.approx((30, 20))
    assert a * b + d * e == pytest.approx(0, abs=1e-9)
    assert math.degrees(math.atan2(d, a)) == pytest.approx(rotation)


@pytest.mark.parametrize(
    "text",
    [
        "UTM, 1, 1, 5e5, 46e5, 30, 20, 32, North, WGS-84, units=Meters",
        "UTM, 37.25, 1.5, 5e5, 46e5, 30, 20, 32, South, WGS-84",
        "UTM, 1, 1, 5e5, 46e5, 30, 30, 15, T, WGS-84, units  meters, rotation  0.000",
        "UTM , 1 , 1 , 5e5 , 46e5 , 17 , 17 , 11 , North , WGS-84 , units=Meters , rotation=56.00",
        "Geographic Lat/Lon, 1.5, 1.5, 10, 50, 0.1, 0.1, WGS-84, units=Degrees",
        "UTM, 1, 1, 5e5, 46e5, 30, 30, 17, North, North America 1983, units=Meters",
        "UTM, 1, 1, 5e5, 46e5, 30, 30, 11, North, North America 1927, units=Meters",
        "Geographic Lat/Lon, 1, 1, -80, 50, 0.1, 0.1, North America 1983, units=Degrees",
        "Geographic Lat/Lon, 1, 1, -80, 50, 0.1, 0.1, North America 1927, units=Degrees",
    ],
)
def test_place_and_reference_system_are_those_that_gdal_reads(tmp_path: Path, text: str) -> None:
    with open_cube(scene(tmp_path, text)) as cube:
        geo = cube.spec.geo
        assert cube.notes == ()
    assert geo is not None
    with rasterio.open(tmp_path / "scene.img") as file:
        assert geo.transform == pytest.approx(file.transform[:6], abs=1e-9)
        assert geo.crs == f"EPSG:{file.crs.to_epsg()}"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 32, North", "has no code"),
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 32, North, North America 1927", "has no code"),
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 17, South, North America 1983", "has no code"),
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 17, North, European 1950", "has no code"),
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 61, North, WGS-84", "has no code"),
        ("UTM, 1, 1, 5e5, 46e5, 30, 30, 32, S, WGS-84", "has no code"),
        ("Lambert Conformal Conic, 1, 1, 5e5, 46e5, 30, 30, WGS-84", "has no code"),
        ("Arbitrary, 1, 1, 5e5, 46e5, 30, 30", None),
    ],
)
def test_an_unknown_reference_system_is_left_out_and_the_coordinates_stay(
    text: str, note: str | None
) -> None:
    geo, found = read_geo(text)
    assert geo == Geo((30, 0, 5e5, 0, -30, 46e5), None)
    assert found is note if note is None else note in (found or "")


def test_pixel_numbers_posing_as_a_map_give_no_place() -> None:
    assert read_geo("Arbitrary, 1, 1, 0, 0, 1, 1, 0, North") == (None, None)


def test_the_reference_system_is_carried_as_it_was_written(tmp_path: Path) -> None:
    wkt = CRS.from_epsg(3035).to_wkt(version="WKT1_ESRI")
    extra = f"coordinate system string = {{{wkt}}}\nprojection info = {{4, a, b}}\n"
    header = scene(tmp_path, "ETRS_LAEA, 1, 1, 43e5, 32e5, 20, 20", extra)
    path = upscale(header, 2)
    with open_cube(path) as cube:
        assert cube.spec.geo is not None
        assert cube.spec.geo.crs == wkt
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 3035
    assert extra in path.with_suffix(".hdr").read_text()


@pytest.mark.parametrize(
    ("key", "value", "finer"),
    [
        (
            "map info",
            "{UTM , 1.500,1.500, 1e5, 2e5, 3.0e1, 4, 15, T, WGS-84, units  meters}",
            "{UTM , 3,3, 1e5, 2e5, 7.5, 1, 15, T, WGS-84, units  meters}",
        ),
        ("pixel size", "{30, 0.6, units=Meters}", "{7.5, 0.15, units=Meters}"),
        (
            "geo points",
            "{1, 1, 50, 8,\n 6.5, 5.5, 49, 9}",
            "{1, 1, 50, 8,\n 23, 19, 49, 9}",
        ),
        ("x start", "247", "985"),
        ("y start", "0", "-3"),
        ("sensor type", "Fenix", "Fenix"),
        ("map info", "{UTM, 1, 1}", None),
        ("geo points", "{here, 1, 50, 8}", None),
    ],
)
def test_only_what_depends_on_the_grid_is_rewritten(
    key: str, value: str, finer: str | None
) -> None:
    assert zoomed(key, value, 4) == finer
    assert zoomed(key, value, 1) == value


def test_rational_coefficients_describe_the_same_ground(tmp_path: Path) -> None:
    numbers = [str(n / 8) for n in range(90)]
    numbers[5:10] = ["3", "4", "0.5", "0.5", "100"]
    extra = f"rpc info = {{{', '.join([*numbers, '5', '7', '1'])}}}\n"
    header = scene(tmp_path, "Arbitrary, 1, 1, 0, 0, 1, 1", extra)
    header.write_text(header.read_text().replace("map info", "hint"))
    with rasterio.open(tmp_path / "scene.img") as file:
        before = file.rpcs
    with rasterio.open(upscale(header, 4)) as file:
        after = file.rpcs
    assert before is not None
    assert after is not None
    # the middle of an old pixel is the middle of the 4 x 4 new ones
    for name in ("line", "samp"):
        off, scale = getattr(before, f"{name}_off"), getattr(before, f"{name}_scale")
        assert getattr(after, f"{name}_off") == (off + 0.5) * 4 - 0.5
        assert getattr(after, f"{name}_scale") == scale * 4
    assert after.line_num_coeff == before.line_num_coeff
    assert after.lat_off == before.lat_off


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:32632",
        "EPSG:32701",
        "EPSG:4326",
        "EPSG:26911",
        "EPSG:26711",
        "EPSG:4269",
        "EPSG:4267",
        "EPSG:25832",
        "EPSG:4258",
        CRS.from_epsg(3035).to_wkt(version="WKT1_ESRI"),
        None,
    ],
)
@pytest.mark.parametrize("rotation", [0, 25])
def test_the_place_of_a_scene_from_another_format_is_one_that_gdal_reads(
    tmp_path: Path, crs: str | None, rotation: float
) -> None:
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    geo = Geo((30 * cos, 30 * sin, 622613.5, 30 * sin, -30 * cos, 5269351.4), crs)
    spec = CubeSpec(1, 5, 6, np.dtype(np.uint8), geo=geo)
    with create_cube(tmp_path / "a.img", spec, "envi") as writer:
        write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
    with open_cube(tmp_path / "a.img") as cube:
        found = cube.spec.geo
    assert found is not None
    assert same_place(Geo(found.transform, crs), geo)
    assert (found.crs and CRS.from_string(found.crs)) == (crs and CRS.from_string(crs))
    assert_same_corners(gdal_corners(tmp_path / "a.img"), list(geo.corners(5, 6)))
    if crs is not None:
        with rasterio.open(tmp_path / "a.img") as file:
            assert file.crs.to_epsg() == CRS.from_string(crs).to_epsg()


@pytest.mark.parametrize(
    "transform",
    [
        (-30, 0, 5e5, 0, 30, 46e5),
        (-30, 0, 5e5, 0, -30, 46e5),
        (30, 5, 5e5, 0, -30, 46e5),
        (26, 10, 5e5, 15, -17.32, 46e5),
        (0, 30, 5e5, 20, 0, 46e5),
    ],
    ids=["upside down", "mirrored", "sheared", "skew", "turned and not square"],
)
def test_what_map_info_cannot_say_is_left_out(
    transform: tuple[float, float, float, float, float, float],
) -> None:
    assert geo_entries(Geo(transform, "EPSG:32632")) == []


@given(
    st.floats(1e-6, 1e5),
    st.floats(-179, 179),
    st.floats(-1e7, 1e7, allow_subnormal=False),
    st.sampled_from([0, 1]),
)
def test_a_place_survives_its_way_through_map_info(
    pixel: float, rotation: float, x: float, square: int
) -> None:
    angle = math.radians(rotation)
    a, d = pixel * math.cos(angle), pixel * math.sin(angle)
    geo = Geo((a, d, x, d, -a, -x), "EPSG:32733")
    entries = dict(geo_entries(geo))
    assert same_place(read_geo(entries["map info"])[0], geo)


def test_corners_of_real_scenes_stay(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    names = ("envi/georeferenced/dem_map_geo", "tiff/wavelength/envi_wl_fwhm")
    for name, scale in itertools.product(names, (2, 3)):
        source = shared_data(f"{name}.hdr")
        with open_cube(source) as cube:
            spec = cube.spec.upscaled(scale)
        with create_cube(tmp_path / "out.bsq", spec, "envi"):
            pass
        assert_same_corners(
            gdal_corners(tmp_path / "out.bsq"), gdal_corners(source.with_suffix(".bsq"))
        )
