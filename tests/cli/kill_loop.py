"""Kills `hsisr upscale` again and again and looks at what is left: python tests/cli/kill_loop.py.

After every SIGKILL the output has to be the older or the newer one, whole, or, where its
publication was cut, absent and finished by the next run; the input has to be unchanged; and the
same command has to succeed. Every run is a fork of this process, which has already run it once, so
that the moments fall into the work and not into imports.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np

from hsisr.cli import main

HEADER = """ENVI
samples = 48
lines = 64
bands = 32
data type = 2
interleave = bsq
byte order = 0
"""
NAMES = ("out.hdr", "out.img")


class Scene:
    """A scene, the command that sharpens it, and what may be found in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.header = folder, folder / "scene.hdr"
        numbers = np.random.default_rng(0).integers(0, 9000, (32, 64, 48), np.int16)
        (folder / "scene.img").write_bytes(numbers.tobytes())
        self.header.write_text(HEADER)
        self.input = self._read("scene.hdr", "scene.img")
        self.older, self.newer = (self._made(scale) for scale in ("3", "2"))

    def start(self) -> int:
        """Begin the command in a fork; returns its process id."""
        child = os.fork()
        if not child:
            os._exit(self._upscale("2"))
        return child

    def restore(self) -> None:
        """Bring back the older output."""
        for name, content in self.older.items():
            (self.folder / name).write_bytes(content or b"")

    def verdict(self) -> str:
        """What a kill left behind; raises `AssertionError` for anything half done."""
        assert self._read("scene.hdr", "scene.img") == self.input, "the input changed"
        found = self._read(*NAMES)
        if found == self.older:
            return "the older result"
        if found == self.newer:
            return "the newer result"
        assert found["out.hdr"] is None, "a header beside data that are not its own"
        assert (self.folder / "out.hdr.commit.part").exists(), "no list to finish from"
        return "a result that the next run finished"

    def again(self) -> None:
        """The same command; raises `AssertionError` unless it leaves the newer result alone."""
        assert _ended(self.start()) == 0, "the same command failed"
        assert self._read(*NAMES) == self.newer, "the same command gave another result"
        assert not list(self.folder.glob("*.part")), "parts were left"

    def _read(self, *names: str) -> dict[str, bytes | None]:
        paths = [self.folder / name for name in names]
        return {path.name: path.read_bytes() if path.exists() else None for path in paths}

    def _made(self, scale: str) -> dict[str, bytes | None]:
        assert self._upscale(scale) == 0
        return self._read(*NAMES)

    def _upscale(self, scale: str) -> int:
        output = ["-o", str(self.folder / "out.img"), "--overwrite", "--no-quicklook"]
        model = ["--model", "bicubic", "--scale", scale, "--tile", "16", "--threads", "1"]
        with Path(os.devnull).open("w") as silence, redirect_stderr(silence):
            return main(["upscale", str(self.header), *model, *output])


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _after(seconds: float) -> Callable[[int], None]:
    def wait(child: int) -> None:
        time.sleep(seconds)

    return wait


def _while_publishing(commit: Path) -> Callable[[int], None]:
    def wait(child: int) -> None:
        while (
            not commit.exists()
            and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        ):
            pass

    return wait


def kill_loop(folder: Path, count: int, seed: int) -> Counter[str]:
    """Kill `count` runs, every fourth while it publishes; returns what was left how often."""
    scene, moments = Scene(folder), random.Random(seed)
    started = time.monotonic()
    scene.again()
    lasting = time.monotonic() - started
    verdicts: Counter[str] = Counter()
    for index in range(count):
        scene.restore()
        moment = _after(moments.uniform(0, lasting))
        wait = _while_publishing(folder / "out.hdr.commit.part") if index % 4 == 3 else moment
        child = scene.start()
        wait(child)
        os.kill(child, signal.SIGKILL)
        _ended(child)
        verdicts[scene.verdict()] += 1
        scene.again()
    return verdicts


def command() -> None:
    """Run the loop as a script; ends with an `AssertionError` where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = kill_loop(Path(folder), options.count, options.seed)
    sys.stdout.write(f"{options.count} kills\n")
    for verdict, times in verdicts.most_common():
        sys.stdout.write(f"{times:5d} left {verdict}\n")


if __name__ == "__main__":
    command()
