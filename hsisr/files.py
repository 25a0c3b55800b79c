"""Durable writing: a file appears whole under its name, or not at all.

Everything is written to `NAME.part` beside its target, brought to the disk, and renamed. A result
made of several files (an ENVI pair) is published with its *defining* file last: the header is
removed first and comes back last, so a header on disk always describes complete data. A run killed
between two renames leaves complete `.part` files and their list, which the next run finishes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hsisr.errors import OutputError, UsageError
from hsisr.wording import counted

PART = ".part"
_COMMIT = ".commit.part"
_TURN = ".turn.part"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def explained(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn what the system says about writing `path` into an `OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            limit = "" if error.errno == errno.ENOSPC else f" ({error.strerror})"
            raise no_room(path, needed, limit) from error
        raise OutputError(f"cannot write: {error.strerror}", where=path) from error


def no_room(path: Path, needed: int | None, limit: str = "") -> OutputError:
    """The error for a disk that is too small, with the sizes found, or that has another `limit`."""
    with contextlib.suppress(OSError):
        wanted = "" if needed is None else f"needs {human_size(needed)}, "
        return OutputError(
            f"not enough disk{limit}: {wanted}{path.parent} has {human_size(free_room(path))} free",
            where=path,
            hint="write to another disk with -o, or upscale a part of the scene",
        )
    return OutputError("not enough disk", where=path)


def taken(path: Path) -> OutputError:
    """The error for a file that another run is at."""
    return OutputError("another run is writing this file", where=path)


def free_room(path: Path) -> int:
    """Bytes that are free on the disk of `path`."""
    return shutil.disk_usage(path.parent).free


def require_room(path: Path, needed: int) -> None:
    """Raise `OutputError` before any work, if `needed` bytes do not fit beside `path`."""
    if free_room(path) < needed:
        raise no_room(path, needed)


def require_new(outputs: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse outputs that would replace an input (never) or an older file (unless asked)."""
    for output in outputs:
        if not output.parent.is_dir():
            raise OutputError(
                "the folder does not exist", where=output, hint=f"mkdir -p {output.parent}"
            )
        if not output.exists():
            continue
        if not output.is_file():
            raise OutputError(
                "a folder or a device is there; a file was to be written", where=output
            )
        if any(source.exists() and output.samefile(source) for source in inputs):
            raise UsageError(
                "the output would replace the input", where=output, hint="choose another -o"
            )
        if not overwrite:
            raise OutputError("already exists", where=output, hint="add --overwrite to replace it")


class PartFile:
    """A file under construction: random writes to `NAME.part`, then `publish`.

    The part is locked while it is open, so two runs cannot write the same output; runs that all
    say `shared` can. Nothing in it is touched before `clear`.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        # a link is kept and its target replaced, as an ordinary write would do
        self.path = Path(os.path.realpath(path))
        self.part = _part_path(self.path)
        with explained(self.path):
            self._fd = os.open(self.part, _FLAGS, 0o666)
            self.alone = self._lock(fcntl.LOCK_EX)
            """Whether nobody else had the part open."""
            held = self.alone or (shared and self._lock(fcntl.LOCK_SH))
            # published by another run between opening and locking, it would be that run's result
            if not (held and self.in_place()):
                self.close()
                raise taken(self.path)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            raise
        return True

    def share(self) -> None:
        """Let others that say `shared` open the part as well."""
        with explained(self.path):
            if not self._lock(fcntl.LOCK_SH):
                raise taken(self.path)

    def in_place(self) -> bool:
        """Whether the part is still what its name stands for."""
        try:
            return os.path.samestat(os.fstat(self._fd), self.part.stat())
        except FileNotFoundError:
            return False

    def holds(self, size: int, head: bytes = b"") -> bool:
        """Whether the part has `size` bytes and begins with `head`."""
        with explained(self.path):
            if os.fstat(self._fd).st_size != size:
                return False
            return os.pread(self._fd, len(head), 0) == head

    def clear(self) -> None:
        """Drop what an earlier run left in the part."""
        with explained(self.path):
            os.ftruncate(self._fd, 0)

    def reserve(self, size: int) -> None:
        """Claim the room for `size` bytes; without it, drops the part and raises `OutputError`.

        A full disk is noticed here, before any work is done.
        """
        with explained(self.path, size):
            try:
                os.posix_fallocate(self._fd, 0, size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    self.discard()
                    raise
                os.ftruncate(self._fd, size)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at byte `offset`."""
        self.scatter(memoryview(data).cast("B"), [offset])

    def scatter(self, view: memoryview, offsets: Sequence[int]) -> None:
        """Cut bytes into pieces of one length and write each at its offset."""
        length = len(view) // len(offsets)
        with explained(self.path):
            for start, offset in zip(range(0, len(view), length or 1), offsets, strict=False):
                piece = view[start : start + length]
                done = os.pwrite(self._fd, piece, offset)
                while done < length:
                    done += os.pwrite(self._fd, piece[done:], offset + done)

    def sync(self) -> None:
        """Bring what was written to the disk; it survives a crash of the machine."""
        with explained(self.path):
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of the part, and leave it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Drop the part, unless others share it; the target stays as it was."""
        if self._fd >= 0 and self.in_place() and self._lock(fcntl.LOCK_EX):
            self.part.unlink(missing_ok=True)
        self.close()


def publish(parts: Sequence[PartFile]) -> None:
    """Let finished parts appear under their names, the defining file (a header) last."""
    targets = [part.path for part in parts]
    try:
        if not all(part.in_place() for part in parts):
            raise OutputError("the unfinished file is gone: removed or renamed", where=targets[-1])
        with explained(targets[-1]):
            if len(parts) > 1:
                _write_commit(targets)
            _rename(targets)
    finally:
        for part in parts:
            part.close()


def recover(defining: Path) -> bool:
    """Finish the publication of a result whose run was killed between two renames."""
    commit = _commit_path(defining)
    try:
        names = [Path(name).name for name in json.loads(commit.read_bytes())]
    except (OSError, ValueError, TypeError):
        return False
    if names[-1:] != [defining.name]:
        return False
    with explained(defining):
        _rename([commit.with_name(name) for name in names])
    return True


def settle(defining: Path) -> None:
    """Take up a publication that a kill has cut off, if there is one."""
    target = Path(os.path.realpath(defining))
    if _commit_path(target).exists() or _turn_path(target).exists():
        with turn(target):
            recover(target)


@contextlib.contextmanager
def turn(target: Path) -> Iterator[None]:
    """One process at a time, for the moments in which the parts of `target` begin or end."""
    path = _turn_path(target)
    with explained(target):
        handle = _opened_alone(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def locked(handle: int) -> bool:
    """Take the lock of an open file, if it is free; it is let go when the file is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened_alone(path: Path) -> int:
    while True:
        handle = os.open(path, _FLAGS, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # whoever had it before has removed it
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def reserved(targets: Sequence[Path]) -> int:
    """Bytes of the disk that the parts of these files, left by a run that was stopped, hold."""
    parts = [_part_path(Path(os.path.realpath(target))) for target in targets]
    return sum(512 * part.stat().st_blocks for part in parts if part.exists())


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file at `path` by one that holds `data`, whole or not at all."""
    part = PartFile(path)
    try:
        part.clear()
        part.pwrite(data, 0)
        part.sync()
    except BaseException:
        part.discard()
        raise
    publish([part])


def write_json(path: Path, content: Any) -> None:
    """Replace the file at `path` by `content` as indented JSON."""
    write_durably(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else None
    return None


def human_size(size: float) -> str:
    """A byte count in words: `305.0 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return counted(round(size), "byte") if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _part_path(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _commit_path(defining: Path) -> Path:
    return defining.with_name(defining.name + _COMMIT)


def _turn_path(target: Path) -> Path:
    return target.with_name(target.name + _TURN)


def _write_commit(targets: Sequence[Path]) -> None:
    # renaming works on a full disk too, and only a run killed in the midst of it needs the list
    with contextlib.suppress(OSError), _commit_path(targets[-1]).open("w") as handle:
        json.dump([target.name for target in targets], handle)
        handle.flush()
        os.fsync(handle.fileno())


def _rename(targets: Sequence[Path]) -> None:
    *others, defining = targets
    if others and _part_path(defining).exists():
        # an old header must not describe new data, not even for a moment
        defining.unlink(missing_ok=True)
    for target in targets:
        part = _part_path(target)
        if part.exists():
            part.replace(target)
    sync_folder(defining.parent)
    _commit_path(defining).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # some network file systems refuse to sync a folder
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
