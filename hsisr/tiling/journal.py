"""What is done of a long run, kept beside its unfinished output, so that the same command goes on.

A folder holds how the run was begun (`run.json`), what was found out about the scene as a whole
(`NAME.safetensors`), and which tiles each share of the work has finished (`1-of-3.log`). Shares are
processes that write the same output, on one machine or on several that see the same files; the
one that finds all tiles done publishes it, and then the folder is gone. Where it is still there
beside published files, a kill came in between, and the same command may write them anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeGuard

from torch import Tensor

from hsisr.checkpoints.checkpoint import SUFFIX, read_tensors, write_tensors
from hsisr.errors import ModelError, OutputError, UsageError
from hsisr.files import explained, locked, read_json, turn, write_json

_BEGUN = "run.json"
_LINE = re.compile(rb"(\d{1,9}) (\d{1,9}) (\d{1,18})")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Share:
    """Which part of a run this process does: every `count`-th row of tiles."""

    index: int = 1
    """From 1 on."""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """From `i/N`; raises `UsageError`."""
        index, _, count = text.partition("/")
        if index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
            return cls(int(index), int(count))
        raise UsageError(f"no share '{text}'", hint="--shard 1/4, 2/4, 3/4 and 4/4")

    def holds(self, row: int) -> bool:
        """Whether a row of tiles, counted from 0, belongs to it."""
        return row % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index} of {self.count}"


class Journal:
    """The progress of one share of a run, and of all others as far as it is told.

    `begun` is everything that the result depends on. If the folder belongs to a run that was begun
    differently, that is forgotten with `overwrite`. Raises `OutputError` without, and if the share
    is at work already.
    """

    keeps = True

    def __init__(
        self, folder: Path, begun: Mapping[str, Any], share: Share, *, overwrite: bool = False
    ) -> None:
        self.share = share
        self._folder, self._overwrite = folder, overwrite
        self._pending: list[tuple[int, int, int]] = []
        self._log = -1
        with explained(folder), turn(folder):
            folder.mkdir(exist_ok=True)
            self._require_same(json.loads(json.dumps(begun)))
            self._log = self._claimed()

    @property
    def _name(self) -> Path:
        return self._folder / _log_of(self.share)

    def _require_same(self, begun: dict[str, Any]) -> None:
        found = begun_in(self._folder)
        if found == begun:
            return
        if found is not None and not self._overwrite:
            raise OutputError(
                "an unfinished run of this output was begun differently: "
                + "; ".join(differences(found, begun)),
                where=self._folder,
                hint="repeat the command it was begun with, or add --overwrite to start afresh",
            )
        # without a word on how it was begun, what is there is what a kill left of a finished run
        self._discard()
        write_json(self._folder / _BEGUN, begun)

    def _discard(self) -> None:
        """Forget the run that was found, if nobody is at it."""
        if any(map(_at_work, self._folder.glob("*.log"))):
            raise OutputError("another run is writing this", where=self._folder)
        for path in (*self._folder.glob("*.log"), *self._folder.glob(f"*{SUFFIX}")):
            path.unlink()

    def _claimed(self) -> int:
        log = os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        if not locked(log):
            os.close(log)
            raise OutputError("another run is writing this", where=self._folder)
        # a line that was being written when the machine stopped does not count
        whole = self._name.read_bytes().rpartition(b"\n")
        os.truncate(log, len(whole[0] + whole[1]))
        return log

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While inside, no other share begins, looks for what is done, or publishes.

        Raises `OutputError` if the folder is gone: no share removes it while another is at work.
        """
        with turn(self._folder):
            if not self._goes_on():
                raise OutputError(
                    "removed while the run was at work", where=self._folder, hint="run it again"
                )
            yield

    def _goes_on(self) -> bool:
        """Whether the folder is still there."""
        try:
            return os.path.samestat(os.fstat(self._log), self._name.stat())
        except FileNotFoundError:
            return False

    def once(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What `make` gives, computed by the first share that asks and the same for all."""
        path = self._folder / f"{name}{SUFFIX}"
        with self.alone():
            with contextlib.suppress(ModelError):
                return read_tensors(path)[0]
            # none yet; or one that was damaged, and tiles need not be what another one makes them
            self.forget()
            write_tensors(path, make(), {})
            return read_tensors(path)[0]

    def forget(self) -> None:
        """Take all tiles for undone, because what they were written to is gone; to be `alone`."""
        for log in self._folder.glob("*.log"):
            os.truncate(log, 0)

    def done(self) -> set[int]:
        """The tiles that all shares have finished so far."""
        return {number for first, last, _ in self._lines() for number in range(first, last + 1)}

    def clipped(self) -> int:
        """Samples that all shares have clipped in these tiles."""
        return sum(clipped for _, _, clipped in self._lines())

    def _lines(self) -> Iterator[tuple[int, int, int]]:
        for log in self._folder.glob("*.log"):
            # another share may be writing its last line; one that was damaged does not count
            for line in map(_LINE.fullmatch, log.read_bytes().split(b"\n")[:-1]):
                if line is not None:
                    first, last, clipped = map(int, line.groups())
                    yield first, last, clipped

    def note(self, tiles: range, clipped: int) -> None:
        """Tiles that are written, but maybe not on the disk."""
        self._pending.append((tiles[0], tiles[-1], clipped))

    def commit(self, sync: Callable[[], None] = lambda: None) -> None:
        """Log what was noted, once `sync` has brought all of it to the disk."""
        # what is noted meanwhile has to wait for the next time
        noted, self._pending = self._pending, []
        sync()
        lines = "".join(f"{first} {last} {clipped}\n" for first, last, clipped in noted).encode()
        with explained(self._folder):
            while lines:
                lines = lines[os.write(self._log, lines) :]
            os.fsync(self._log)

    @contextlib.contextmanager
    def closing(self, tiles: int) -> Iterator[bool]:
        """Tell whether this process is to publish: all `tiles` are done, and it is the last share.

        If so, the folder is gone afterwards. Raises `OutputError` if it was removed before.
        """
        with self.alone():
            last = len(self.done()) == tiles and self._is_last()
            yield last
            if last:
                self._remove()
            # whoever closes next must not wait for this share
            fcntl.flock(self._log, fcntl.LOCK_UN)

    def _is_last(self) -> bool:
        """Whether all shares have begun, and all others have come to an end.

        Those for which no tiles are left must not find the run finished, either.
        """
        count = self.share.count
        shares = {self._folder / _log_of(Share(i + 1, count)) for i in range(count)}
        others = set(self._folder.glob("*.log")) - {self._name}
        return shares - {self._name} <= others and not any(map(_at_work, others))

    @property
    def worthless(self) -> bool:
        """Whether nothing is lost by beginning anew: no tile is done, no other share has begun."""
        return not self.done() and set(self._folder.glob("*.log")) == {self._name}

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with turn(self._folder):
                # a share without tiles has done nothing, and has come to its end
                if kind is not None and self._goes_on() and self.worthless:
                    self._remove()
        finally:
            os.close(self._log)


class Unkept:
    """The journal of a run that cannot be continued; a `Journal` to those who write it."""

    keeps = False
    worthless = True
    share = Share()

    def __init__(self) -> None:
        self._clipped = 0

    def once(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What `make` gives."""
        del name
        return make()

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """There are no other shares."""
        return contextlib.nullcontext()

    def forget(self) -> None:
        """There is nothing to forget."""

    def done(self) -> set[int]:
        """Of earlier runs there is nothing."""
        return set()

    def clipped(self) -> int:
        """Samples that were clipped."""
        return self._clipped

    def note(self, tiles: range, clipped: int) -> None:
        """Tiles that are written."""
        del tiles
        self._clipped += clipped

    def commit(self, sync: Callable[[], None] = lambda: None) -> None:
        """Nothing is kept."""

    @contextlib.contextmanager
    def closing(self, tiles: int) -> Iterator[bool]:
        """Whoever comes here has done all tiles."""
        del tiles
        yield True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def begun_in(folder: Path) -> dict[str, Any] | None:
    """How the unfinished run in a folder was begun; None if there is none."""
    return read_json(folder / _BEGUN)


def is_of(folder: Path, begun: Mapping[str, Any]) -> bool:
    """Whether a folder holds what is done of a run that was begun so."""
    same: dict[str, Any] = json.loads(json.dumps(begun))
    return begun_in(folder) == same


def clear(folder: Path, begun: Mapping[str, Any]) -> None:
    """Remove the folder of a run that is over, but was killed before it could do so."""
    with turn(folder):
        if is_of(folder, begun) and not any(map(_at_work, folder.glob("*.log"))):
            shutil.rmtree(folder, ignore_errors=True)


def _log_of(share: Share) -> str:
    return f"{share.index}-of-{share.count}.log"


def _at_work(log: Path) -> bool:
    with log.open("rb+") as handle:
        return not locked(handle.fileno())


def differences(found: dict[str, Any], begun: dict[str, Any]) -> Iterator[str]:
    """In what two ways to begin differ, in words."""
    for key in sorted(found.keys() | begun.keys()):
        before, now = found.get(key), begun.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now)
        elif _are_files(before) and _are_files(now) and len(before) == len(now):
            for one, other in zip(before, now, strict=True):
                yield from (f"{other['file']}: {told}" for told in differences(one, other))
        elif before != now:
            yield f"{key} {_short(before)}, now {_short(now)}"


def _are_files(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether these are what tells files from others of their names."""
    return isinstance(value, list) and all(isinstance(e, dict) and "file" in e for e in value)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
