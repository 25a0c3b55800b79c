"""A model tested on the blocks of a run that were kept for it: how good, and at what cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from hsisr import evaluate
from hsisr.costs import Memory, operations
from hsisr.cube import ArrayCube, Block
from hsisr.degraded import DegradedCube
from hsisr.model import SrModel, load_sr
from hsisr.operations import Operation
from hsisr.patches import PatchSet
from hsisr.run import gather_strips, render, run
from hsisr.runtime import Runtime
from hsisr.survey import survey
from hsisr.window import Window

Strips = list[tuple[Window, Block]]
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
    """What a test has told of a model."""

    measures: dict[str, float]
    """The mean over the test blocks."""
    facts: Facts
    """`parameters`, `operations` and `pixels_per_second` of the output, `peak_memory`."""


def examine(name: str, patches: PatchSet, runtime: Runtime, metrics: str) -> Examined:
    """Test the model `name` on the test blocks of a run, in tiles, in the precision of `runtime`.

    `metrics` is a preset of `evaluate`. Raises `ModelError` if there is no such model or it does
    not fit.
    """
    memory = Memory(runtime.device)
    model = load_sr(name, patches.scale)
    papers = [_Paper(cube, model, patches, runtime) for cube in test_blocks(patches)]
    estimates, seconds = zip(*(paper.sharpened() for paper in papers), strict=True)
    peak = memory.peak()
    scores = [
        evaluate.measure(
            paper.truth, strips, peak=patches.peak, ratio=patches.scale, preset=metrics
        )
        for paper, strips in zip(papers, estimates, strict=True)
    ]
    pixels = sum(window.height * window.width for strips in estimates for window, _ in strips)
    del estimates
    passes = [sum(seconds)]
    while len(passes) <= _REPEATS and passes[0] < _LONG:
        passes.append(sum(paper.sharpened()[1] for paper in papers))
    facts: Facts = {
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "operations": papers[0].operations(),
        "pixels_per_second": pixels / median(passes),
        "peak_memory": peak,
    }
    return Examined(dict(evaluate.average(name, scores).values), facts)


def test_blocks(patches: PatchSet) -> list[ArrayCube]:
    """The test blocks of a run at their full resolution."""
    return [ArrayCube(high, patches.folder, patches.spectrum) for _, high in patches.blocks("test")]


def estimates(
    models: Mapping[str, str], patches: PatchSet, runtime: Runtime
) -> tuple[Block, dict[str, Block]]:
    """The largest test block of a run, and what models, by a name of one's own, make of it.

    All are divided by the peak of the data.
    """
    truth = max(test_blocks(patches), key=lambda cube: cube.spec.rows * cube.spec.cols)
    gain = np.float32(1 / patches.peak)
    found = {}
    for label, name in models.items():
        strips, _ = _Paper(truth, load_sr(name, patches.scale), patches, runtime).sharpened()
        found[label] = np.concatenate([block for _, block in strips], 1) * gain
    return truth.read(truth.spec.window) * gain, found


class _Paper:
    """A test block, and a model about to sharpen what was made coarse of it."""

    def __init__(self, truth: ArrayCube, model: SrModel, data: PatchSet, runtime: Runtime) -> None:
        self.truth, self._model, self._runtime = truth, model, runtime
        self._low = DegradedCube(truth, data.scale, data.manifest["degradation"])
        model.require_fit(self._low.spec)
        self._seen = survey(self._low, model.tokens)

    @property
    def _operation(self) -> Operation:
        # what was frozen for another block is frozen anew
        return self._model.operation(self._seen, self._runtime)

    def sharpened(self) -> tuple[Strips, float]:
        """The estimate, in full-width strips, and the seconds it took once the model was set."""
        operation, cols = self._operation, self._low.spec.upscaled(self._model.scale).cols
        started = time.perf_counter()
        windows = run(self._low, operation, self._seen, tile=_TILE, runtime=self._runtime)
        return list(gather_strips(windows, cols)), time.perf_counter() - started

    def operations(self) -> float:
        """Floating-point operations per pixel of the output."""
        spec, operation = self._low.spec, self._operation
        whole = Window(0, 0, min(spec.rows, _COUNTED), min(spec.cols, _COUNTED))
        block = self._low.read(whole)

        def compute() -> None:
            for _ in render(operation, block, whole, self._seen, self._runtime):
                pass

        return operations(compute) / (whole.height * whole.width * self._model.scale**2)
