"""A whole run on a made-up scene: survey, tiles, files; and its tiles alone, without files."""

from __future__ import annotations

import math
import resource
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hsisr.cube import ALL, ArrayCube, Block, CubeSpec, Interleave
from hsisr.encoding import write_block
from hsisr.files import require_room
from hsisr.formats import create_cube, load, open_cube
from hsisr.model import SrModel
from hsisr.results.export import outputs_of, room_of
from hsisr.runtime import Runtime
from hsisr.scene.spectra import strips
from hsisr.scene.survey import Survey, survey
from hsisr.speed.ceiling import Load, made_up
from hsisr.tiling.assembly import Production, Target
from hsisr.tiling.engine import Engine, Worker
from hsisr.tiling.journal import Journal, Share
from hsisr.tiling.operations import Operation
from hsisr.tiling.sizing import Sizes, allowed, fit
from hsisr.window import Shape, Slab, TilePlan, Window

_PATTERN = 256
"""Side of what is repeated all over a scene."""


class Repeated(ArrayCube):
    """A small made-up scene repeated in both directions: of any size, in little memory."""

    def __init__(self, spec: CubeSpec) -> None:
        super().__init__(made_up(min(_PATTERN, max(spec.rows, spec.cols, 16)), spec.bands), Path())
        self.spec = spec

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`."""
        pattern = self._block[bands]
        block = np.empty((len(pattern), window.height, window.width), np.float32)
        side = pattern.shape[1]
        for down in _runs(window.row, window.row_stop, side):
            for across in _runs(window.col, window.col_stop, side):
                block[:, down[1], across[1]] = pattern[:, down[0], across[0]]
        return block


def _runs(start: int, stop: int, side: int) -> list[tuple[slice, slice]]:
    """Stretches of a line in which a pattern is repeated: where in the pattern, and where in it."""
    edges = [start, *range((start // side + 1) * side, stop, side), stop]
    return [
        (slice(first % side, first % side + last - first), slice(first - start, last - start))
        for first, last in pairwise(edges)
    ]


@dataclass(frozen=True)
class Stage:
    """On what a model is rehearsed."""

    spec: CubeSpec
    """Of the scene."""
    format: str
    runtime: Runtime
    threads: int

    @staticmethod
    def scene(nbytes: int, bands: int, scale: int, interleave: Interleave) -> CubeSpec:
        """A square scene of int16 whose output has `nbytes`, about."""
        side = max(1, round(math.sqrt(nbytes / (2 * bands)) / scale))
        return CubeSpec(bands, side, side, np.dtype(np.int16), interleave=interleave)

    def path(self, folder: Path, name: str) -> Path:
        """The data file of a cube."""
        return outputs_of(folder / f"{name}{load(self.format).SUFFIXES[-1]}", self.format)[0]


@dataclass(frozen=True)
class Rehearsal:
    """How a run went."""

    output: CubeSpec
    """As it was written."""
    operations: int
    """Floating-point operations of the convolutions."""
    tile: Shape
    survey_seconds: float
    """For what has to be known of the whole scene."""
    run_seconds: float
    """For reading, computing, writing and publishing."""
    compute_seconds: float
    """For the same tiles without files."""
    peak_bytes: int
    """Of memory, that the process ever had until the files were there."""

    @property
    def seconds(self) -> float:
        """From the scene to the published output."""
        return self.survey_seconds + self.run_seconds

    @property
    def pixels(self) -> int:
        """Of the output."""
        return self.output.rows * self.output.cols

    @property
    def statistics(self) -> float:
        """What the survey adds, in parts of the time for the tiles alone."""
        return self.survey_seconds / self.compute_seconds

    @property
    def io(self) -> float:
        """What reading and writing add, in parts of the time for the tiles alone."""
        return self.run_seconds / self.compute_seconds - 1


def write_scene(stage: Stage, folder: Path, scale: int) -> Generator[None, None, Path]:
    """The scene as a file in `folder`; raises `OutputError` if there is no room for all of it."""
    path, cube = stage.path(folder, "scene"), Repeated(stage.spec)
    output = stage.path(folder, "sharper"), stage.spec.upscaled(scale)
    require_room(path, room_of([(path, stage.spec), output], stage.format))
    with create_cube(path, stage.spec, stage.format) as writer:
        for window in strips(stage.spec):
            write_block(writer, window, cube.read(window))
            yield
    return path


def rehearse(
    model: SrModel, scene: Path, stage: Stage, folder: Path
) -> Generator[None, None, Rehearsal]:
    """Sharpen the file `scene` into `folder`, then its tiles once more; yields at times."""
    started = time.perf_counter()
    with open_cube(scene) as cube:
        seen = survey(cube, model.tokens)
        operation = model.operation(seen, stage.runtime)
        surveyed = time.perf_counter() - started
        output = stage.path(folder, "sharper"), cube.spec.upscaled(model.scale)
        budget = allowed(stage.threads)
        sizes = fit(
            cube.spec,
            [output[1]],
            operation,
            stage.threads,
            budget,
            number=stage.runtime.dtype.itemsize,
        )
        workers = [Worker(operation, stage.runtime)] * sizes.threads
        # also brings memory and libraries into the state of a long run
        operations = yield from _operations(operation, seen, sizes.plan, stage.runtime)
        started = time.perf_counter()
        engine = Engine(cube, seen, sizes.plan, workers)
        with Journal(folder / "sharper.journal", {}, Share()) as journal:
            production = Production(Target([output], stage.format), sizes.plan, journal)
            for _ in production.run(engine.run, sizes.longest):
                yield
    finished = time.perf_counter() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for file in outputs_of(output[0], stage.format):
        file.unlink(missing_ok=True)
    computed = yield from _compute(Engine(Repeated(stage.spec), seen, sizes.plan, workers), sizes)
    return Rehearsal(output[1], operations, sizes.plan.tile, surveyed, finished, computed, peak)


def _operations(
    operation: Operation, seen: Survey, plan: TilePlan, runtime: Runtime
) -> Generator[None, None, int]:
    """Of all tiles; those of one shape have equally many."""
    shapes = Counter((tile.read.height, tile.read.width, tile.kept) for tile in plan)
    total = 0
    for (height, width, kept), count in shapes.items():
        block = np.broadcast_to(seen.means[:, None, None], (len(seen.means), height, width))
        total += count * Load(operation, block, kept, seen, runtime).operations()
        yield
    return total


def _compute(engine: Engine, sizes: Sizes) -> Generator[None, None, float]:
    """The seconds that all tiles take when what they give is dropped."""

    def drop(slab: Slab, window: Window, block: Block | None) -> None:
        del slab, window, block

    started = time.perf_counter()
    with closing(engine.run(drop, sizes.plan.slabs(sizes.longest, lambda _: True))) as steps:
        for _ in steps:
            yield
    return time.perf_counter() - started
