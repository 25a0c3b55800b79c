"""Writers that are stopped and continued, killed anywhere, and shared by threads and processes."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, CubeWriter, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError, UsageError
from hsisr.files import PartFile, reserved
from hsisr.formats import create_cube, load, open_cube
from hsisr.formats.tiff import layout as tiff_layout
from hsisr.window import TilePlan, Window

RAW = [("envi", "s.img"), ("tiff", "s.tif"), ("npy", "s.npy")]
ALL = [*RAW, ("hdf5", "s.h5"), ("hdf5", "s.mat")]
HDF5_SPARE = 12_000
"""Bytes by which an HDF5 file may be smaller than is told beforehand."""
ROOM = [
    *((format_name, name, 0) for format_name, name in RAW),
    *(("hdf5", name, HDF5_SPARE) for name in ("s.h5", "s.mat")),
    ("mat5", "s.mat", 12_000),
]
SPEC = CubeSpec(
    3,
    40,
    50,
    np.dtype(np.int16),
    nodata=-1.0,
    spectrum=Spectrum((400.0, 500.0, 600.0)),
    # a system that GeoKeys cannot hold: TIFF needs a second file
    geo=Geo((2.0, 0.0, 100.0, 0.0, -2.0, 900.0), 'LOCAL_CS["site",UNIT["metre",1]]'),
    interleave="bil",
)
UPPER, LOWER = Window(0, 0, 17, 50), Window(17, 0, 23, 50)

formats = pytest.mark.parametrize(("format_name", "name"), ALL)
raw_formats = pytest.mark.parametrize(("format_name", "name"), RAW)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIFF file of this size has several."""
    monkeypatch.setattr(tiff_layout, "_SIDE", 16)


@pytest.fixture
def block(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.integers(1, 9999, SPEC.shape).astype(np.float32)


def put(writer: CubeWriter, window: Window, block: NDArray[np.float32]) -> None:
    write_block(writer, window, block[:, *window.slices])


def pixels(path: Path) -> NDArray[np.float32]:
    with open_cube(path) as cube:
        return cube.read(cube.spec.window)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def undisturbed(folder: Path, format_name: str, name: str, block: NDArray[np.float32]) -> Any:
    folder.mkdir()
    with create_cube(folder / name, SPEC, format_name) as writer:
        put(writer, SPEC.window, block)
    return contents(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"interleave": "bip", "geo": None},
        # a TIFF file in strips
        {"rows": 9, "description": "of few rows"},
        {"dtype": np.dtype(np.float16)},
    ],
    ids=str,
)
@pytest.mark.parametrize(("format_name", "name", "more"), ROOM)
def test_the_room_that_is_told_is_what_the_files_take(
    format_name: str,
    name: str,
    more: int,
    changes: dict[str, Any],
    rng: np.random.Generator,
    tmp_path: Path,
) -> None:
    spec = replace(SPEC, **changes)
    if spec.dtype.kind == "f" and format_name in ("envi", "tiff"):
        with pytest.raises((OutputError, UsageError)):
            load(format_name).room(tmp_path / name, spec)
        return
    with create_cube(tmp_path / name, spec, format_name) as writer:
        write_block(writer, spec.window, rng.integers(1, 9999, spec.shape).astype(np.float32))
    size = sum(map(len, contents(tmp_path).values()))
    assert size <= load(format_name).room(tmp_path / name, spec) <= size + more


@pytest.mark.parametrize("name", ["s.h5", "s.mat"])
def test_the_room_of_many_chunks_is_told(name: str, tmp_path: Path) -> None:
    spec = replace(SPEC, bands=33, rows=65, cols=6000)
    with create_cube(tmp_path / name, spec, "hdf5"):
        pass
    size = (tmp_path / name).stat().st_size
    assert size <= load("hdf5").room(tmp_path / name, spec) <= size + HDF5_SPARE


def in_child(job: Callable[[], object]) -> int:
    """Run `job` in a process of its own, whose number is returned."""
    pid = os.fork()
    if pid:
        return pid
    try:
        job()
        os._exit(0)
    except BaseException:
        os._exit(9)


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@formats
def test_what_was_kept_is_continued(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    expected = undisturbed(tmp_path / "whole", format_name, name, block)
    folder = tmp_path / "run"
    folder.mkdir()
    writer = create_cube(folder / name, SPEC, format_name)
    assert not writer.resumed
    writer.keep()
    put(writer, UPPER, block)
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert reserved(writer.files)
    assert not any(file.exists() for file in writer.files)
    with create_cube(folder / name, SPEC, format_name, resume=True) as writer:
        assert writer.resumed
        writer.keep()
        put(writer, LOWER, block)
        writer.keep(False)
    assert not reserved(writer.files)
    assert contents(folder).keys() == expected.keys()
    np.testing.assert_array_equal(pixels(folder / name), block)
    if format_name != "hdf5":  # which notes when a group was made
        assert contents(folder) == expected


@formats
def test_without_the_wish_to_resume_all_begins_anew(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    with create_cube(tmp_path / name, SPEC, format_name) as writer:
        writer.keep()
        put(writer, SPEC.window, block)
    with create_cube(tmp_path / name, SPEC, format_name) as writer:
        assert not writer.resumed
        put(writer, UPPER, block)
    found = pixels(tmp_path / name)
    np.testing.assert_array_equal(found[:, :17], block[:, :17])
    assert not np.array_equal(found[:, 17:], block[:, 17:])


@formats
@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, rows=41),
        replace(SPEC, dtype=np.dtype(np.uint8)),
        replace(SPEC, rows=50, cols=40),
        replace(SPEC, bands=4, spectrum=None),
    ],
)
def test_parts_of_another_cube_are_not_continued(
    tmp_path: Path, format_name: str, name: str, other: CubeSpec
) -> None:
    with create_cube(tmp_path / name, other, format_name) as writer:
        writer.keep()
    ones = np.ones(SPEC.shape, np.float32)
    with create_cube(tmp_path / name, SPEC, format_name, resume=True) as writer:
        assert not writer.resumed
        put(writer, SPEC.window, ones)
    np.testing.assert_array_equal(pixels(tmp_path / name), ones)


def test_parts_of_the_same_size_in_another_order_are_not_continued(tmp_path: Path) -> None:
    with create_cube(tmp_path / "s.img", replace(SPEC, interleave="bsq"), "envi") as writer:
        writer.keep()
    with create_cube(tmp_path / "s.img", SPEC, "envi", resume=True) as writer:
        assert not writer.resumed


def test_half_of_a_pair_is_not_continued(tmp_path: Path) -> None:
    for lost in ("s.img.part", "s.hdr.part"):
        with create_cube(tmp_path / "s.img", SPEC, "envi") as writer:
            writer.keep()
        (tmp_path / lost).unlink()
        with create_cube(tmp_path / "s.img", SPEC, "envi", resume=True) as writer:
            assert not writer.resumed


def test_a_small_mat_file_always_begins_anew(tmp_path: Path) -> None:
    with create_cube(tmp_path / "s.mat", SPEC, "mat5") as writer:
        writer.keep()
        writer.sync()
    assert create_cube(tmp_path / "s.mat", SPEC, "mat5", resume=True).resumed is False


@formats
def test_what_was_synced_survives_a_kill(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    def stored_and_killed() -> None:
        with create_cube(tmp_path / name, SPEC, format_name) as writer:
            put(writer, UPPER, block)
            writer.sync()
            os.kill(os.getpid(), signal.SIGKILL)

    assert status_of(in_child(stored_and_killed)) == -signal.SIGKILL
    with create_cube(tmp_path / name, SPEC, format_name, resume=True) as writer:
        assert writer.resumed
        put(writer, LOWER, block)
    np.testing.assert_array_equal(pixels(tmp_path / name), block)


def deadly(left: int) -> None:
    """Kill this process at its `left`-th call that touches a file."""
    calls = "open close ftruncate posix_fallocate pwrite fdatasync fsync fstat replace unlink"

    def armed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    for name in calls.split():
        setattr(os, name, armed(getattr(os, name)))
    fcntl.flock = armed(fcntl.flock)


@formats
def test_a_run_killed_anywhere_is_continued_or_begun_anew(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    at, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()

        def whole_run(at: int = at, folder: Path = folder) -> None:
            deadly(at)
            with create_cube(folder / name, SPEC, format_name) as writer:
                put(writer, UPPER, block)
                writer.sync()
                put(writer, LOWER, block)

        status = status_of(in_child(whole_run))
        if status == -signal.SIGKILL:
            with create_cube(folder / name, SPEC, format_name, resume=True) as writer:
                put(writer, SPEC.window, block)
        np.testing.assert_array_equal(pixels(folder / name), block)
        assert not any(file.suffix == ".part" for file in folder.iterdir())
    assert status == 0
    assert at > 20


@formats
def test_threads_store_side_by_side(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    with create_cube(tmp_path / name, SPEC, format_name) as writer, ThreadPoolExecutor(8) as pool:
        windows = [tile.write for tile in TilePlan(40, 50, tile=(7, 7), halo=0)]
        list(pool.map(lambda window: put(writer, window, block), windows))
    np.testing.assert_array_equal(pixels(tmp_path / name), block)


@raw_formats
def test_processes_that_share_an_output_make_what_one_makes(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    expected = undisturbed(tmp_path / "whole", format_name, name, block)
    folder = tmp_path / "run"
    folder.mkdir()
    windows = [Window(row, 0, 5, 50) for row in range(0, 40, 5)]

    def share_of(window: Window) -> Callable[[], None]:
        def job() -> None:
            # with the wish to resume, as others may have come and gone
            with create_cube(folder / name, SPEC, format_name, resume=True, shared=True) as writer:
                writer.keep()
                put(writer, window, block)

        return job

    assert [status_of(pid) for pid in [in_child(share_of(w)) for w in windows]] == [0] * 8
    with create_cube(folder / name, SPEC, format_name, resume=True, shared=True) as writer:
        assert writer.resumed
    assert contents(folder) == expected


@raw_formats
def test_who_joins_others_at_work_takes_nothing_from_them(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    first = create_cube(tmp_path / name, SPEC, format_name, shared=True)
    put(first, UPPER, block)
    second = create_cube(tmp_path / name, SPEC, format_name, shared=True)
    assert second.resumed
    put(second, LOWER, block)
    with pytest.raises(KeyError), second:
        raise KeyError
    with first:
        pass
    np.testing.assert_array_equal(pixels(tmp_path / name), block)


@raw_formats
@pytest.mark.parametrize("shared", [True, False])
def test_shared_runs_and_others_exclude_each_other(
    tmp_path: Path, format_name: str, name: str, shared: bool, block: NDArray[np.float32]
) -> None:
    with create_cube(tmp_path / name, SPEC, format_name, shared=shared) as writer:
        put(writer, UPPER, block)
        for resume in (True, False):
            with pytest.raises(OutputError, match="another run"):
                create_cube(tmp_path / name, SPEC, format_name, resume=resume, shared=not shared)
        put(writer, LOWER, block)
    np.testing.assert_array_equal(pixels(tmp_path / name), block)


def test_another_cube_cannot_join(tmp_path: Path, block: NDArray[np.float32]) -> None:
    with create_cube(tmp_path / "s.img", SPEC, "envi", shared=True) as writer:
        put(writer, SPEC.window, block)
        with pytest.raises(OutputError, match="another run"):
            create_cube(tmp_path / "s.img", replace(SPEC, rows=41), "envi", shared=True)
    np.testing.assert_array_equal(pixels(tmp_path / "s.img"), block)


@raw_formats
def test_one_publishes_and_the_others_leave(
    tmp_path: Path, format_name: str, name: str, block: NDArray[np.float32]
) -> None:
    writers = [create_cube(tmp_path / name, SPEC, format_name, shared=True) for _ in range(4)]
    keeps, fails, publishes_too = writers[1:]
    with writers[0] as writer:
        put(writer, SPEC.window, block)
    published = contents(tmp_path)
    with keeps:
        keeps.keep()
    with pytest.raises(KeyError), fails:
        raise KeyError
    with pytest.raises(OutputError, match="gone"), publishes_too:
        pass
    assert contents(tmp_path) == published
    np.testing.assert_array_equal(pixels(tmp_path / name), block)


def test_who_leaves_late_does_not_touch_the_next_run(
    tmp_path: Path, block: NDArray[np.float32]
) -> None:
    late = create_cube(tmp_path / "s.npy", SPEC, "npy", shared=True)
    with create_cube(tmp_path / "s.npy", SPEC, "npy", shared=True) as writer:
        put(writer, SPEC.window, -block)
    with create_cube(tmp_path / "s.npy", SPEC, "npy") as writer:
        put(writer, UPPER, block)
        with pytest.raises(KeyError), late:
            raise KeyError
        put(writer, LOWER, block)
    np.testing.assert_array_equal(pixels(tmp_path / "s.npy"), block)


def test_the_last_to_fail_drops_the_parts(tmp_path: Path) -> None:
    writers = [create_cube(tmp_path / "s.img", SPEC, "envi", shared=True) for _ in range(2)]
    for writer, left in zip(writers, (2, 0), strict=True):
        with pytest.raises(KeyError), writer:
            raise KeyError
        assert len(list(tmp_path.iterdir())) == left


@pytest.mark.parametrize("format_name", ["hdf5", "mat5"])
def test_formats_that_cannot_be_shared_say_which_can(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_cube(tmp_path / "s.mat", SPEC, format_name, shared=True)
    assert caught.value.hint == "--format envi"
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_leaves_what_another_has_kept(tmp_path: Path) -> None:
    with create_cube(tmp_path / "s.img", SPEC, "envi") as writer:
        writer.keep()
    before = contents(tmp_path)
    header = PartFile(tmp_path / "s.hdr")
    for name in ("s.img", "s.bil"):
        with pytest.raises(OutputError, match="another run"):
            create_cube(tmp_path / name, SPEC, "envi")
    header.close()
    assert contents(tmp_path) == before


def test_a_part_that_somebody_removed_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="gone"), create_cube(tmp_path / "s.npy", SPEC, "npy"):
        (tmp_path / "s.npy.part").unlink()
    assert list(tmp_path.iterdir()) == []
