"""What the writers of all formats share: parts that are begun or continued, then appear or go."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.errors import UsageError
from hsisr.files import PartFile, publish, recover, sync_folder, taken, turn
from hsisr.window import Window


class PartsWriter(ABC):
    """A cube under construction in the parts of `files`, the file to publish last at the end.

    With `resume`, parts that a run left are opened as they are if they fit; `resumed` tells. With
    `shared`, processes write disjoint windows of the same parts: the first begins them, who comes
    while others are at work joins them. Raises `OutputError`.
    """

    def __init__(
        self, spec: CubeSpec, files: tuple[Path, ...], *, resume: bool = False, shared: bool = False
    ) -> None:
        self.spec = spec
        self.files = files
        self.resumed = False
        self._kept = False
        self._parts: list[PartFile] = []
        self._defining = Path(os.path.realpath(files[-1]))
        with turn(self._defining):
            # what a killed run had finished but not yet named must not be lost
            recover(self._defining)
            self._open(resume, shared)
            self._start(shared)

    def _open(self, resume: bool, shared: bool) -> None:
        """Lock all parts and look at them, touching none."""
        try:
            for file in self.files:
                self._parts.append(PartFile(file, shared=shared))
            alone = all(part.alone for part in self._parts)
            self.resumed = (resume or not alone) and self._fits()
            if not (alone or self.resumed):
                raise taken(self._defining)
        except BaseException:
            for part in self._parts:
                part.discard() if part.holds(0) else part.close()
            raise

    def _start(self, shared: bool) -> None:
        try:
            if not self.resumed:
                # all before any: parts of two runs never pass for those of one
                for part in self._parts:
                    part.clear()
                self._begin()
                self.sync()
                sync_folder(self._defining.parent)
            if shared:
                for part in self._parts:
                    part.share()
        except BaseException:
            self._leave(kept=False)
            raise

    @abstractmethod
    def _fits(self) -> bool:
        """Whether the parts, as they are, have all but the pixels."""

    @abstractmethod
    def _begin(self) -> None:
        """Reserve the room and write all but the pixels into empty parts."""

    @abstractmethod
    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) of the type `spec.dtype` at `window`."""

    def sync(self) -> None:
        """Bring everything stored to the disk: it survives a crash of the machine."""
        for part in self._parts:
            part.sync()

    def keep(self, kept: bool = True) -> None:
        """Whether leaving, in whatever way, leaves the parts for a run that resumes."""
        self._kept = kept

    def _finish(self) -> None:
        """Complete the parts, to be published."""
        self.sync()

    def _leave(self, *, kept: bool) -> None:
        """Let go of the parts."""
        for part in self._parts:
            part.close() if kept else part.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._kept or error is not None:
            self._leave(kept=self._kept)
        else:
            self._publish()

    def _publish(self) -> None:
        try:
            self._finish()
        except BaseException:
            self._leave(kept=False)
            raise
        with turn(self._defining):
            publish(self._parts)


def not_shared(path: Path) -> UsageError:
    """The error for a format in which windows have no place before they are written."""
    return UsageError(
        "several processes cannot write one file of this format",
        where=path,
        hint="--format envi",
    )
