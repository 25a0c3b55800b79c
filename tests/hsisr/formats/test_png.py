"""Folders of band PNGs are read as cubes, and refused where a band does not fit."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsisr.errors import InputError, UsageError
from hsisr.formats import load, open_cube
from hsisr.results.export import format_of, stem_of
from hsisr.window import Window

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Folder:
    """Writes bands (B, h, w) with Pillow: `folder(bands)`; returns their folder."""

    def written(bands: NDArray[Any], name: str = "toy_ms", start: int = 1) -> Path:
        place = tmp_path / name
        place.mkdir()
        for number, band in enumerate(bands, start):
            Image.fromarray(band).save(place / f"{name}_{number:02d}.png")
        return place

    return written


def pattern(bands: int, rows: int, cols: int, dtype: str = "uint16") -> NDArray[Any]:
    numbers = np.arange(bands * rows * cols, dtype=np.int64).reshape(bands, rows, cols) * 7919
    return (numbers % (np.iinfo(dtype).max + 1)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("start", [0, 1])
def test_any_of_the_files_names_the_cube(folder: Folder, dtype: str, start: int) -> None:
    bands = pattern(12, 9, 7, dtype)
    place = folder(bands, start=start)
    for name in (f"toy_ms_{start:02d}.png", "toy_ms_11.png"):
        with open_cube(place / name) as cube:
            assert (cube.format, cube.spec.shape, cube.spec.dtype) == ("png", (12, 9, 7), dtype)
            assert [path.name for path in cube.files] == [
                f"toy_ms_{number:02d}.png" for number in range(start, start + 12)
            ]
            np.testing.assert_array_equal(cube.read(cube.spec.window), bands)
            np.testing.assert_array_equal(cube.read(Window(2, 3, 4, 2)), bands[:, 2:6, 3:5])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_that_is_stored_as_colour_is_grey(folder: Folder, mode: str) -> None:
    bands = pattern(3, 6, 5, "uint8")
    place = folder(bands)
    for path in sorted(place.iterdir()):
        with Image.open(path) as picture:
            picture.convert(mode).save(path)
    with open_cube(place / "toy_ms_01.png") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), bands)


def test_other_files_in_the_folder_do_not_matter(folder: Folder) -> None:
    place = folder(pattern(3, 6, 5))
    (place / "toy_RGB.bmp").write_bytes(b"BM")
    (place / "Thumbs.db").touch()
    (place / "other_01.png").write_bytes((place / "toy_ms_01.png").read_bytes())
    with open_cube(place / "toy_ms_02.png") as cube:
        assert cube.spec.bands == 3


def test_a_missing_band_is_named(folder: Folder) -> None:
    place = folder(pattern(5, 6, 5))
    (place / "toy_ms_03.png").unlink()
    with pytest.raises(
        InputError, match=r"band 3 of toy_ms_\.\.\. is missing; found 4 files"
    ) as it:
        open_cube(place / "toy_ms_05.png")
    assert it.value.where == str(place)
    (place / "toy_ms_01.png").unlink()
    with pytest.raises(InputError, match="band 1 of"):
        open_cube(place / "toy_ms_05.png")


def test_a_band_that_is_there_twice_is_named(folder: Folder) -> None:
    place = folder(pattern(3, 6, 5))
    (place / "toy_ms_002.png").write_bytes((place / "toy_ms_02.png").read_bytes())
    with pytest.raises(InputError, match="the same band as toy_ms_0"):
        open_cube(place / "toy_ms_01.png")


@pytest.mark.parametrize(
    ("band", "said"),
    [
        (pattern(1, 6, 4)[0], "is 6 x 4 pixels, toy_ms_01.png is 6 x 5"),
        (pattern(1, 6, 5, "uint8")[0], "has 8 bits, toy_ms_01.png has 16"),
    ],
)
def test_bands_must_be_alike(folder: Folder, band: NDArray[Any], said: str) -> None:
    place = folder(pattern(3, 6, 5))
    Image.fromarray(band).save(place / "toy_ms_02.png")
    with pytest.raises(InputError, match=said) as caught:
        open_cube(place / "toy_ms_01.png")
    assert caught.value.where == str(place / "toy_ms_02.png")


def test_a_picture_in_colour_is_no_band(folder: Folder, rng: np.random.Generator) -> None:
    place = folder(pattern(3, 6, 5, "uint8"))
    Image.fromarray(rng.integers(0, 255, (6, 5, 3), np.uint8)).save(place / "toy_ms_03.png")
    with open_cube(place / "toy_ms_01.png") as cube, pytest.raises(InputError) as caught:
        cube.read(cube.spec.window)
    assert "picture in colour" in caught.value.what
    assert caught.value.where == str(place / "toy_ms_03.png")


def complaint(path: Path) -> str | None:
    """The file that is to blame if the cube cannot be read."""
    try:
        with open_cube(path) as cube:
            cube.read(cube.spec.window)
    except InputError as error:
        return error.where
    return None


def test_damaged_bands_are_named(folder: Folder, rng: np.random.Generator) -> None:
    place = folder(pattern(3, 20, 15))
    victim = place / "toy_ms_02.png"
    whole = victim.read_bytes()
    for length in range(0, len(whole) - 20, 7):
        os.truncate(victim, length)
        assert complaint(place / "toy_ms_01.png") == str(victim)
        victim.write_bytes(whole)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(8, len(whole))] ^= int(rng.integers(1, 256))
        victim.write_bytes(damaged)
        assert complaint(place / "toy_ms_01.png") in (None, str(victim))


def test_a_small_file_cannot_declare_a_large_picture(folder: Folder) -> None:
    place = folder(pattern(2, 6, 5))
    for path in place.iterdir():
        head = bytearray(path.read_bytes())
        head[16:24] = b"\0\1\0\0" * 2
        path.write_bytes(head)
    with pytest.raises(InputError, match="declares 65536 x 65536 pixels of 16 bits, more than"):
        open_cube(place / "toy_ms_01.png")


def test_a_picture_without_a_number_is_no_cube(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(pattern(1, 6, 5)[0]).save(data, "PNG")
    for name in ("scene.png", "scene_x8.png"):
        (tmp_path / name).write_bytes(data.getvalue())
        with pytest.raises(InputError, match="not a format"):
            open_cube(tmp_path / name)


def test_results_of_such_a_cube_are_envi(folder: Folder, tmp_path: Path) -> None:
    with open_cube(folder(pattern(2, 6, 5)) / "toy_ms_01.png") as cube:
        assert format_of(cube, None, None) == "envi"
        assert format_of(cube, None, tmp_path / "a.tif") == "tiff"
        assert stem_of(cube, tmp_path) == tmp_path / "toy_ms_01"
    with pytest.raises(UsageError, match="no format 'png'"):
        load("png")
