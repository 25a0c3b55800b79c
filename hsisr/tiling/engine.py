"""Many tiles at a time: reading, computing and writing overlap, in bounded memory.

One thread reads slab after slab, the workers compute their tiles, and whoever iterates over the
engine writes what is finished. Threads go over tiles, not inside them: that is faster, and what a
tile gives depends neither on how many there are nor on which of them took it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue

import numpy as np
import torch

from hsisr.cube import Block, Cube
from hsisr.errors import OutputError
from hsisr.runtime import Runtime, is_out_of_memory
from hsisr.scene.survey import Survey
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import render
from hsisr.window import Slab, Tile, TilePlan, Window

AHEAD = 2
"""Slabs in work: while the last tiles of one are computed, idle workers begin with the next."""
_PULSE = 0.2
"""Seconds after which the caller is asked at the latest whether to go on."""
_SMALLEST = 8
"""Side of a tile that is not cut any smaller."""


@dataclass(frozen=True)
class Worker:
    """One of those who share the tiles: an operation, and where it runs."""

    operation: Operation
    runtime: Runtime


Take = Callable[[Slab, Window, Block | None], None]
"""Told by workers, in any order: a window of the output grid, and its values or None: no data."""


@dataclass(frozen=True)
class Step:
    """What became finished."""

    pixels: int
    """Of the output grid."""
    slab: Slab | None = None
    """If that completed it."""


class Engine:
    """Runs local operations over the slabs of a scene.

    A tile for which memory does not suffice is cut into smaller ones, and so are all that follow;
    the result stays the same. Raises `OutputError` if the smallest do not fit.
    """

    def __init__(self, cube: Cube, seen: Survey, plan: TilePlan, workers: Sequence[Worker]) -> None:
        self.recomputed = 0
        """Chunks that bfloat16 could not hold."""
        self.side = max(plan.tile)
        """The longer one of the largest tile that still fits into memory."""
        self._cube, self._seen, self._plan = cube, seen, plan
        self._count = len(workers)
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            self._idle.put(worker)
        self._lock = threading.Lock()

    def run(self, take: Take, slabs: Iterable[Slab]) -> Generator[Step]:
        """Compute all tiles of `slabs`; left early, the tiles that are begun are finished."""
        self._take = take
        with ExitStack() as stack:
            reader = ThreadPoolExecutor(1, "reader")
            crew = ThreadPoolExecutor(self._count, "worker", torch.set_num_threads, (1,))
            for pool in (crew, reader):
                stack.callback(pool.shutdown, cancel_futures=True)
            yield from self._steps(iter(slabs), reader, crew)

    def _steps(
        self, slabs: Iterator[Slab], reader: ThreadPoolExecutor, crew: ThreadPoolExecutor
    ) -> Iterator[Step]:
        pending: dict[Future[None], tuple[Slab, Tile]] = {}

        def begin(slab: Slab) -> None:
            block = reader.submit(self._cube.read, slab.read)
            for tile in slab.tiles:
                pending[crew.submit(self._work, block, slab, tile)] = slab, tile

        for slab in islice(slabs, AHEAD):
            begin(slab)
        while pending:
            done, _ = wait(pending, _PULSE, FIRST_COMPLETED)
            if not done:
                yield Step(0)
            # in the order in which they were begun: of several errors, the first is told
            for future in [each for each in pending if each in done]:
                slab, tile = pending.pop(future)
                future.result()
                complete = all(other is not slab for other, _ in pending.values())
                yield Step(tile.write.height * tile.write.width, slab if complete else None)
                for following in islice(slabs, int(complete)):
                    begin(following)

    def _work(self, block: Future[Block], slab: Slab, tile: Tile) -> None:
        scene = block.result()
        worker = self._idle.get()
        try:
            kept = tile.kept.moved(tile.read.row, tile.read.col)
            self._finish(worker, scene, slab, kept)
        finally:
            self._idle.put(worker)

    def _finish(self, worker: Worker, scene: Block, slab: Slab, kept: Window) -> None:
        """Compute `kept`, a window of the cube, in parts if memory asks for it."""
        if max(kept.height, kept.width) > self.side:
            for half in _halves(kept):
                self._finish(worker, scene, slab, half)
        elif (short := self._attempt(worker, scene, slab, kept)) is not None:
            rest, failure = short
            # out here, the exception and all that it held are gone
            self._shrink(kept, failure)
            self._finish(worker, scene, slab, rest)

    def _attempt(
        self, worker: Worker, scene: Block, slab: Slab, kept: Window
    ) -> tuple[Window, str] | None:
        """Compute and hand over; if memory does not suffice, returns what is left, and why."""
        done = 0
        try:
            for rows in self._handed_over(worker, scene, slab, kept):
                done += rows
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            rest = Window(kept.row + done, kept.col, kept.height - done, kept.width)
            return rest, str(error).partition("\n")[0] or type(error).__name__
        return None

    def _handed_over(self, worker: Worker, scene: Block, slab: Slab, kept: Window) -> Iterator[int]:
        """Compute `kept` from top to bottom; yields how many more of its rows are done."""
        operation, scale = worker.operation, self._plan.scale
        read = kept.grown(self._plan.halo, self._cube.spec.window)
        block = scene[:, *read.relative_to(slab.read).slices]
        inner = kept.relative_to(read)
        if operation.missing(np.isnan(block[:, *inner.slices])).all():
            self._take(slab, kept.zoomed(scale), None)
            yield kept.height
            return
        for chunk in render(operation, block, inner, self._seen, worker.runtime):
            window = chunk.window.moved(read.row * scale, read.col * scale)
            self._take(slab, window, chunk.block)
            with self._lock:
                self.recomputed += chunk.recomputed
            yield chunk.window.height // scale

    def _shrink(self, kept: Window, failure: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        with self._lock:
            larger = max(kept.height, kept.width)
            if larger <= _SMALLEST:
                raise OutputError(
                    f"not enough memory for {kept.height} x {kept.width} pixels: {failure}",
                    hint="fewer --threads, or --bands",
                )
            self.side = min(self.side, max(larger // 2, _SMALLEST))


def _halves(window: Window) -> tuple[Window, Window]:
    """The window cut across its longer side."""
    row, col, height, width = window.row, window.col, window.height, window.width
    if height >= width:
        first = height // 2
        return Window(row, col, first, width), Window(row + first, col, height - first, width)
    first = width // 2
    return Window(row, col, height, first), Window(row, col + first, height, width - first)


def handed_over(windows: Iterable[tuple[Window, Block]], take: Take) -> Generator[Step]:
    """Windows that are ready, as steps: each is a slab of its own."""
    for number, (window, block) in enumerate(windows):
        slab = Slab(range(number, number + 1), (Tile(window, window, window),))
        take(slab, window, block)
        yield Step(window.height * window.width, slab)
