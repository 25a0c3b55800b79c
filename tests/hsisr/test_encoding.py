"""Between stored numbers and physical values: rounding, clipping, no-data, gains, round trips."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.encoding import decode, encode

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")


def spec_of(
    dtype: str,
    nodata: float | None = None,
    gain: tuple[float, ...] | None = None,
    offset: tuple[float, ...] | None = None,
) -> CubeSpec:
    return CubeSpec(1, 1, 1, np.dtype(dtype), nodata=nodata, gain=gain, offset=offset)


def block_of(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(1, 1, -1)


def interesting(dtype: str) -> list[float]:
    """The limits of a type, their float32 neighbours, and halves between integers."""
    limits = [float(np.iinfo(dtype).min), float(np.iinfo(dtype).max), 0.0, 2.0**24]
    steps = [np.nextafter(np.float32(x), np.float32(s)) for x in limits for s in (-np.inf, np.inf)]
    halves = [0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.5, 32767.5, -32768.5, 1e30, -1e30]
    return [float(np.float32(x)) for x in (*limits, *steps, *halves)]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_rounded_half_to_even_and_clipped_with_a_count(dtype: str) -> None:
    values = interesting(dtype)
    stored, clipped = encode(block_of(*values), spec_of(dtype))
    limits = np.iinfo(dtype)
    # in exact arithmetic: round() of a fraction is half to even
    rounded = [round(Fraction(value)) for value in values]
    assert stored.dtype == dtype
    assert clipped == sum(not limits.min <= number <= limits.max for number in rounded)
    for number, found in zip(rounded, stored.ravel().tolist(), strict=True):
        if limits.min <= number <= limits.max:
            assert found == number
        else:
            assert abs(found - number) <= abs(number)
            assert (found > 0) == (number > 0)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_infinities_become_the_limits_of_an_integer_type(dtype: str) -> None:
    stored, clipped = encode(block_of(np.inf, -np.inf), spec_of(dtype))
    highest, lowest = stored.ravel().tolist()
    limits = np.iinfo(dtype)
    assert clipped == 2
    assert lowest == limits.min
    # 2^63 - 1 and 2^64 - 1 lie between two float64
    assert limits.max - 2048 < highest <= limits.max


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_beyond_the_type_are_clipped_to_finite_numbers(dtype: str) -> None:
    spec = spec_of(dtype, gain=(1e-30,))
    limits = np.finfo(dtype)
    stored, clipped = encode(block_of(1e38, -1e38, 3e-30, np.inf), spec)
    over = 3 if dtype != "float64" else 1
    assert clipped == over
    assert np.isfinite(stored).all()
    assert stored.ravel()[3] == limits.max
    assert stored.ravel()[2] == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("nodata", [None, 0.0, -9999.0, 255.0, 65535.0, 1e300, 0.5, float("nan")])
def test_missing_pixels_come_back_missing_and_data_never_does(
    dtype: str, nodata: float | None
) -> None:
    spec = spec_of(dtype, nodata)
    candidates = [0.0, -9999.0, 255.0, 65535.0, 0.5, 1.0, 254.0, -1.0, 3e38, -3e38]
    stored, _ = encode(block_of(*candidates, np.nan), spec)
    back = decode(stored, spec).ravel()
    assert np.isfinite(back[:-1]).all()
    holes_can_be_stored = dtype in FLOATS or (
        nodata is not None
        and np.isfinite(nodata)
        and nodata == int(nodata)
        and np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max
    )
    assert np.isnan(back[-1]) == holes_can_be_stored
    if not holes_can_be_stored:
        assert stored.ravel()[-1] == 0


# the largest 64-bit integers are not among them: they are no float64, so no header can name them
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        *((dtype, np.iinfo(dtype).min) for dtype in INTEGERS),
        *((dtype, np.iinfo(dtype).max) for dtype in INTEGERS[:6]),
        *((dtype, 100) for dtype in INTEGERS),
    ],
)
def test_data_on_the_nodata_value_moves_by_one_step(dtype: str, nodata: int) -> None:
    limits = np.iinfo(dtype)
    spec = spec_of(dtype, float(nodata))
    stored, _ = encode(block_of(float(nodata), np.nan), spec)
    moved, hole = stored.ravel().tolist()
    assert hole == nodata
    assert moved == (nodata - 1 if nodata == limits.max else nodata + 1)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize(("gain", "offset"), [(None, None), ((1e-4,), None), ((0.02,), (-3.5,))])
def test_every_stored_number_survives_a_round_trip(
    dtype: str, gain: tuple[float, ...] | None, offset: tuple[float, ...] | None
) -> None:
    spec = spec_of(dtype, nodata=7.0, gain=gain, offset=offset)
    limits = np.iinfo(dtype)
    stored = np.arange(limits.min, limits.max + 1).astype(dtype).reshape(1, 1, -1)
    back, clipped = encode(decode(stored, spec), spec)
    assert clipped == 0
    np.testing.assert_array_equal(back, stored)


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64"])
def test_wide_integers_that_float32_holds_survive_a_round_trip(
    dtype: str, rng: np.random.Generator
) -> None:
    limits = np.iinfo(dtype)
    small = rng.integers(max(limits.min, -(2**24)), 2**24, 1000)
    extremes = np.array([limits.min, limits.max // 2 + 1], dtype)
    for stored in (small.astype(dtype), extremes):
        cube = stored.reshape(1, 1, -1)
        back, clipped = encode(decode(cube, spec_of(dtype)), spec_of(dtype))
        assert clipped == 0
        np.testing.assert_array_equal(back, cube)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=False), min_size=1, max_size=20))
def test_floats_survive_a_round_trip(dtype: str, values: list[float]) -> None:
    block = block_of(*values)
    stored, clipped = encode(block, spec_of(dtype))
    assert clipped == 0
    np.testing.assert_array_equal(decode(stored, spec_of(dtype)), block)


def test_stored_infinities_are_no_data() -> None:
    for dtype in FLOATS:
        stored = np.array([np.inf, -np.inf, np.nan, 1], dtype).reshape(1, 1, -1)
        np.testing.assert_array_equal(decode(stored, spec_of(dtype)).ravel(), [np.nan] * 3 + [1])


def test_numbers_beyond_float32_are_no_data() -> None:
    stored = np.array([1e300, 2.0]).reshape(1, 1, -1)
    np.testing.assert_array_equal(decode(stored, spec_of("float64")).ravel(), [np.nan, 2])


def test_nodata_is_compared_in_the_precision_of_the_file() -> None:
    stored = np.array([-1.23e34, 1], np.float32).reshape(1, 1, -1)
    back = decode(stored, spec_of("float32", nodata=-1.23e34))
    np.testing.assert_array_equal(back.ravel(), [np.nan, 1])


def test_gain_and_offset_apply_band_by_band(rng: np.random.Generator) -> None:
    gain, offset = (0.5, 2.0, 0.01), (1.0, -3.0, 0.0)
    spec = spec_of("int16", nodata=-1.0, gain=gain, offset=offset)
    stored = rng.integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    stored[1, 2, 3] = -1
    block = decode(stored, spec)
    assert block.dtype == np.float32
    for band, (a, b) in enumerate(zip(gain, offset, strict=True)):
        expected = np.where(stored[band] == -1, np.nan, stored[band] * a + b)
        np.testing.assert_allclose(block[band], expected, rtol=1e-6)
    back, _ = encode(block, spec)
    np.testing.assert_array_equal(back, stored)


def test_one_gain_applies_to_all_bands() -> None:
    stored = np.full((3, 1, 1), 10, np.uint8)
    block = decode(stored, spec_of("uint8", gain=(0.5,), offset=(1.0,)))
    np.testing.assert_array_equal(block, np.full((3, 1, 1), 6, np.float32))


def column(numbers: tuple[float, ...] | None, neutral: float) -> NDArray[np.float64]:
    return np.array((neutral,) if numbers is None else numbers).reshape(-1, 1, 1)


def encoded_plainly(block: NDArray[np.float32], spec: CubeSpec) -> tuple[NDArray[Any], int]:
    """The whole block in float64, step by step as `encode` promises it."""
    values = (block.astype(np.float64) - column(spec.offset, 0)) / column(spec.gain, 1)
    if spec.dtype.kind == "f":
        lowest, highest = (float(x) for x in (np.finfo(spec.dtype).min, np.finfo(spec.dtype).max))
        fill = spec.dtype.type(np.nan if spec.nodata is None else spec.nodata)
        beside = np.nextafter(fill, spec.dtype.type(0 if fill else 1))
    else:
        values, limits = np.rint(values), np.iinfo(spec.dtype)
        lowest, highest = float(limits.min), float(limits.max)
        if int(highest) > limits.max:
            highest = float(np.nextafter(highest, 0))
        wanted = 0 if spec.nodata is None or np.isnan(spec.nodata) else int(spec.nodata)
        fill = spec.dtype.type(wanted)
        beside = spec.dtype.type(wanted - 1 if wanted == limits.max else wanted + 1)
    holes = np.isnan(values)
    clipped = int(((values < lowest) | (values > highest)).sum())
    stored = np.where(holes, 0, np.clip(values, lowest, highest)).astype(spec.dtype)
    if spec.nodata is not None and not np.isnan(spec.nodata):
        stored[stored == fill] = beside
    stored[holes] = fill
    return stored, clipped


@st.composite
def blocks(draw: st.DrawFn, dtype: str) -> NDArray[np.float32]:
    """Blocks of 2 bands, too large to be converted at once, in memory in any order."""
    limits = [st.sampled_from(interesting(dtype))] if dtype in INTEGERS else []
    numbers = st.one_of(st.floats(width=32), st.floats(-300, 70000, width=32), *limits)
    values = draw(st.lists(numbers, min_size=1, max_size=30))
    order = draw(st.permutations(range(3)))
    shape = draw(st.sampled_from([(2, 3, 23000), (2, 23, 3000), (2, 3, 5)]))
    laid_out = np.resize(np.array(values, np.float32), [shape[axis] for axis in order])
    return laid_out.transpose(np.argsort(order))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_encoding_is_bit_for_bit_what_float64_gives(dtype: str, data: st.DataObject) -> None:
    block = data.draw(blocks(dtype))
    fill = st.sampled_from([None, np.nan, 0.0, 7.0, 100.0, 127.0])
    factors = st.sampled_from([None, (1e-4,), (0.02, 3.0), (-1.0, 1e30)])
    shifts = st.sampled_from([None, (0.0,), (-3.5, 1e4)])
    spec = spec_of(dtype, data.draw(fill), data.draw(factors), data.draw(shifts))
    before = block.tobytes()
    stored, clipped = encode(block, spec)
    expected, count = encoded_plainly(block, spec)
    assert clipped == count
    assert stored.dtype == expected.dtype
    assert stored.tobytes() == expected.tobytes()
    assert block.tobytes() == before


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, ">i2", ">f4"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_decoding_is_bit_for_bit_what_whole_passes_give(dtype: str, data: st.DataObject) -> None:
    native = np.dtype(dtype).newbyteorder("=")
    stored, _ = encode(data.draw(blocks(native.name)), spec_of(native.name))
    stored = stored.astype(dtype)
    stored[0, 0, 1::7] = 7
    nodata = data.draw(st.sampled_from([None, 7.0]))
    gain = data.draw(st.sampled_from([None, (1e-4,), (0.02, 3.0)]))
    offset = data.draw(st.sampled_from([None, (-3.5, 1e4)]))
    block = decode(stored, spec_of(native.name, nodata, gain, offset))
    expected = (stored.astype(np.float32) * column(gain, 1)).astype(np.float32)
    # the zero that leaves a negative zero as it is
    expected = (expected + column(offset, -0.0)).astype(np.float32)
    expected[stored == nodata] = np.nan
    if native.kind == "f":
        expected[~np.isfinite(expected)] = np.nan
    assert block.flags.c_contiguous
    assert block.tobytes() == expected.tobytes()


def test_some_bands_are_decoded_with_their_own_gains_into_a_given_place() -> None:
    stored = np.arange(40, dtype=np.int16).reshape(4, 2, 5)
    spec = spec_of("int16", gain=(1.0, 10.0, 100.0, 1000.0), offset=(0.0, 1.0, 2.0, 3.0))
    whole, place = decode(stored, spec), np.zeros((2, 5, 2), np.float32).transpose(2, 0, 1)
    assert decode(stored[1:3], spec, slice(1, 3), place) is place
    np.testing.assert_array_equal(place, whole[1:3])


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_an_empty_block_is_nothing(dtype: str) -> None:
    empty = np.zeros((3, 0, 4), np.float32)
    stored, clipped = encode(empty, spec_of(dtype, nodata=0.0))
    assert (stored.shape, clipped) == (empty.shape, 0)
    assert decode(stored, spec_of(dtype)).shape == empty.shape


def test_encoding_leaves_the_block_alone() -> None:
    block = block_of(1.5, np.nan, 300)
    before = block.copy()
    encode(block, spec_of("uint8", nodata=2.0, gain=(2.0,), offset=(1.0,)))
    np.testing.assert_array_equal(block, before)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("gain", [None, (0.5,)])
def test_numbers_are_put_where_they_are_wanted(
    order: tuple[int, int, int], gain: tuple[float, ...] | None
) -> None:
    block = np.random.default_rng(0).normal(0, 300, (5, 40, 700)).astype(np.float32)
    block[2, 3, 4:9], spec = np.nan, spec_of("int8", nodata=7, gain=gain)
    # a window of what lies in memory by band, by line or by pixel
    shape = [(5, 60, 800)[axis] for axis in order]
    whole = np.full(shape, 99, np.int8).transpose(np.argsort(order))
    before = block.copy()
    expected, clipped = encode(block, spec)
    place = np.s_[:, 10:50, 60:760]
    found, more = encode(block, spec, whole[place])
    assert more == clipped > 0
    np.testing.assert_array_equal(block, before)
    for result in (found, whole[place]):
        np.testing.assert_array_equal(result, expected)
    whole[place] = 99
    assert (whole == 99).all()
