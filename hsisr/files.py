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

PART = ".part"
_COMMIT = ".commit.part"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def explained(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn what the system says about writing `path` into an `OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise no_room(path, needed) from error
        raise OutputError(f"cannot write: {error.strerror}", where=path) from error


def no_room(path: Path, needed: int | None) -> OutputError:
    """The error for a disk that is too small, with the sizes found."""
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        wanted = "" if needed is None else f"needs {human_size(needed)}, "
        return OutputError(
            f"not enough disk: {wanted}{path.parent} has {human_size(free)} free",
            where=path,
            hint="write to another disk with -o, or upscale a part of the scene",
        )
    return OutputError("not enough disk", where=path)


def require_room(path: Path, needed: int) -> None:
    """Raise `OutputError` before any work, if `needed` bytes do not fit beside `path`."""
    if shutil.disk_usage(path.parent).free < needed:
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
        if any(source.exists() and output.samefile(source) for source in inputs):
            raise UsageError(
                "the output would replace the input", where=output, hint="choose another -o"
            )
        if not overwrite:
            raise OutputError("already exists", where=output, hint="add --overwrite to replace it")


class PartFile:
    """A file under construction: random writes to `NAME.part`, then `publish`.

    The part is locked while it is open, so two runs cannot write the same output. A full disk is
    noticed when `size` bytes are reserved, before any work is done.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        # a link is kept and its target replaced, as an ordinary write would do
        self.path = Path(os.path.realpath(path))
        self.part = _part_path(self.path)
        with explained(self.path, size):
            self._fd = os.open(self.part, _FLAGS, 0o666)
            self._lock()
            os.ftruncate(self._fd, 0)
            if size:
                self.reserve(size)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # published by another run between opening and locking, it would be that run's result
            ours = os.path.samestat(os.fstat(self._fd), self.part.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            self.close()
            raise OutputError("another run is writing this file", where=self.path)

    def reserve(self, size: int) -> None:
        """Claim the room for `size` bytes; without it, drops the part and raises `OutputError`."""
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
        view = memoryview(data).cast("B")
        with explained(self.path):
            while view:
                written = os.pwrite(self._fd, view, offset)
                view, offset = view[written:], offset + written

    def finish(self) -> None:
        """Bring every byte to the disk; the part stays locked until it is published."""
        with explained(self.path):
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the part."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Drop the part; the target stays as it was."""
        self.part.unlink(missing_ok=True)
        self.close()


def publish(parts: Sequence[PartFile]) -> None:
    """Let finished parts appear under their names, the defining file (a header) last."""
    targets = [part.path for part in parts]
    try:
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


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file at `path` by one that holds `data`, whole or not at all."""
    part = PartFile(path)
    try:
        part.pwrite(data, 0)
        part.finish()
    except BaseException:
        part.discard()
        raise
    publish([part])


def write_json(path: Path, content: Any) -> None:
    """Replace the file at `path` by `content` as indented JSON."""
    write_durably(path, (json.dumps(content, indent=2) + "\n").encode())


def human_size(size: float) -> str:
    """A byte count in words: `305.0 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _part_path(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _commit_path(defining: Path) -> Path:
    return defining.with_name(defining.name + _COMMIT)


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
    _sync_folder(defining.parent)
    _commit_path(defining).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        # some network file systems refuse to sync a folder
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
