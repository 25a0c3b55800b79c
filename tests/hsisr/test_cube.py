"""What a cube is made of: its grid on the map, its bands, its size."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsisr.cube import ArrayCube, Class, CubeSpec, Geo, Spectrum, spectral_mismatch
from hsisr.window import Window


@given(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 6), st.integers(2, 8), st.integers(1, 9))
def test_the_corners_of_a_zoomed_scene_stay(
    transform: tuple[float, float, float, float, float, float], scale: int, rows: int
) -> None:
    coarse, cols = Geo(transform), 2 * rows + 1
    fine = coarse.zoomed(scale)
    pairs = zip(coarse.corners(rows, cols), fine.corners(rows * scale, cols * scale), strict=True)
    for old, new in pairs:
        assert new == pytest.approx(old, rel=1e-9, abs=1e-6)


def test_corners_are_told_clockwise_from_the_upper_left() -> None:
    turned = Geo((10, 1, 500, 2, -10, 900))
    assert turned.corners(rows=2, cols=3) == ((500, 900), (530, 906), (532, 886), (502, 880))


def test_upscaling_keeps_everything_but_the_grid() -> None:
    spec = CubeSpec(
        3,
        4,
        5,
        np.dtype(np.int16),
        nodata=-1,
        spectrum=Spectrum((400.0, 500.0, 600.0)),
        geo=Geo((30, 0, 1000, 0, -30, 2000), "EPSG:32633"),
        band_names=("a", "b", "c"),
        native="header",
    )
    fine = spec.upscaled(2).upscaled(4)
    assert fine.shape == (3, 32, 40)
    assert fine.zoom == 8
    assert fine.geo == Geo((3.75, 0, 1000, 0, -3.75, 2000), "EPSG:32633")
    unchanged = ("bands", "dtype", "nodata", "spectrum", "band_names", "native", "interleave")
    assert [getattr(fine, name) for name in unchanged] == [
        getattr(spec, name) for name in unchanged
    ]
    assert spec.upscaled(3).geo is not None
    assert CubeSpec(1, 2, 3, np.dtype(np.uint8)).upscaled(2).geo is None


def test_other_bands_have_no_spectrum_and_no_units() -> None:
    spec = CubeSpec(
        3, 4, 5, np.dtype(np.int16), nodata=-1, gain=(0.1,), spectrum=Spectrum((1.0, 2.0, 3.0))
    )
    maps = spec.with_bands(["soil", "water"], description="abundances")
    assert (maps.bands, maps.rows, maps.cols, maps.dtype) == (2, 4, 5, np.float32)
    assert (maps.gain, maps.offset, maps.spectrum) == (None, None, None)
    assert maps.band_names == ("soil", "water")
    assert maps.nodata is not None
    assert np.isnan(maps.nodata)


@pytest.mark.parametrize(
    ("good", "expected"),
    [(None, 1), ((True, False, True), 2), ((False, False, False), 1), ((True, True, False), 1)],
)
def test_the_nearest_band_is_a_good_one(good: tuple[bool, ...] | None, expected: int) -> None:
    assert Spectrum((400.0, 550.0, 700.0), good=good).nearest(560) == expected


def test_sizes_are_products_of_the_sides() -> None:
    for bands, rows, cols in itertools.product((1, 7), (2, 3), (5,)):
        spec = CubeSpec(bands, rows, cols, np.dtype(np.float64))
        assert spec.nbytes == np.zeros(spec.shape).nbytes
        assert spec.window == Window(0, 0, rows, cols)


@pytest.mark.parametrize(
    ("found", "expected", "differs"),
    [
        (None, (1.0, 2.0), False),
        ((1.0, 2.0), None, False),
        ((500.0,), (900.0,), False),
        ((400.0, 500.0), (449.0, 549.0), False),
        ((400.0, 500.0), (460.0, 560.0), True),
        ((400.0, 400.5), (400.9, 401.4), False),
        ((400.0, 400.5), (401.1, 401.6), True),
    ],
)
def test_wavelengths_may_differ_by_half_a_band(
    found: tuple[float, ...] | None, expected: tuple[float, ...] | None, differs: bool
) -> None:
    scene, known = (Spectrum(centres) if centres else None for centres in (found, expected))
    assert (spectral_mismatch(scene, known) is not None) == differs


@pytest.mark.parametrize(("count", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_a_map_of_classes_is_of_the_smallest_type_that_holds_them(count: int, dtype: type) -> None:
    classes = [Class(f"class {number}", (0, 0, 0)) for number in range(count)]
    spec = CubeSpec(9, 2, 3, np.dtype(np.float32)).classified(classes)
    assert (spec.shape, spec.dtype, spec.nodata) == ((1, 2, 3), dtype, 0)
    assert spec.classes == tuple(classes)


def test_what_is_read_of_a_cube_in_memory_may_be_changed() -> None:
    cube = ArrayCube(np.ones((2, 3, 4), np.float32), Path("x"))
    cube.read(cube.spec.window)[:] = 0
    assert cube.read(cube.spec.window).all()
