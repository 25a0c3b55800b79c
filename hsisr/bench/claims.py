"""Locks by which several processes divide the parts of one task among them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from hsisr.errors import OutputError
from hsisr.files import explained, locked

T = TypeVar("T")

_POLL = 0.2
"""Seconds until it is looked again whether another process is done."""


@contextmanager
def claimed(target: Path) -> Iterator[bool]:
    """Yield whether this process has the claim on `target`, which need not exist yet.

    The system lets go of the claim when the process ends, however it does. Raises `OutputError`.
    """
    with _opened(target.with_name(f".{target.name}.claim")) as handle:
        yield locked(handle)


@contextmanager
def sharing(folder: Path, clear: Callable[[], None] | None = None) -> Iterator[None]:
    """Work in `folder` beside other processes; `clear`, if given, needs it alone and runs first.

    Raises `OutputError` if others are.
    """
    with _opened(folder / ".claim") as handle:
        if clear is not None:
            if not locked(handle):
                raise OutputError(
                    "others are at work here, whose results would be removed",
                    where=folder,
                    hint="share their work without --overwrite, or wait until they are done",
                )
            with explained(folder):
                clear()
        # waits while another one clears
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def _opened(place: Path) -> Iterator[int]:
    with explained(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        # never removed: a claim on a removed file would be none
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Wait until no other process holds `target`, then hold it. Raises `OutputError`."""
    while True:
        with claimed(target) as mine:
            if mine:
                yield
                return
        pause()


def pause() -> None:
    """Wait a little for another process."""
    time.sleep(_POLL)


def once(
    target: Path, find: Callable[[], T | None], make: Callable[[], Generator[object, None, T]]
) -> Generator[None, None, T]:
    """The result of `find`, or else of `make`, which one process runs while the others wait.

    Yields at times, so that the caller can leave.
    """
    while True:
        with claimed(target) as mine:
            if mine:
                found = find()
                return found if found is not None else (yield from quietly(make()))
        pause()
        yield


def quietly(work: Generator[object, None, T]) -> Generator[None, None, T]:
    """Run `work` to its result, yielding nothing of its progress."""
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            yield
