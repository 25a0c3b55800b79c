"""How long a run will take, told by a small part of it that is really done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hsisr.cube import Block, Cube
from hsisr.scene.spectra import Statistics, strips
from hsisr.scene.survey import Survey
from hsisr.tiling.engine import Engine, Worker
from hsisr.tiling.sizing import Sizes
from hsisr.window import Slab, Window


def run_seconds(cube: Cube, seen: Survey, sizes: Sizes, workers: Sequence[Worker]) -> float:
    """For all tiles: as many as there are workers, from the middle of the scene, are computed."""
    plan, count = sizes.plan, min(len(workers), len(sizes.plan))
    first = (len(plan) - count) // 2
    some = list(plan.slabs(1, lambda number: first <= number < first + count))
    engine = Engine(cube, seen, plan, workers)

    def once() -> None:
        for _ in engine.run(_drop, some):
            pass

    once()  # what happens only the first time
    return _timed(once) * len(plan) / count


def statistics_seconds(cube: Cube) -> float:
    """For reading the whole scene and taking its statistics: one strip of it is."""
    windows = list(strips(cube.spec))
    middle = windows[len(windows) // 2]
    statistics = Statistics(cube.spec.bands)
    return _timed(lambda: statistics.add(cube.read(middle))) * len(windows)


def _drop(slab: Slab, window: Window, block: Block | None) -> None:
    """Nobody wants the result."""


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
