"""Kills a run right after each file it lets appear: python tests/cli/cut_off.py.

The same command, given once more without a word about overwriting, has to end well, to give the
bytes of a run that was not disturbed, and to leave nothing else. Every run but the first is a fork
of this process, which has imported all by then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from itertools import count
from pathlib import Path

import numpy as np

from hsisr.cli import main

HEADER = """ENVI
samples = 24
lines = 30
bands = 6
data type = 2
interleave = bsq
byte order = 0
"""
COMMANDS = (
    "upscale --model bicubic --scale 2 --uncertainty",
    "unmix --endmembers 3 --method vca",
    "unmix --endmembers 2 --method vca --scale 2 --sr-model bicubic",
)
KILLED = -signal.SIGKILL


def ended(command: str, folder: Path) -> int:
    """How the command ends in this process."""
    name, *options = command.split()
    output = folder / ("out.img" if name == "upscale" else "out")
    files = [str(folder / "scene.hdr"), "-o", str(output)]
    with Path(os.devnull).open("w") as silence, redirect_stderr(silence):
        return main([name, *files, *options, "--threads", "1"])


def ended_apart(command: str, folder: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """How the command ends in a fork, in which `prepare` is called before."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        prepare()
        code = ended(command, folder)
    finally:
        os._exit(code)


def dies_after(number: int) -> Callable[[], None]:
    """Makes a process die as soon as so many files have got their names."""
    left, replace = iter(range(number - 1)), os.replace

    def replaced(*names: str) -> None:
        replace(*names)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def prepare() -> None:
        os.replace = replaced

    return prepare


def results(folder: Path) -> dict[str, str]:
    """All that is there, but for the time in the records."""
    return {
        path.name: "" if path.suffix == ".json" else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def cut_off(command: str, scene: Path, folder: Path) -> int:
    """Kill and repeat the command at every file; returns how many kills that took."""
    undisturbed = shutil.copytree(scene, folder / "undisturbed")
    assert ended(command, undisturbed) == 0
    whole = results(undisturbed)
    for number in count(1):
        place = shutil.copytree(scene, folder / str(number))
        code = ended_apart(command, place, dies_after(number))
        if code != KILLED:
            assert code == 0, f"'{command}' ended with {code}"
            break
        assert ended_apart(command, place) == 0, f"'{command}' refused after file {number}"
        found = results(place)
        assert found == whole, f"'{command}', after file {number}: {found.items() ^ whole.items()}"
    return number - 1


def run() -> None:
    """Cut off all commands; ends with an `AssertionError` where a promise was broken."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder, "scene")
        scene.mkdir()
        numbers = np.random.default_rng(0).integers(1, 9000, (6, 30, 24), np.int16)
        (scene / "scene.img").write_bytes(numbers.tobytes())
        (scene / "scene.hdr").write_text(HEADER)
        for index, command in enumerate(COMMANDS):
            kills = cut_off(command, scene, Path(folder, str(index)))
            sys.stdout.write(f"{kills} kills of {command}, all continued\n")


if __name__ == "__main__":
    run()
