"""From tiles to files: slabs are put together as they will be stored, written, and noted."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Block, CubeSpec, CubeWriter
from hsisr.encoding import encode
from hsisr.formats import create_cube
from hsisr.tiling.engine import Step, Take
from hsisr.tiling.journal import Journal, Unkept
from hsisr.window import Slab, TilePlan, Window

Steps = Callable[[Take, Iterator[Slab]], Generator[Step]]
"""What computes slabs, see `Engine.run`."""


@dataclass(frozen=True)
class Target:
    """What is written: cubes of one format on one grid, whose bands follow one another."""

    cubes: Sequence[tuple[Path, CubeSpec]]
    format: str


@dataclass
class _Stored:
    """A slab of every cube, as it will be stored."""

    arrays: list[NDArray[Any]]
    memory: list[NDArray[np.uint8]]
    """That the arrays lie in."""
    clipped: int = 0


class Assembly:
    """Encodes what workers hand over, and joins it to slabs."""

    def __init__(self, writers: Sequence[CubeWriter]) -> None:
        self._writers = writers
        self._ends = np.cumsum([writer.spec.bands for writer in writers])
        self._slabs: dict[range, _Stored] = {}
        self._spare: list[list[NDArray[np.uint8]]] = []
        """Memory of slabs that were written: to get new pages costs more than to fill them."""
        self._lock = threading.Lock()

    def take(self, slab: Slab, window: Window, block: Block | None) -> None:
        """See `engine.Take`."""
        stored = self._slab(slab)
        place = window.relative_to(slab.write).slices
        targets = [array[:, *place] for array in stored.arrays]
        specs = [writer.spec for writer in self._writers]
        if block is None:
            for spec, target in zip(specs, targets, strict=True):
                target[:] = _no_data(spec)
            return
        parts = zip(np.split(block, self._ends[:-1]), specs, targets, strict=True)
        clipped = sum(encode(*part)[1] for part in parts)
        with self._lock:
            stored.clipped += clipped

    def _slab(self, slab: Slab) -> _Stored:
        with self._lock:
            if slab.numbers not in self._slabs:
                self._slabs[slab.numbers] = self._begun(slab.write)
            return self._slabs[slab.numbers]

    def _begun(self, window: Window) -> _Stored:
        memory = self._spare.pop() if self._spare else [np.empty(0, np.uint8)] * len(self._writers)
        arrays: list[NDArray[Any]] = []
        for i, spec in enumerate(writer.spec for writer in self._writers):
            shape = spec.bands, window.height, window.width
            needed = math.prod(shape) * spec.dtype.itemsize
            if len(memory[i]) < needed:
                memory[i] = np.empty(needed, np.uint8)
            arrays.append(np.ndarray(shape, spec.dtype, memory[i]))
        return _Stored(arrays, memory)

    def store(self, slab: Slab) -> int:
        """Write a complete slab; returns how many samples were clipped."""
        stored = self._slabs.pop(slab.numbers)
        for writer, array in zip(self._writers, stored.arrays, strict=True):
            writer.store(slab.write, array)
        with self._lock:
            self._spare.append(stored.memory)
        return stored.clipped


class Production:
    """A run from its tiles to its files; what its journal keeps outlives an interruption.

    Before the files appear, `complete` is told how many samples were clipped to the stored type:
    what it writes beside them is there whenever they are.
    """

    def __init__(
        self,
        target: Target,
        plan: TilePlan,
        journal: Journal | Unkept,
        complete: Callable[[int], None] = lambda clipped: None,
    ) -> None:
        self.clipped = 0
        """Samples that did not fit the stored type."""
        self.published = False
        """Whether the files are there; not so while other shares are at work."""
        self._target, self._plan, self._journal = target, plan, journal
        self._complete = complete
        self._committing: Future[None] = Future()
        self._committing.set_result(None)

    def run(self, steps: Steps, longest: int) -> Generator[int]:
        """Write what `steps` compute, in slabs of at most `longest` tiles.

        Yields how many pixels of the output are done, beginning with those of earlier runs.
        """
        with ExitStack() as stack:
            # alone, because tiles that others have done meanwhile must not be forgotten
            with self._journal.alone():
                writers = [stack.enter_context(self._writer(*cube)) for cube in self._target.cubes]
                if not all(writer.resumed for writer in writers):
                    self._journal.forget()
            # the disk is busy while tiles are computed, not only in between
            disk = stack.enter_context(ThreadPoolExecutor(1, "disk"))
            try:
                for pixels, written in self._stored(Assembly(writers), steps, longest):
                    if written and self._committing.done():
                        self._committing.result()
                        self._committing = disk.submit(self._commit, writers)
                    yield pixels
            finally:
                self._end(writers)
            self._close(stack, writers)

    def _end(self, writers: list[CubeWriter]) -> None:
        """Note all that was stored; where nothing was, there is nothing to keep."""
        try:
            self._committing.result()
            self._commit(writers)
        finally:
            if self._journal.worthless:
                _keep(writers, False)

    def _writer(self, path: Path, spec: CubeSpec) -> CubeWriter:
        shared = self._journal.share.count > 1
        keeps = self._journal.keeps
        writer = create_cube(path, spec, self._target.format, resume=keeps, shared=shared)
        writer.keep(keeps)
        return writer

    def _stored(self, assembly: Assembly, steps: Steps, longest: int) -> Iterator[tuple[int, bool]]:
        """The pixels that are done, and whether some of them were just written."""
        done, share, across = self._journal.done(), self._journal.share, self._plan.across

        def wanted(number: int) -> bool:
            return number not in done and share.holds(number // across)

        pixels = sum(_area(tile.write) for i, tile in enumerate(self._plan) if not wanted(i))
        yield pixels, False
        with closing(steps(assembly.take, self._plan.slabs(longest, wanted))) as running:
            for step in running:
                if step.slab is not None:
                    self._journal.note(step.slab.numbers, assembly.store(step.slab))
                pixels += step.pixels
                yield pixels, step.slab is not None

    def _commit(self, writers: list[CubeWriter]) -> None:
        """Note what was stored, once it is on the disk."""

        def sync() -> None:
            for writer in writers:
                writer.sync()

        self._journal.commit(sync)

    def _close(self, stack: ExitStack, writers: list[CubeWriter]) -> None:
        """Let the files appear, if this was all."""
        with self._journal.closing(len(self._plan)) as last:
            self.clipped = self._journal.clipped()
            if last:
                self._complete(self.clipped)
            _keep(writers, not last)
            stack.close()
        self.published = last


def _no_data(spec: CubeSpec) -> NDArray[Any]:
    """A pixel of it, which stands for all (bands, 1, 1)."""
    return encode(np.full((spec.bands, 1, 1), np.nan, np.float32), spec)[0]


def _keep(writers: list[CubeWriter], kept: bool) -> None:
    for writer in writers:
        writer.keep(kept)


def _area(window: Window) -> int:
    return window.height * window.width
