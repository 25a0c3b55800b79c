"""Arrays without metadata: NumPy's own files, and the order of their axes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.cube import CubeSpec
from hsisr.encoding import write_block
from hsisr.errors import InputError, UsageError
from hsisr.formats import ReadOptions, create_cube, npy, open_cube
from hsisr.formats._axes import guess_axes, parse_axes
from hsisr.window import TilePlan, Window

ORDERS = ["".join(order) for order in itertools.permutations("YXB")]
DTYPES = ["i1", "u1", "<i2", ">i2", "<u2", ">u4", "<i8", "<f2", ">f4", "<f4", ">f8"]


@settings(max_examples=150, deadline=None)
@given(
    order=st.sampled_from(ORDERS),
    fortran=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    data=st.data(),
)
def test_any_window_of_any_order_is_a_slice_of_the_array(
    tmp_path_factory: pytest.TempPathFactory,
    order: str,
    fortran: bool,
    dtype: str,
    shape: tuple[int, int, int],
    data: st.DataObject,
) -> None:
    stored = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.asfortranarray(stored) if fortran else stored)
    expected = np.einsum(f"{order}->BYX", stored.astype(np.float32))
    rows, cols = expected.shape[1:]
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    height, width = data.draw(st.integers(1, rows - row)), data.draw(st.integers(1, cols - col))
    with open_cube(path, ReadOptions(axes=order.lower())) as cube:
        assert cube.spec.shape == expected.shape
        assert cube.spec.dtype == np.dtype(dtype).newbyteorder("=")
        block = cube.read(Window(row, col, height, width))
    np.testing.assert_array_equal(block, expected[:, row : row + height, col : col + width])


def test_rows_columns_and_bands_are_assumed_and_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6)))
    with open_cube(tmp_path / "a.npy") as cube:
        assert cube.spec.shape == (6, 4, 5)
        assert cube.format == "npy"
        assert len(cube.notes) == 1
        assert "YXB" in cube.notes[0]
    with open_cube(tmp_path / "a.npy", ReadOptions(axes="BYX")) as cube:
        assert cube.spec.shape == (4, 5, 6)
        assert "BYX" in cube.notes[0]


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_versions_of_the_header_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    with open_cube(tmp_path / "a.npy") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 4)), r"shape \(3, 4\); three axes"),
        (np.zeros(()), r"shape \(\); three axes"),
        (np.zeros((2, 3, 4, 5)), "three axes"),
        (np.zeros((2, 0, 4)), "three axes"),
        (np.zeros((2, 2, 2), complex), "complex128"),
        (np.zeros((2, 2, 2), bool), "bool"),
        (np.zeros((2, 2, 2), "S3"), "real numbers"),
        (np.zeros((2, 2, 2), "M8[s]"), "datetime64"),
        (np.zeros((2, 2, 2), [("a", "i2")]), "real numbers"),
    ],
)
def test_what_is_no_cube_of_real_numbers_is_refused(
    tmp_path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], words: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=words):
        open_cube(tmp_path / "a.npy")


def test_pickled_objects_are_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    trapped = np.empty((1, 1, 1), object)
    trapped[0, 0, 0] = Trap()
    np.save(tmp_path / "a.npy", trapped, allow_pickle=True)
    with pytest.raises(InputError, match="object"):
        open_cube(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2.0)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2, 2)}",
        "{'descr': '<f4', 'fortran_order': 3, 'shape': (2, 2, 2)}",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2, 2, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os')}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000, 1000000000)}",
        "(" * 9000,
        "'\\d' 1is",
        "x" * 20_000,
    ],
)
def test_a_malformed_header_is_refused(tmp_path: Path, header: str) -> None:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(32)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "a.npy")
    assert caught.value.where == str(tmp_path / "a.npy")


@pytest.mark.parametrize("version", [b"\x02\x00", b"\x03\x00", b"\x09\x09", b""])
def test_a_header_longer_than_the_file_or_of_unknown_version_is_refused(
    tmp_path: Path, version: bytes
) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY" + version + b"\xff" * 4 + bytes(8))
    with pytest.raises(InputError, match="malformed"):
        open_cube(tmp_path / "a.npy")


@pytest.mark.parametrize("difference", [-1, 1])
def test_the_size_must_be_exact(tmp_path: Path, difference: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3, 4), np.int16))
    size = path.stat().st_size
    path.write_bytes((path.read_bytes() + b"\0")[: size + difference])
    with pytest.raises(InputError, match=f"has {size + difference} bytes; {size} were expected"):
        open_cube(path)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float32", "float64"])
def test_numpy_loads_what_was_written(tmp_path: Path, dtype: str) -> None:
    block = np.arange(2 * 5 * 7).reshape(2, 5, 7).astype(np.float32)
    spec = CubeSpec(2, 5, 7, np.dtype(dtype), gain=(0.5,))
    with create_cube(tmp_path / "a.npy", spec, "npy") as writer:
        for tile in TilePlan(5, 7, tile=(3, 3), halo=0):
            write_block(writer, tile.write, block[:, *tile.write.slices] * np.float32(0.5))
    array = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, block.transpose(1, 2, 0))
    assert writer.files == npy.outputs(tmp_path / "a.npy")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npy"]


def test_an_error_while_writing_leaves_the_older_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(8).reshape(2, 2, 2))
    before = (tmp_path / "a.npy").read_bytes()
    with (
        pytest.raises(KeyError),
        create_cube(tmp_path / "a.npy", CubeSpec(1, 1, 1, np.dtype("f4")), "npy"),
    ):
        raise KeyError
    assert (tmp_path / "a.npy").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npy"]


@pytest.mark.parametrize("text", ["", "YX", "YXBB", "YYX", "XYZ", "rows"])
def test_axes_that_are_no_order_of_three_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="axes"):
        parse_axes(text)


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_axes_is_that_of_einsum(order: str) -> None:
    axes = parse_axes(f" {order.lower()} ")
    stored = np.arange(4 * 5 * 6).reshape(axes.stored((4, 5, 6)))
    block = axes.to_block(stored)
    assert str(axes) == order
    assert axes.shape(stored.shape) == (4, 5, 6)
    np.testing.assert_array_equal(block, np.einsum(f"{order}->BYX", stored))
    np.testing.assert_array_equal(axes.from_block(block), stored)
    for source in (stored, axes.from_block(block.copy()), stored[::2]):
        arranged = axes.laid_out(source, np.dtype(">f4"))
        assert arranged.flags.c_contiguous
        assert arranged.dtype == ">f4"
        np.testing.assert_array_equal(arranged, source)
    window = Window(1, 2, 3, 4)
    np.testing.assert_array_equal(
        axes.to_block(stored[axes.index(window)]), block[:, *window.slices]
    )


@pytest.mark.parametrize(
    ("shape", "wavelengths", "order"),
    [
        ((4, 5, 6), None, "YXB"),
        ((4, 5, 6), 6, "YXB"),
        ((4, 5, 6), 4, "BYX"),
        ((4, 5, 6), 5, "YBX"),
        ((4, 5, 6), 7, "YXB"),
        ((6, 5, 6), 6, "YXB"),
    ],
)
def test_the_number_of_wavelengths_tells_the_bands_if_only_one_axis_has_it(
    shape: tuple[int, int, int], wavelengths: int | None, order: str
) -> None:
    axes, reason = guess_axes(shape, wavelengths=wavelengths)
    assert str(axes) == order
    assert ("wavelengths" in reason) == (shape.count(wavelengths or 0) == 1)
