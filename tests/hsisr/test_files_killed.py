"""A run killed at any system call of a publication leaves the old pair, the new, or its parts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hsisr.files import recover

OLD, NEW = (b"old data", b"old header"), (b"the new data", b"the new header")

CHILD = """
import sys
from pathlib import Path
from hsisr.files import PartFile, publish, recover
job, data, header = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if job == "publish":
    parts = [PartFile(data), PartFile(header)]
    for part, content in zip(parts, (b"the new data", b"the new header")):
        part.clear()
        part.reserve(len(content))
        part.pwrite(content, 0)
    for part in parts:
        part.sync()
    publish(parts)
else:
    recover(header)
"""

KILLER = """
import builtins, fcntl, io, os, signal
left = int(os.environ["KILL_AT"])

def deadly(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapper

def arm():
    names = "open close fdatasync fsync pwrite ftruncate posix_fallocate replace unlink fstat stat"
    for name in names.split():
        setattr(os, name, deadly(getattr(os, name)))
    fcntl.flock, io.open = deadly(fcntl.flock), deadly(io.open)
"""


@cache
def has_strace() -> bool:
    """Whether system calls can be tampered with; in containers that may be forbidden."""
    if shutil.which("strace") is None:
        return False
    trial = ["strace", "-qq", "-o", os.devnull, "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def run_killed(job: str, folder: Path, at: int) -> int:
    """Run the child and kill it before its `at`-th call that concerns the pair."""
    pair = [str(folder / "scene.img"), str(folder / "scene.hdr")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "KILL_AT": str(at)}
    if has_strace():
        suffixes = ("", ".part", ".commit.part")
        paths = [str(folder), *(name + suffix for name in pair for suffix in suffixes)]
        watched = [word for path in paths for word in ("-P", path)]
        tamper = ["-e", "trace=all", "-e", f"inject=all:signal=KILL:when={at}"]
        command = [
            "strace",
            "-qq",
            "-o",
            os.devnull,
            *watched,
            *tamper,
            sys.executable,
            "-c",
            CHILD,
        ]
    else:
        head, rest = CHILD.split("job, data", 1)
        code = f"{KILLER}\n{head}\narm()\njob, data{rest}"
        command = [sys.executable, "-c", code]
    return subprocess.run([*command, job, *pair], env=env, check=False).returncode


def killed_everywhere(job: str, folder: Path, prepare: Path) -> Iterator[int]:
    """Run the job in a fresh copy of `prepare`, killed at call 1, 2, ... until it survives."""
    for at in range(1, 200):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(prepare, folder)
        if run_killed(job, folder, at) == 0:
            assert at > 5, "nothing was killed"
            return
        yield at
    raise AssertionError("the job never ended")


def pair_in(folder: Path) -> tuple[bytes | None, bytes | None]:
    data, header = folder / "scene.img", folder / "scene.hdr"
    return tuple(path.read_bytes() if path.exists() else None for path in (data, header))  # type: ignore[return-value]


def assert_sound(folder: Path, *allowed: tuple[bytes | None, bytes | None]) -> None:
    """A header describes its data; without one, the new pair can be recovered."""
    found = pair_in(folder)
    if found[1] is None and found not in allowed:
        assert recover(folder / "scene.hdr")
        assert pair_in(folder) == NEW
    else:
        assert found in allowed


def write_old(folder: Path) -> None:
    folder.mkdir()
    (folder / "scene.img").write_bytes(OLD[0])
    (folder / "scene.hdr").write_bytes(OLD[1])


@pytest.mark.parametrize("before", ["an old pair", "nothing"])
def test_a_publication_killed_anywhere_keeps_a_whole_pair(tmp_path: Path, before: str) -> None:
    prepared, folder = tmp_path / "prepared", tmp_path / "run"
    write_old(prepared) if before == "an old pair" else prepared.mkdir()
    first = pair_in(prepared)
    outcomes = set()
    for _ in killed_everywhere("publish", folder, prepared):
        assert_sound(folder, first, NEW)
        recover(folder / "scene.hdr")
        outcomes.add(pair_in(folder))
    assert outcomes == {first, NEW}
    assert pair_in(folder) == NEW
    assert sorted(os.listdir(folder)) == ["scene.hdr", "scene.img"]


def test_the_run_after_a_killed_one_succeeds(tmp_path: Path) -> None:
    prepared, folder = tmp_path / "prepared", tmp_path / "run"
    write_old(prepared)
    for at in killed_everywhere("publish", folder, prepared):
        if at % 4 == 0:
            recover(folder / "scene.hdr")
            assert run_killed("publish", folder, 9999) == 0
            assert pair_in(folder) == NEW
            assert sorted(os.listdir(folder)) == ["scene.hdr", "scene.img"]


def test_a_recovery_killed_anywhere_can_be_repeated(tmp_path: Path) -> None:
    prepared, folder = tmp_path / "prepared", tmp_path / "run"
    write_old(prepared)
    (prepared / "scene.img.part").write_bytes(NEW[0])
    (prepared / "scene.hdr.part").write_bytes(NEW[1])
    (prepared / "scene.hdr.commit.part").write_bytes(b'["scene.img", "scene.hdr"]')
    for _ in killed_everywhere("recover", folder, prepared):
        assert_sound(folder, OLD, NEW)
        recover(folder / "scene.hdr")
        assert pair_in(folder) == NEW
    assert pair_in(folder) == NEW
    assert sorted(os.listdir(folder)) == ["scene.hdr", "scene.img"]


def test_a_killed_child_is_really_killed(tmp_path: Path) -> None:
    assert run_killed("publish", tmp_path, 1) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert os.listdir(tmp_path) == []
