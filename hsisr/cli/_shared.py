"""What commands share: telling people things, progress, and stopping."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from hsisr.errors import HsisrError, Interrupted, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from hsisr.cube import Cube

T = TypeVar("T")

_QUIET = 10.0
"""Seconds between two lines of progress where there is no terminal."""

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


def remember(arguments: Sequence[str]) -> None:
    """Keep the command line for `again`."""
    _arguments.set(tuple(arguments))


def again(*, without: str | None = None) -> str:
    """The present command line, to be repeated, without the option `without`."""
    return as_typed([part for part in _arguments.get() if part != without])


def as_typed(arguments: Sequence[str]) -> str:
    """A command line to copy into a shell."""
    return shlex.join(["hsisr", *arguments])


def say(text: str = "") -> None:
    """One line for the reader, on stderr."""
    typer.echo(plain(text), err=True)


def plain(text: str) -> str:
    """Text with control characters made visible: names in files must not steer the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def tell(error: Exception) -> int:
    """An error in a few lines: what, where, what to do. Returns its exit code."""
    if isinstance(error, OSError):
        error = OutputError(error.strerror or str(error), where=error.filename)
    if isinstance(error, HsisrError):
        where = f"{error.where}: " if error.where else ""
        return _told(f"{where}{error.what}", error.hint, error.exit_code)
    usage = getattr(error, "format_message", None)
    if usage is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hsisr"
        return _told(usage(), f"{command} --help", getattr(error, "exit_code", 2))
    hint = "this is a bug in hsisr; hsisr --debug COMMAND ... shows where"
    return _told(f"unexpected {type(error).__name__}: {error}", hint, 1)


def _told(what: str, hint: str | None, code: int) -> int:
    say(f"error: {what}")
    if hint:
        say(f"  hint: {hint}")
    return code


def open_scene(path: Path, var: str | None, axes: str | None) -> Cube:
    """Open a scene and tell what had to be decided."""
    from hsisr.formats import ReadOptions, open_cube

    cube = open_cube(path, ReadOptions(var, axes))
    for note in cube.notes:
        say(f"note: {note}")
    return cube


class Stopper:
    """Notes SIGINT and SIGTERM, so that work ends between two steps.

    A second SIGINT ends it at once, unless told to be `patient`.
    """

    def __init__(self, hint: str | None, *, patient: bool) -> None:
        self._hint, self._patient = hint, patient
        self.signal = 0
        """The number of the last signal; 0 where none has come."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.signal and number == signal.SIGINT and not self._patient:
            raise KeyboardInterrupt
        self.signal = number

    def check(self) -> None:
        """Raise `Interrupted` once a signal has come."""
        self.heed(self.signal)

    def heed(self, number: int) -> None:
        """Raise `Interrupted` for a signal of that number, if it is not 0."""
        if number:
            raise Interrupted("interrupted", signal=number, hint=self._hint)

    def heeded(self, items: Iterable[T]) -> Iterator[T]:
        """Pass `items` on until a signal has come; then `Interrupted` unwinds what uses them."""
        for item in items:
            self.check()
            yield item


@contextmanager
def stoppable(hint: str | None = None, *, patient: bool = False) -> Iterator[Stopper]:
    """Within, signals are noted and heeded only where the yielded stopper is asked."""
    stopper = Stopper(hint, patient=patient)
    before = {number: signal.signal(number, stopper) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopper
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress(
    items: Iterable[T], total: int, label: str, done: Callable[[T], int] | None = None
) -> Iterator[T]:
    """Pass `items` on while showing how far they are: a bar on a terminal, else a line at times.

    `done(item)` says how much of `total` is finished with an item; by default one each.
    """
    show = _bar if sys.stderr.isatty() else _lines
    finished = 0
    with show(plain(label), total) as update:
        for item in items:
            yield item
            finished = done(item) if done else finished + 1
            update(finished)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
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
        task = bar.add_task(label, total=total)
        yield lambda finished: bar.update(task, completed=finished)


@contextmanager
def _lines(label: str, total: int) -> Iterator[Callable[[int], None]]:
    started = shown = time.monotonic()

    def update(finished: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > _QUIET and 0 < finished < total:
            shown = now
            left = (now - started) / finished * (total - finished)
            say(f"{label} {finished / total:4.0%}, {duration(left)} left")

    yield update


def duration(seconds: float) -> str:
    """A time span in words: `4.2 s`, `2:05 min` or `1:02:05 h`."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def table(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    for row in [headings, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def print_lines(lines: Iterable[str]) -> None:
    """Lines of a result on stdout."""
    for line in lines:
        typer.echo(plain(line))


def print_json(content: Any) -> None:
    """One JSON object on stdout."""
    import json

    typer.echo(json.dumps(finite(content), indent=2, allow_nan=False))


def finite(content: Any) -> Any:
    """The same with null for numbers that are not finite, which JSON cannot say."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
