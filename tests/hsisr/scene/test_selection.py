"""The words for a part of a scene, against what they are documented to mean."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rasterio import Affine

from hsisr.cube import ArrayCube, Geo, Spectrum
from hsisr.errors import UsageError
from hsisr.scene.selection import Box, bands_named, box_named, covering, selected, window_named
from hsisr.window import Window

ROWS, COLS = 40, 50
CENTRES = (400.0, 450.0, 500.0, 550.0, 900.0, 904.5)
TRANSFORMS = [
    Affine(30.0, 0.0, 5e5, 0.0, -30.0, 4.6e6),
    Affine(4.2, 2.75, 384_341.17, 2.75, -4.2, 5_818_393.55),
    Affine(0.01, 0.0, 7.0, 0.0, 0.01, 45.0),
]


def scene(spectrum: bool = True, transform: Affine | None = None) -> ArrayCube:
    block = np.zeros((len(CENTRES), ROWS, COLS), np.float32)
    cube = ArrayCube(block, Path("scene.img"), Spectrum(CENTRES) if spectrum else None)
    if transform is not None:
        object.__setattr__(cube.spec, "geo", Geo(tuple(transform[:6]), "EPSG:32633"))
    return cube


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("3", [3]),
        ("1-3", [1, 2, 3]),
        ("1-2,6", [1, 2, 6]),
        ("5-", [5, 6]),
        ("-2", [1, 2]),
        ("6, 1 - 2", [6, 1, 2]),
        ("1-4,2-5,3", [1, 2, 3, 4, 5]),
        ("450-900nm", [2, 3, 4, 5]),
        ("450nm-900nm", [2, 3, 4, 5]),
        ("450nm-900", [2, 3, 4, 5]),
        ("0.45-0.9045um", [2, 3, 4, 5, 6]),
        ("0.45 µm - 900 nm", [2, 3, 4, 5]),
        ("880nm-", [5, 6]),
        ("-450NM", [1, 2]),
        ("530nm", [4]),
        ("900-950nm,1", [5, 6, 1]),
    ],
)
def test_bands_are_named_by_number_and_by_wavelength(text: str, bands: list[int]) -> None:
    assert bands_named(text, scene()) == tuple(band - 1 for band in bands)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "there is no band 0; the scene has bands 1 to 6"),
        ("1-7", "there is no band 7; the scene has bands 1 to 6"),
        ("5-2", "the bands 5-2 end before they begin"),
        ("", "'' is neither a band nor a range of bands"),
        ("-", "'-' is neither a band nor a range of bands"),
        ("1,,2", "'' is neither"),
        ("red", "'red' is neither"),
        ("1 2", "'1 2' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("400.5-500.5", "400.5 is no number of a band"),
        ("1e3", "'1e3' is neither"),
        ("4.0.0nm", "'4.0.0nm' is no wavelength"),
        ("400-500cm", "'400cm' is no wavelength"),
        ("600-700nm", "no band lies in 600-700nm; the scene has 400 to 904.5 nm"),
        ("1500nm", "no band lies in 1500nm; the scene has 400 to 904.5 nm"),
        ("٣", "٣ is no number of a band"),
    ],
)
def test_bands_that_are_not_there_are_refused_with_what_is(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        bands_named(text, scene())
    assert said in caught.value.what


def test_wavelengths_of_a_scene_without_any_are_refused() -> None:
    with pytest.raises(UsageError, match="no wavelengths are known") as caught:
        bands_named("450-900nm", scene(spectrum=False))
    assert caught.value.hint == "name bands by number, 1 to 6"


def test_a_window_is_four_numbers_inside_the_scene() -> None:
    assert window_named("0, 1,40,49", scene()) == Window(0, 1, 40, 49)
    for text in ("1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,5,5", "1.5,0,5,5", ""):
        with pytest.raises(UsageError, match="is no window"):
            window_named(text, scene())
    for text in ("0,0,41,1", "39,49,1,2", "0,0,0,5", "0,0,5,0", "40,0,1,1"):
        with pytest.raises(UsageError, match="which has 40 rows and 50 columns"):
            window_named(text, scene())


def test_a_box_is_four_ordered_numbers() -> None:
    assert box_named("-118.5,34,-118,34.25") == (-118.5, 34, -118, 34.25)
    for text in ("1,2,3", "1,2,3,x", "3,2,1,4", "1,4,3,2", "1,1,1,2", "0,0,nan,1", "0,0,inf,1"):
        with pytest.raises(UsageError, match="is no box"):
            box_named(text)


def bounds(transform: Affine, window: Window) -> Box:
    """What a window covers on the map."""
    points = itertools.product((window.col, window.col_stop), (window.row, window.row_stop))
    x, y = zip(*(transform @ point for point in points), strict=True)
    return min(x), min(y), max(x), max(y)


# never at the very edge of a pixel, where rounding decides
positions = st.integers(-20_000, 70_000).map(lambda thousandths: thousandths / 1000 + 0.0003)


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(st.tuples(positions, positions), st.tuples(positions, positions))
def test_the_window_of_a_box_is_the_smallest_that_covers_it(
    transform: Affine, one: tuple[float, float], other: tuple[float, float]
) -> None:
    (x, y), (u, v) = transform @ one, transform @ other
    box = min(x, u), min(y, v), max(x, u), max(y, v)
    ends = [~transform @ point for point in itertools.product(box[::2], box[1::2])]
    assume(all(abs(end - round(end)) > 1e-4 for point in ends for end in point))
    touched = [
        [i for i in range(size) if i < max(span) and i + 1 > min(span)]
        for span, size in zip(zip(*ends, strict=True), (COLS, ROWS), strict=True)
    ]
    whole = bounds(transform, Window(0, 0, ROWS, COLS))
    beside = any(box[i] >= whole[i + 2] or box[i + 2] <= whole[i] for i in (0, 1))
    cube = scene(transform=transform)
    if beside or not all(touched):
        with pytest.raises(UsageError, match="the scene has nothing of this box"):
            covering(box, cube)
        return
    (cols, rows), window = touched, covering(box, cube)
    assert [*range(window.row, window.row_stop)] == rows
    assert [*range(window.col, window.col_stop)] == cols


@pytest.mark.parametrize("transform", TRANSFORMS[::2])
def test_a_box_that_ends_at_edges_of_pixels_takes_no_more(transform: Affine) -> None:
    for window in (Window(3, 4, 5, 6), Window(0, 0, 1, 1), Window(39, 0, 1, 50)):
        assert covering(bounds(transform, window), scene(transform=transform)) == window


def test_a_box_is_cut_to_the_scene() -> None:
    cube = scene(transform=TRANSFORMS[0])
    assert covering((0, 0, 1e7, 1e7), cube) == cube.spec.window
    assert covering((0, 4.6e6 - 31, 5e5 + 1, 1e7), cube) == Window(0, 0, 2, 1)


def test_a_box_beside_the_scene_is_refused_with_the_scene_s_extent() -> None:
    with pytest.raises(UsageError, match="extends over 500000,4598800,501500,4600000") as caught:
        covering((0, 0, 5e5, 5e6), scene(transform=TRANSFORMS[0]))
    assert "EPSG:32633" in caught.value.hint
    with pytest.raises(UsageError, match="no map coordinates"):
        covering((0, 0, 1, 1), scene())


def test_a_box_beside_a_corner_of_a_rotated_scene_is_refused() -> None:
    turned = Affine.translation(1000, 1000) @ Affine.rotation(45)
    cube = scene(transform=turned)
    left = min(x for x, _ in cube.spec.geo.corners(ROWS, COLS))
    assert covering((left, 1000, left + 1, 1100), cube).height
    with pytest.raises(UsageError, match="nothing of this box"):
        covering((left - 9, 1000, left - 1, 1100), cube)
    for beyond in ((COLS + 0.5, 20), (20, ROWS + 0.5)):
        x, y = turned @ beyond
        with pytest.raises(UsageError, match="nothing of this box"):
            covering((x - 0.1, y - 0.1, x + 0.1, y + 0.1), cube)


def test_nothing_asked_for_is_the_scene_itself() -> None:
    cube = scene()
    assert selected(cube, None, None, None) is cube
    part = selected(cube, "2-3", "1,2,3,4", None)
    assert part.spec.shape == (2, 3, 4)
    assert selected(cube, None, "1,2,3,4", None).spec.shape == (6, 3, 4)
    with pytest.raises(UsageError, match="contradict"):
        selected(cube, None, "1,2,3,4", "0,0,1,1")


def test_a_box_and_bands_are_taken_together() -> None:
    part = selected(scene(transform=TRANSFORMS[0]), "450nm-", None, "500030,4599910,500090,4599970")
    assert part.spec.shape == (5, 2, 2)
    assert part.spec.geo.transform[2::3] == (500030, 4599970)
