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
    """Tell whether `target` is this process's alone until it leaves; it may be yet to be made.

    The system lets go of the claim when the process ends, however it does. Raises `OutputError`.
    """
    with _opened(target.with_name(f".{target.name}.claim")) as handle:
        yield locked(handle)


@contextmanager
def sharing(folder: Path, clear: Callable[[], None] | None = None) -> Iterator[None]:
    """Be one of those who work in `folder`, after `clear`, for which nobody else may be at work.

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
    """Hold `target` for this process alone, once another has left it. Raises `OutputError`."""
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
    """What `find` gives, or `make`, done by the process that comes first while the others wait.

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
    """The same work, without a word on how far it is."""
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            yield
