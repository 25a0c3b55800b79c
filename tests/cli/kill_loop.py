"""Kills runs again and again, and goes on with what is left: python tests/cli/kill_loop.py.

Wherever SIGKILL, SIGTERM or SIGINT hits a run, the outputs have to be the older or the newer ones,
whole, or, where their publication was cut, absent and finished by the next run; and the input has
to be unchanged. The same command, repeated until it succeeds, has to give the bytes of a run that
was not disturbed, and to leave nothing else. Every run is a fork of this process, which has already
run it once, so that the moments fall into the work and not into imports.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from itertools import cycle
from pathlib import Path

import numpy as np

from hsisr.cli import main

BANDS, ROWS, COLS = 12, 96, 80
HEADER = f"""ENVI
samples = {COLS}
lines = {ROWS}
bands = {BANDS}
data type = 2
interleave = bsq
byte order = 0
"""
COMMON = ["--threads", "1", "--precision", "fp32", "--no-quicklook", "--overwrite"]
COMMANDS = {
    "upscale, bicubic": "upscale --model bicubic --scale 8 --tile 8 --no-self-check",
    "upscale, tiled TIFF": "upscale --model bicubic --scale 8 --tile 8 --no-self-check -f tiff",
    "upscale, network": "upscale --model any-x2 --window 0,0,48,32 --tile 12 --no-self-check",
    "unmix": "unmix --endmembers 3 --method vca --tile 8",
}
OLDER = {
    "upscale, bicubic": "upscale --model bicubic --scale 2",
    "upscale, tiled TIFF": "upscale --model bicubic --scale 2 -f tiff",
    "upscale, network": "upscale --model bicubic --scale 3",
    "unmix": "unmix --endmembers 2 --method vca",
}
STOPS = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143), signal.SIGINT: (130,)}
Files = dict[str, str]


class Run:
    """A scene, a command on it, and what may be found in the place of its results."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self._command = folder, COMMANDS[name]
        self._header = folder / "scene.hdr"
        numbers = np.random.default_rng(0).integers(1, 9000, (BANDS, ROWS, COLS), np.int16)
        (folder / "scene.img").write_bytes(numbers.tobytes())
        self._header.write_text(HEADER)
        self._input = self._hashes("scene.*")
        assert self._ended(OLDER[name]) == 0
        self._kept = {path: path.read_bytes() for path in folder.glob("out*")}
        self._older = self._results()
        assert self._ended(self._command) == 0
        self._newer = self._results()
        assert self._newer.keys() == self._older.keys()
        started = time.monotonic()
        self.again()
        self.lasting = time.monotonic() - started

    def start(self) -> int:
        """Begin the command in a fork; returns its process id."""
        # a signal that comes before the command would unwind what the fork has inherited
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS.keys() - {signal.SIGKILL})
        child = os.fork()
        if not child:
            code = 130
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = self._ended(self._command)
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child

    def restore(self) -> None:
        """Bring back the older results."""
        for path, content in self._kept.items():
            path.write_bytes(content)

    def publishing(self) -> bool:
        """Whether results are about to appear."""
        return any(self.folder.glob("*.commit.part"))

    def left(self) -> str:
        """What a kill left of the results; raises `AssertionError` for anything half done."""
        assert self._hashes("scene.*") == self._input, "the input changed"
        found = self._results()
        verdicts = {self._verdict(found, header) for header in self.folder.glob("out*.img")}
        if len(verdicts) > 1 or "cut" in verdicts:
            return "cut"
        return verdicts.pop()

    def done(self) -> int:
        """How many tiles are noted as done."""
        logs = [log.read_text() for log in self.folder.glob("*.journal/*.log")]
        lines = [line.split() for log in logs for line in log.rpartition("\n")[0].splitlines()]
        return sum(int(last) - int(first) + 1 for first, last, _ in lines)

    def again(self) -> None:
        """The same command; raises `AssertionError` unless it leaves the newer results alone."""
        assert _ended(self.start()) == 0, "the same command failed"
        assert self._results() == self._newer, "the same command gave another result"
        assert self._hashes("scene.*") == self._input, "the input changed"
        left = [*self.folder.glob("*.part"), *self.folder.glob("*.journal")]
        assert not left, f"left behind: {left}"

    def _verdict(self, found: Files, data: Path) -> str:
        """Of the pair that `data` belongs to; a TIFF file has no header beside it."""
        pair = data.name, data.with_suffix(".hdr").name
        content = [found.get(name) for name in pair]
        for verdict, known in (("older", self._older), ("newer", self._newer)):
            if content == [known.get(name) for name in pair]:
                return verdict
        assert content[1] is None, "a header beside data that are not its own"
        assert (self.folder / f"{pair[1]}.commit.part").exists(), "no list to finish from"
        return "cut"

    def _results(self) -> Files:
        """The results but for the record, which tells how long it took."""
        return {**self._hashes("out*.img"), **self._hashes("out*.hdr"), **self._hashes("out*.csv")}

    def _hashes(self, pattern: str) -> Files:
        paths = sorted(self.folder.glob(pattern))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def _ended(self, command: str) -> int:
        name, *rest = command.split()
        # one of them is named by a file, the other by what names begin with
        output = self.folder / ("out.img" if name == "upscale" else "out")
        options = [str(self._header), *rest, "-o", str(output), *COMMON]
        with Path(os.devnull).open("w") as silence, redirect_stderr(silence):
            return main([name, *options])


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _after(seconds: float) -> Callable[[int], None]:
    def wait(child: int) -> None:
        time.sleep(seconds)

    return wait


def _while_publishing(run: Run) -> Callable[[int], None]:
    def wait(child: int) -> None:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while not run.publishing() and os.waitid(os.P_PID, child, flags) is None:
            pass

    return wait


def killed(run: Run, number: signal.Signals, wait: Callable[[int], None]) -> Counter[str]:
    """Kill a run; tells what it left, nothing if it had ended before."""
    before = run.done()
    child = run.start()
    wait(child)
    os.kill(child, number)
    code = _ended(child)
    assert code in (0, *STOPS[number]), f"{number.name} ended it with {code}"
    if code == 0:
        return Counter()
    return Counter({"kills": 1, run.left(): 1, "resumable": run.done() > 0, "resumed": before > 0})


def kill_loop(folder: Path, count: int, seed: int) -> dict[tuple[str, str], Counter[str]]:
    """Kill `count` runs; returns what was left how often, by command and signal.

    A run is killed one to three times before it may end; every eighth kill is at its publication.
    """
    moments, runs = random.Random(seed), list(_runs(folder))
    found: dict[tuple[str, str], Counter[str]] = {}
    kills, attempts = 0, 0
    for name, run in cycle(runs):
        run.restore()
        for _ in range(min(moments.randint(1, 3), count - kills)):
            number = list(STOPS)[attempts % len(STOPS)]
            at_random = _after(moments.uniform(0, run.lasting))
            told = killed(run, number, _while_publishing(run) if attempts % 8 == 7 else at_random)
            attempts += 1
            found.setdefault((name, number.name), Counter()).update(told)
            kills += told["kills"]
        run.again()
        if kills == count:
            break
    return found


def _runs(folder: Path) -> Iterator[tuple[str, Run]]:
    for index, name in enumerate(COMMANDS):
        place = folder / str(index)
        place.mkdir()
        yield name, Run(place, name)


def command() -> None:
    """Run the loop as a script; ends with an `AssertionError` where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_loop(Path(folder), options.count, options.seed)
    columns = ("kills", "older", "newer", "cut", "resumable", "resumed")
    sys.stdout.write(f"{options.count} kills, all continued to the bytes of an undisturbed run\n")
    sys.stdout.write(f"{'':32}{''.join(f'{column:>14}' for column in columns)}\n")
    for (name, number), told in sorted(found.items()):
        numbers = "".join(f"{told[column]:14d}" for column in columns)
        sys.stdout.write(f"{name:22}{number:10}{numbers}\n")


if __name__ == "__main__":
    command()
