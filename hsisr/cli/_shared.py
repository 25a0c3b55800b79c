"""What commands share: options, progress, stopping, and how errors are told."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hsisr.errors import HsisrError, Interrupted, UsageError

if TYPE_CHECKING:
    from hsisr.cube import Cube

T = TypeVar("T")

INPUT, OUTPUT, MODEL, RUN, TRAINING = "Input", "Output", "Model", "Run", "Training"

Scene = Annotated[
    Path, typer.Argument(help="ENVI (either file of the pair), TIFF, MAT, HDF5 or NumPy file.")
]
RunFolder = Annotated[Path, typer.Argument(help="The folder that `hsisr prepare` wrote.")]
Var = Annotated[
    str | None,
    typer.Option("--var", help="Variable of a MAT or HDF5 file.", rich_help_panel=INPUT),
]
Axes = Annotated[
    str | None,
    typer.Option(
        "--axes", help="Order of the stored axes, e.g. YXB or BYX.", rich_help_panel=INPUT
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace older results.", rich_help_panel=OUTPUT)
]
Quicklook = Annotated[
    bool,
    typer.Option("--quicklook/--no-quicklook", help="Write a picture too.", rich_help_panel=OUTPUT),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, write nothing.", rich_help_panel=RUN)
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:1.", rich_help_panel=RUN)
]
Precision = Annotated[
    str, typer.Option(help="auto, fp32 or bf16.", rich_help_panel=RUN)
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Processor cores to use; all by default.", rich_help_panel=RUN)
]
Tile = Annotated[
    int, typer.Option(min=1, help="Side of a tile in input pixels.", rich_help_panel=RUN)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.", rich_help_panel=TRAINING)]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="default, paper, tiny, or the path of a .toml file.",
        autocompletion=lambda: ["default", "paper", "tiny"],
        rich_help_panel=TRAINING,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a number of the recipe, e.g. "
        "sr.training.batch=16. Repeatable.", rich_help_panel=TRAINING,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--max-time", min=0.0, metavar="MINUTES", help="Stop after so long; the same command "
        "continues.", rich_help_panel=TRAINING,
    ),
]


def say(text: str = "") -> None:
    """One line for the reader, on stderr."""
    typer.echo(plain(text), err=True)


def plain(text: str) -> str:
    """Text with control characters made visible: names in files must not steer the terminal."""
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def tell_error(error: HsisrError) -> None:
    """An error in a few lines: what, where, what to do."""
    where = f"{error.where}: " if error.where else ""
    say(f"error: {where}{error.what}")
    if error.hint:
        say(f"  hint: {error.hint}")


def tell_bug(error: Exception, debug: bool) -> int:
    """An error nobody foresaw, in two lines; its traceback only with --debug."""
    if debug:
        raise error
    say(f"error: unexpected {type(error).__name__}: {error}")
    say("  hint: this is a bug in hsisr; --debug before the command shows where")
    return 1


def open_scene(path: Path, var: str | None, axes: str | None) -> Cube:
    """Open a scene and tell what had to be decided."""
    from hsisr.formats import ReadOptions, open_cube

    cube = open_cube(path, ReadOptions(var, axes))
    for note in cube.notes:
        say(f"note: {note}")
    return cube


class Stopper:
    """Notes SIGINT and SIGTERM, so that work ends between two steps; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stoppable(hint: str | None = None) -> Iterator[Callable[[], None]]:
    """Within, signals are noted; the yielded function raises `Interrupted` once one has come."""
    stopper = Stopper()
    before = {number: signal.signal(number, stopper) for number in (signal.SIGINT, signal.SIGTERM)}

    def check() -> None:
        if stopper.signal is not None:
            raise Interrupted("interrupted", signal=stopper.signal, hint=hint)

    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress(items: Iterable[T], total: int, label: str, done: Callable[[T], int] | None = None) -> Iterator[T]:
    """Pass `items` on while showing how far they are: a bar on a terminal, else a line every 5 %.

    `done(item)` says how much of `total` is finished with an item; by default one each.
    """
    show = _bar if sys.stderr.isatty() else _lines
    finished = 0
    with show(label, total) as update:
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
    started, shown = time.monotonic(), 0

    def update(finished: int) -> None:
        nonlocal shown
        twentieth = finished * 20 // max(total, 1)
        if twentieth > shown:
            shown = twentieth
            elapsed = time.monotonic() - started
            left = elapsed / finished * (total - finished)
            say(f"{label} {twentieth * 5:3d} %  {finished}/{total}  {duration(left)} left")

    yield update


def duration(seconds: float) -> str:
    """A time span in words: `2:05` or `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Rows in aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    for row in [headings, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def parse_shares(text: str) -> tuple[float, float, float]:
    """Three shares as written on the command line; raises `UsageError`."""
    try:
        first, second, third = (float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        raise UsageError(f"--split '{text}' should be three shares", hint="0.6,0.15,0.25") from None
    return first, second, third


def print_json(content: Any) -> None:
    """One JSON object on stdout."""
    import json

    typer.echo(json.dumps(content, indent=2, allow_nan=False, default=str))
