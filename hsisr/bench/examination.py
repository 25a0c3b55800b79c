"""A model tested on the test blocks of a run: its quality and its costs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

from hsisr import evaluate
from hsisr.bench.timed import clock
from hsisr.cube import ArrayCube, Block
from hsisr.data.patches import PatchSet
from hsisr.model import SrModel, load_sr
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.costs import Memory, operations
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import gather_strips, render, run
from hsisr.window import Window

Strip = tuple[Window, Block]
Facts = dict[str, float | None]

_TILE = 128
"""Side of a tile, as that of `hsisr evaluate`."""
_REPEATS = 3
_LONG = 20.0
"""Seconds after which a pass is not repeated."""
_COUNTED = 32
"""Low-resolution pixels along the side of what the operations are counted on, at most."""


@dataclass(frozen=True)
class Examined:
    """The outcome of a test."""

    measures: dict[str, float]
    """The mean over the test blocks."""
    facts: Facts
    """`parameters`, `operations` and `pixels_per_second` of the output, `peak_memory`."""


def examine(name: str, patches: PatchSet, runtime: Runtime, metrics: str) -> Examined:
    """Test the model `name` on the test blocks of a run, in tiles, in the precision of `runtime`.

    `metrics` is a preset of `evaluate`. Raises `ModelError` if there is no such model or it does
    not fit.
    """
    blocks = sorted(patches.blocks("test"), key=lambda pair: -pair[1].size)

    def test_of(pair: tuple[Block, Block]) -> _Test:
        return _Test(*pair, load_sr(name, patches.scale), patches, runtime)

    # first, since whoever computes first in a process pays for the libraries that it loads
    operations = test_of(blocks[0]).operations()
    peak = _memory(lambda: test_of(blocks[0]), runtime)
    model = load_sr(name, patches.scale)
    tests = [_Test(*pair, model, patches, runtime) for pair in blocks]
    scores, passes = [test.measures(metrics) for test in tests], [0.0]
    while len(passes) <= _REPEATS and passes[-1] < _LONG:
        passes.append(sum(test.seconds() for test in tests))
    facts: Facts = {
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "operations": operations,
        "pixels_per_second": sum(test.pixels for test in tests) / median(passes[1:]),
        "peak_memory": peak,
    }
    return Examined(dict(evaluate.average(name, scores).values), facts)


def _memory(make: Callable[[], _Test], runtime: Runtime) -> int | None:
    """Peak memory in bytes of a model that upscales a block, strip by strip."""
    memory = Memory(runtime.device)
    make().seconds()
    return memory.peak()


def largest(patches: PatchSet) -> Block:
    """The largest test block of a run at its full resolution, divided by the peak of the data."""
    _, high = _largest(patches)
    return high * np.float32(1 / patches.peak)


def estimate(name: str, patches: PatchSet, runtime: Runtime) -> Block:
    """What the model `name` makes of the largest test block, divided by the peak of the data.

    Raises `ModelError` if there is no such model or it does not fit.
    """
    test = _Test(*_largest(patches), load_sr(name, patches.scale), patches, runtime)
    strips = [block for _, block in test.strips()]
    return np.concatenate(strips, 1) * np.float32(1 / patches.peak)


def _largest(patches: PatchSet) -> tuple[Block, Block]:
    return max(patches.blocks("test"), key=lambda pair: pair[1].size)


class _Test:
    """One test: a block in both resolutions, and the model that sharpens the lower one."""

    def __init__(
        self, low: Block, high: Block, model: SrModel, data: PatchSet, runtime: Runtime
    ) -> None:
        self._truth, self._low = (ArrayCube(one, data.folder, data.spectrum) for one in (high, low))
        self._model, self._data, self._runtime = model, data, runtime
        model.require_fit(self._low.spec)
        self._seen = survey(self._low, model.tokens)
        self.pixels = self._low.spec.rows * self._low.spec.cols * model.scale**2
        """Of the output."""

    @property
    def _operation(self) -> Operation:
        # what was frozen for another block is frozen anew
        return self._model.operation(self._seen, self._runtime)

    def strips(self) -> Iterator[Strip]:
        """The estimate, in full-width strips that are computed as they are asked for."""
        windows = run(self._low, self._operation, self._seen, tile=_TILE, runtime=self._runtime)
        return gather_strips(windows, self._low.spec.upscaled(self._model.scale).cols)

    def measures(self, preset: str) -> dict[str, float]:
        """How good the estimate is."""
        data = self._data
        return evaluate.measure(
            self._truth, self.strips(), peak=data.peak, ratio=data.scale, preset=preset
        )

    def seconds(self) -> float:
        """The time that the estimate takes once the model is set."""
        now, strips = clock(self._runtime), self.strips()
        started = now()
        deque(strips, maxlen=0)
        return now() - started

    def operations(self) -> float:
        """Floating-point operations per pixel of the output."""
        spec, operation = self._low.spec, self._operation
        whole = Window(0, 0, min(spec.rows, _COUNTED), min(spec.cols, _COUNTED))
        block = self._low.read(whole)

        def compute() -> None:
            for _ in render(operation, block, whole, self._seen, self._runtime):
                pass

        return operations(compute) / (whole.height * whole.width * self._model.scale**2)
