"""Files appear whole under their names or not at all, whatever the disk and the links say."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsisr.errors import HsisrError, OutputError, UsageError
from hsisr.files import (
    PartFile,
    explained,
    human_size,
    publish,
    recover,
    require_new,
    require_room,
    reserved,
    turn,
    write_durably,
    write_json,
)


def test_a_file_appears_only_when_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "scene.img"
    part = PartFile(target)
    part.reserve(4)
    part.pwrite(b"ab", 0)
    part.pwrite(b"cd", 2)
    part.sync()
    assert not target.exists()
    publish([part])
    assert target.read_bytes() == b"abcd"
    assert os.listdir(tmp_path) == ["scene.img"]


def test_a_discarded_part_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "scene.img"
    target.write_bytes(b"old")
    part = PartFile(target)
    part.reserve(100)
    part.pwrite(b"new", 0)
    part.discard()
    part.discard()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["scene.img"]


def test_a_part_that_another_run_is_writing_is_refused(tmp_path: Path) -> None:
    first = PartFile(tmp_path / "scene.img")
    first.pwrite(b"first", 0)
    with pytest.raises(OutputError, match="another run"):
        PartFile(tmp_path / "scene.img")
    first.sync()
    with pytest.raises(OutputError, match="another run"):
        PartFile(tmp_path / "scene.img")
    publish([first])
    assert (tmp_path / "scene.img").read_bytes() == b"first"
    PartFile(tmp_path / "scene.img").discard()


def test_a_part_left_by_a_dead_run_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "scene.img.part").write_bytes(b"half of an old result")
    write_durably(tmp_path / "scene.img", b"new")
    assert (tmp_path / "scene.img").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["scene.img"]


def test_a_link_is_kept_and_its_target_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "scene.img", tmp_path / "link.img"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_durably(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_link_in_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "scene.img.part").symlink_to(victim)
    with pytest.raises(OutputError):
        write_durably(tmp_path / "scene.img", b"new")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_of_a_file_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_durably(tmp_path / "scene.img", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "scene.img").stat().st_mode & 0o777 == mode


def test_what_the_system_refuses_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder.img").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "folder.img", tmp_path / "file" / "x.img", tmp_path / "none" / "x"):
        with pytest.raises(OutputError, match="cannot write"):
            write_durably(target, b"new")
    assert (tmp_path / "folder.img").is_dir()


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), explained(tmp_path):
        raise ZeroDivisionError


FULL_DISK = """
import resource, sys
from pathlib import Path
from hsisr.errors import OutputError
from hsisr.files import PartFile, write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
target, reserve = Path(sys.argv[1]), sys.argv[2] == "reserved"
try:
    PartFile(target).reserve(1 << 20) if reserve else write_durably(target, bytes(1 << 20))
except OutputError as error:
    print(error.what, error.hint, sep="|")
"""


@pytest.mark.parametrize("how", ["reserved", "written"])
def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path, how: str) -> None:
    target = tmp_path / "scene.img"
    target.write_bytes(b"old")
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, target, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    what, hint = child.stdout.strip().split("|")
    assert "not enough disk (File too large)" in what
    assert " free" in what
    assert ("needs 1.0 MB" in what) == (how == "reserved")
    assert "another disk" in hint
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["scene.img"]


def test_room_is_required_before_any_work(tmp_path: Path) -> None:
    require_room(tmp_path / "scene.img", 1)
    with pytest.raises(OutputError, match=r"needs 1000000\.0 TB.*free"):
        require_room(tmp_path / "scene.img", 10**18)


def test_an_output_never_replaces_an_input(tmp_path: Path) -> None:
    scene = tmp_path / "scene.img"
    scene.write_bytes(b"precious")
    hard, soft = tmp_path / "hard.img", tmp_path / "soft.img"
    hard.hardlink_to(scene)
    soft.symlink_to(scene)
    (tmp_path / "folder").mkdir()
    roundabout = tmp_path / "folder" / ".." / "scene.img"
    for output in (scene, hard, soft, roundabout):
        with pytest.raises(UsageError, match="replace the input"):
            require_new([output], [scene], overwrite=True)
    assert scene.read_bytes() == b"precious"


def test_older_results_are_replaced_only_when_asked(tmp_path: Path) -> None:
    scene, output = tmp_path / "scene.img", tmp_path / "scene_x2.img"
    scene.touch()
    require_new([output], [scene], overwrite=False)
    output.touch()
    with pytest.raises(OutputError, match="already exists"):
        require_new([tmp_path / "new.img", output], [scene], overwrite=False)
    require_new([output], [scene, tmp_path / "gone.img"], overwrite=True)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.img")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="a folder or a device is there"):
            require_new([tmp_path / "x.img"], [], overwrite=overwrite)


def test_a_missing_folder_is_named_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist") as caught:
        require_new([tmp_path / "none" / "x.img"], [], overwrite=False)
    assert caught.value.hint == f"mkdir -p {tmp_path / 'none'}"


@pytest.mark.parametrize(
    "commit",
    [b"", b"{", b"3", b"null", b'{"a": 1}', b"[]", b"[1]", b'["other.hdr"]', b'["../x", "x"]'],
)
def test_a_damaged_list_of_parts_recovers_nothing(tmp_path: Path, commit: bytes) -> None:
    (tmp_path / "scene.hdr.commit.part").write_bytes(commit)
    (tmp_path / "scene.hdr.part").write_bytes(b"half")
    assert not recover(tmp_path / "scene.hdr")
    assert not (tmp_path / "scene.hdr").exists()


def test_recovery_stays_in_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "victim.part").write_bytes(b"bad")
    (tmp_path / "victim").write_bytes(b"precious")
    (inside / "scene.hdr.commit.part").write_bytes(b'["../victim", "scene.hdr"]')
    recover(inside / "scene.hdr")
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"scale": 4, "notes": ["a"]})
    assert (
        tmp_path / "run.json"
    ).read_text() == '{\n  "scale": 4,\n  "notes": [\n    "a"\n  ]\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "run.json", {"scale": object()})
    assert "scale" in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (305e9, "305.0 GB"),
        (2.5e15, "2500.0 TB"),
    ],
)
def test_sizes_are_told_in_words(size: float, words: str) -> None:
    assert human_size(size) == words


def test_parts_do_not_leak_descriptors(tmp_path: Path) -> None:
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        write_durably(tmp_path / "scene.img", b"new")
        with pytest.raises(HsisrError):
            PartFile(tmp_path / "none" / "scene.img")
        held = PartFile(tmp_path / "held.img")
        with pytest.raises(HsisrError):
            PartFile(tmp_path / "held.img")
        held.discard()
    assert len(os.listdir("/proc/self/fd")) <= before < limit


def test_one_at_a_time_begins_or_ends_an_output(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count(_: int) -> None:
        with turn(tmp_path / "scene.img"):
            number = int(counter.read_text())
            counter.write_text("")
            counter.write_text(str(number + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(200)))
    assert counter.read_text() == "200"
    assert os.listdir(tmp_path) == ["counter"]


def test_pieces_are_scattered_to_their_places(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "scene.img")
    part.reserve(9)
    part.scatter(memoryview(b"abcdef"), [7, 0, 4])
    part.sync()
    publish([part])
    assert (tmp_path / "scene.img").read_bytes() == b"cd\0\0ef\0ab"


def test_the_disk_that_unfinished_parts_hold_is_counted_behind_links(tmp_path: Path) -> None:
    (tmp_path / "link.img").symlink_to(tmp_path / "scene.img")
    targets = [tmp_path / "link.img", tmp_path / "scene.hdr"]
    assert not reserved(targets)
    (tmp_path / "scene.img.part").write_bytes(bytes(5000))
    assert reserved(targets) == 8192
