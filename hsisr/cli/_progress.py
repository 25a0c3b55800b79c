"""The progress of work: a bar on a terminal, lines in a log, or JSON records for a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Write = Callable[[str], None]
"""Shows one line to the reader."""
Update = Callable[[int], None]
"""Told how much is finished."""

PROGRESS = ("auto", "json", "none")
_LINES, _RECORDS = 20, 100
"""Into how many parts progress is divided in a log, and for a program."""


def show(
    kind: str, write: Write, label: str, total: int, already: int
) -> AbstractContextManager[Update]:
    """Begin to show progress from `already` to `total`, in one of the ways of `PROGRESS`."""
    if kind == "none":
        return nullcontext(lambda finished: None)
    by_itself = _bar if sys.stderr.isatty() else _lines
    return (_records if kind == "json" else by_itself)(write, label, total, already)


@contextmanager
def _bar(write: Write, label: str, total: int, already: int) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=already)
        yield lambda finished: bar.update(task, completed=finished)


@contextmanager
def _lines(write: Write, label: str, total: int, already: int) -> Iterator[Update]:
    pace, shown = _Pace(total, already), already * _LINES // total if total else 0

    def update(finished: int) -> None:
        nonlocal shown
        left = pace.left(finished)
        if finished < total and finished * _LINES // total > shown and left is not None:
            shown = finished * _LINES // total
            write(f"{label} {finished / total:4.0%}, {duration(left)} left")

    yield update


@contextmanager
def _records(write: Write, label: str, total: int, already: int) -> Iterator[Update]:
    pace, shown = _Pace(total, already), -1

    def update(finished: int) -> None:
        nonlocal shown
        fraction, left = finished / total if total else 1.0, pace.left(finished)
        if int(fraction * _RECORDS) <= shown:
            return
        shown = int(fraction * _RECORDS)
        record = {
            "label": label,
            "done": finished,
            "total": total,
            "fraction": round(fraction, 6),
            "elapsed_s": round(pace.elapsed, 3),
            "left_s": None if left is None else round(left, 3),
        }
        write(json.dumps(record))

    update(already)
    yield update


class _Pace:
    """The pace of work, not counting what was done `already`."""

    def __init__(self, total: int, already: int) -> None:
        self._total = total
        self._already = already
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def left(self, finished: int) -> float | None:
        """Seconds to go; None before anything is finished."""
        fresh = finished - self._already
        return self.elapsed / fresh * (self._total - finished) if fresh > 0 else None


def duration(seconds: float) -> str:
    """A time span in words: `4.2 s`, `2:05 min` or `1:02:05 h`."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"
