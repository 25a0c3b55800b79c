"""What commands share: telling people things, progress, and stopping."""

from __future__ import annotations

import math
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from hsisr.cli._progress import PROGRESS as PROGRESS
from hsisr.cli._progress import duration as duration
from hsisr.cli._progress import show
from hsisr.errors import HsisrError, Interrupted, OutputError, require_known

if TYPE_CHECKING:
    from pathlib import Path

    from hsisr.cube import Cube

T = TypeVar("T")

FOR_MAPS = ("envi", "tiff")
"""Formats that programs for maps open."""
_FOR_ALL = f"--format {FOR_MAPS[0]}"

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


@dataclass
class _Manner:
    """How much is printed, in all threads."""

    quiet: bool = False
    progress: str = PROGRESS[0]


_manner = _Manner()


def choose_manner(quiet: bool, progress: str | None) -> None:
    """Set how much is printed from now on; raises `UsageError`."""
    if progress is not None:
        require_known("progress", progress, PROGRESS)
    _manner.quiet = quiet
    _manner.progress = progress or ("none" if quiet else PROGRESS[0])


def remember(arguments: Sequence[str]) -> None:
    """Keep the command line for `again`."""
    _arguments.set(tuple(arguments))


def again(*, without: str | None = None) -> str:
    """The present command line, to be run again; `without` is a flag to leave out."""
    return as_typed([part for part in _arguments.get() if part != without])


def arguments_without(option: str) -> list[str]:
    """The present command line without an option and its value."""
    given = _arguments.get()
    return [
        part
        for part, before in zip(given, ("", *given), strict=False)
        if option not in (part, before) and not part.startswith(f"{option}=")
    ]


def typed_as_folder(path: Path | None) -> bool:
    """Whether a path of the present command line ends in a separator, which `Path` forgets."""
    return path is not None and any(part.endswith(f"{path}{os.sep}") for part in _arguments.get())


def as_typed(arguments: Sequence[str]) -> str:
    """A command line to copy into a shell."""
    return shlex.join(["hsisr", *arguments])


def say(text: str = "") -> None:
    """Print a line on stderr, unless --quiet."""
    if not _manner.quiet:
        _write(text)


def note(text: str) -> None:
    """Print a note on stderr, unless --quiet: a decision or assumption worth knowing."""
    say(f"note: {text}")


def warn(text: str) -> None:
    """Print a warning on stderr, even with --quiet."""
    _write(f"warning: {text}")


def _write(text: str) -> None:
    try:
        typer.echo(plain(text), err=True)
    except OSError:  # nobody listens any more, or the log is full; the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def say_next(path: Path, format_name: str) -> None:
    """Print what can be done next with a result."""
    if format_name in FOR_MAPS:
        say(f"Next: open {path} in QGIS or ENVI, or: hsisr info {path}")
    elif path.suffix.lower() == ".nc":
        # ENVI wants to be told which variables are the picture and its place
        say(f"Next: open {path} in QGIS, or: hsisr info {path}; for ENVI, write {_FOR_ALL}")
    else:
        say(f"Next: hsisr info {path}; for QGIS or ENVI, write {_FOR_ALL}")


def plain(text: str) -> str:
    """Text with control characters made visible: names in files must not steer the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def tell(error: Exception) -> int:
    """Print an error: what, where, what to do. Returns its exit code."""
    if "--debug" in _arguments.get():
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError):
        error = OutputError(error.strerror or str(error), where=error.filename)
    elif isinstance(error, MemoryError):
        error = OutputError("not enough memory", hint="allow more: ulimit, or the job's limit")
    elif isinstance(error, ImportError):
        hint = "allow more memory (ulimit), or install hsisr again"
        error = OutputError(f"a library cannot be loaded: {error}", hint=hint)
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
    _write(f"error: {what}")
    if hint:
        _write(f"  hint: {hint}")
    return code


def open_scene(
    path: Path,
    var: str | None,
    axes: str | None,
    *,
    bands: str | None = None,
    window: str | None = None,
    bbox: str | None = None,
) -> Cube:
    """Open a scene, or the part of it that is asked for, and print its notes."""
    from hsisr.formats import ReadOptions, open_cube
    from hsisr.scene.selection import selected

    whole = open_cube(path, ReadOptions(var, axes))
    try:
        cube = selected(whole, bands, window, bbox)
    except BaseException:
        whole.close()
        raise
    for told in cube.notes:
        note(told)
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
    """Within, SIGINT and SIGTERM are recorded, and take effect only where the stopper is asked.

    Only in the main thread; in another one signals cannot be handled.
    """
    stopper = Stopper(hint, patient=patient)
    heard = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if heard else ()
    before = {number: signal.signal(number, stopper) for number in numbers}
    try:
        yield stopper
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress(
    items: Iterable[T],
    total: int,
    label: str,
    done: Callable[[T], int] | None = None,
    already: int = 0,
) -> Iterator[T]:
    """Pass `items` on while showing how far they are: a bar on a terminal, else a line at times.

    `done(item)` says how much of `total` is finished with an item, including what was `already`
    finished before the first; by default each item is one more. The time that is left is that of
    the items, whatever there was before them.
    """
    finished = already
    with show(_manner.progress, _write, plain(label), total, already) as update:
        for item in items:
            yield item
            finished = done(item) if done else finished + 1
            update(finished)


@contextmanager
def advancing(label: str, total: int, stopper: Stopper) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how much of `total` is finished; it raises after a signal."""
    with show(_manner.progress, _write, plain(label), total, 0) as update:

        def advanced(finished: int) -> None:
            stopper.check()
            update(finished)

        yield advanced


def table(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of aligned columns, the first flush left and the others flush right."""
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
    """The content with null for numbers that are not finite, which JSON cannot hold."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
