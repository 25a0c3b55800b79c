"""Which header and which data file belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsisr.errors import InputError
from hsisr.formats import envi, open_cube


def scene(folder: Path, header: str = "scene.hdr", data: str = "scene.img", value: int = 0) -> Path:
    """A scene of one pixel."""
    (folder / data).write_bytes(bytes([value]))
    (folder / header).write_text(
        "ENVI\nsamples = 1\nlines = 1\nbands = 1\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"
    )
    return folder / header


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("scene.hdr", "scene"),
        ("scene.hdr", "scene.img"),
        ("scene.hdr", "scene.DAT"),
        ("scene.HDR", "scene.bil"),
        ("scene.hdr", "scene.hyspex"),
        ("scene.img.hdr", "scene.img"),
        ("scene.bip.HDR", "scene.bip"),
        ("a [b] ünï.v1.hdr", "a [b] ünï.v1"),
        ("flight.v1.2.raw.hdr", "flight.v1.2.raw"),
        ("x" * 251 + ".hdr", "x" * 251 + ".img"),
    ],
)
def test_either_file_of_a_pair_opens_the_scene(tmp_path: Path, header: str, data: str) -> None:
    scene(tmp_path, header, data, value=7)
    for name in (header, data):
        with open_cube(tmp_path / name) as cube:
            assert cube.files == (tmp_path / data, tmp_path / header)
            assert cube.format == "envi"
            assert cube.read(cube.spec.window).item() == 7


def test_several_data_files_are_refused_by_name_unless_one_is_named(tmp_path: Path) -> None:
    header = scene(tmp_path, data="scene.img")
    scene(tmp_path, data="scene.dat", value=1)
    with pytest.raises(InputError, match=r"scene\.img, scene\.dat"):
        open_cube(header)
    with open_cube(tmp_path / "scene.dat") as cube:
        assert cube.read(cube.spec.window).item() == 1


@pytest.mark.parametrize("named", ["scene.hdr", "scene.rad"])
def test_data_of_another_ending_are_found_once_the_header_is_copied_as_told(
    tmp_path: Path, named: str
) -> None:
    header = scene(tmp_path, data="scene.rad", value=7)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / named)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("to scene.rad.hdr")
    shutil.copy(header, tmp_path / "scene.rad.hdr")
    with open_cube(tmp_path / "scene.rad") as cube:
        assert cube.read(cube.spec.window).item() == 7


def test_of_two_headers_the_one_named_after_the_whole_data_file_counts(tmp_path: Path) -> None:
    whole, stem = scene(tmp_path, header="scene.img.hdr"), scene(tmp_path, header="scene.hdr")
    with open_cube(tmp_path / "scene.img") as cube:
        assert cube.files == (tmp_path / "scene.img", whole)
        assert cube.notes == ("scene.img has several headers; scene.hdr was not used",)
    with open_cube(stem) as cube:
        assert cube.files == (tmp_path / "scene.img", stem)
        assert cube.notes == ("scene.img has several headers; scene.img.hdr was not used",)


def test_a_data_file_that_is_a_link_to_another_folder_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    scene(tmp_path / "elsewhere", value=5)
    header = scene(tmp_path)
    (tmp_path / "scene.img").unlink()
    (tmp_path / "scene.img").symlink_to(tmp_path / "elsewhere" / "scene.img")
    with pytest.raises(InputError, match="elsewhere"):
        open_cube(header)
    with open_cube(tmp_path / "scene.img") as cube:
        assert cube.read(cube.spec.window).item() == 5


def test_a_pair_behind_a_link_to_its_folder_opens(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    scene(tmp_path / "archive", value=5)
    (tmp_path / "today").symlink_to(tmp_path / "archive")
    with open_cube(tmp_path / "today" / "scene.hdr") as cube:
        assert cube.read(cube.spec.window).item() == 5


@pytest.mark.parametrize(
    "head", [b"II*\0", b"MM\0+", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"MATLAB 5.0"]
)
def test_files_of_other_formats_are_left_alone_even_beside_a_header(
    tmp_path: Path, head: bytes
) -> None:
    scene(tmp_path)
    assert not envi.sniff(tmp_path / "scene.img", head + bytes(100))
    assert envi.sniff(tmp_path / "scene.img", bytes(100))


def test_a_data_file_without_a_header_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "scene.img").write_bytes(bytes(8))
    with pytest.raises(InputError, match=r"scene\.img\.hdr.*scene\.hdr"):
        open_cube(tmp_path / "scene.img")
