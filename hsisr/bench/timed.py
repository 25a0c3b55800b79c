"""Timed trainings: how long the steps of `fit` take, without its validations."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from statistics import median

import torch

from hsisr.files import write_json
from hsisr.runtime import Runtime, explained
from hsisr.training.fit import Report, Work, fit

CLOCK = "clock.json"
_ADVICE = "train on smaller batches, e.g. --set sr.training.batch=4"
_WARM, _TIMED = 2, 15
"""Steps that are taken before any is timed, and how many then are at most."""
_LEAST, _PATIENCE = 3, 10.0
"""Steps that are timed at least, and seconds after which they are enough."""


def train(work: Work, folder: Path, runtime: Runtime) -> Generator[float, None, float]:
    """Train to the end, yielding the share that is done, and tell the seconds it took.

    Those of validations do not count, those before a training was stopped do.
    """
    clock = _Clock(folder / CLOCK)
    with explained(_ADVICE), closing(fit(work, folder, runtime)) as reports:
        try:
            for seconds, report in _timed(reports, runtime):
                clock.note(seconds, report)
                yield report.step / report.steps
        finally:
            clock.save()
    return clock.per_step * work.training.epochs * work.training.steps


def seconds_per_step(work: Work, folder: Path, runtime: Runtime) -> Generator[None, None, float]:
    """The median over some steps of a training that is thrown away; `folder` is removed."""
    endless = replace(work, training=replace(work.training, epochs=1, steps=1 << 30))
    taken: list[float] = []
    with (
        _emptied(folder),
        explained(_ADVICE),
        closing(fit(endless, folder, runtime)) as reports,
    ):
        for seconds, _ in _timed(reports, runtime):
            taken.append(seconds)
            yield
            counted = taken[_WARM:]
            if len(counted) >= _TIMED or (len(counted) >= _LEAST and sum(taken) > _PATIENCE):
                break
    return median(taken[_WARM:])


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """While a folder is in use, which holds nothing before, not even what a kill left, or after."""
    rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        rmtree(folder, ignore_errors=True)


def _timed(reports: Generator[Report], runtime: Runtime) -> Generator[tuple[float, Report]]:
    """Every report with the seconds it took."""
    now = clock(runtime)
    started = now()
    for report in reports:
        yield now() - started, report
        started = now()


def clock(runtime: Runtime) -> Callable[[], float]:
    """Tells seconds; on a CPU those that its threads were at work.

    What else the machine has to do is not counted.
    """
    if runtime.device.type != "cpu":
        return time.perf_counter
    threads = torch.get_num_threads()
    return lambda: time.process_time() / threads


class _Clock:
    """The time of the steps that end without a validation, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_bytes()) if path.exists() else {}
        self._seconds: float = kept.get("seconds", 0.0)
        self._steps: int = kept.get("steps", 0)

    @property
    def per_step(self) -> float:
        """The mean, in seconds."""
        return self._seconds / max(1, self._steps)

    def note(self, seconds: float, report: Report) -> None:
        """Take in another step."""
        # where every step is validated, better this than nothing
        if report.scores is None or report.steps == report.epoch:
            self._seconds += seconds
            self._steps += 1
        if report.scores is not None:
            self.save()

    def save(self) -> None:
        """Bring it to the disk."""
        write_json(self._path, {"seconds": self._seconds, "steps": self._steps})
