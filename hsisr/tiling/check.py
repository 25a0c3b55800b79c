"""What a run can tell of its own quality where there is no truth to compare with.

The self-check degrades blocks of the scene once more, sharpens them and compares with the scene,
beside bicubic. Consistency degrades the result and compares with the scene it was made from.
Rounding is what reduced precision changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hsisr.cube import Block, Cube, CubeSpec
from hsisr.runtime import Runtime, single_threaded
from hsisr.scene.degraded import SUPPORT, degrade_block
from hsisr.scene.survey import Survey
from hsisr.tiling.operations import Operation, Sharpen
from hsisr.tiling.run import Chunk, apply, render
from hsisr.window import Tile, TilePlan, Window
from hsisr_models.imaging import degrade
from hsisr_models.metrics import SHELF as METRICS
from hsisr_models.sr.bicubic import Bicubic

CONSISTENT = 1e-3
"""How far a consistent result may be from the scene, in parts of its range."""
_FAITHFUL_PSNR, _FAITHFUL_SAM = 60.0, 0.05
"""In dB and degrees: how near reduced precision has to come to float32."""
_MIDDLE = 12
"""Side of what is taken of a sample of the scene to see that, at most."""
_VALUES = 1 << 25
"""Of the sharper scene, no more are made for a block, or for all samples."""
_STRIP = 1 << 19
"""Values that are compared at a time: few enough for the cache."""
_BLOCKS = 6
_GRID = (3, 4)
"""Rows and columns of blocks to choose from, at most."""
_SIDE = 48
"""Of a degraded block, at most."""
_LEAST = 4
"""The smallest side of a degraded block that tells anything."""
_STEPS = 64
"""Windows of the result that are compared with the scene, at most."""
_FINE = 256
"""Side of the windows of the result that are degraded at a time, at most."""
_DEGRADED = 1 << 23
"""Values of such a window, at most."""


@dataclass(frozen=True)
class Agreement:
    """How near an estimate comes to what it is compared with; NaN if no sample is on both sides."""

    psnr: float
    """In dB, the mean over the bands, the peak being the largest value compared with.

    NaN if that is not positive.
    """
    sam: float
    """In degrees, the mean over the pixels."""
    worst: float
    """The largest difference, in parts of the range of the values compared with.

    Of values that are all one: infinite, or 0 if nothing differs.
    """

    @property
    def faithful(self) -> bool:
        """Whether what was computed in reduced precision may stand for what float32 gives."""
        # where there is nothing to compare, nothing is lost
        return not (self.psnr < _FAITHFUL_PSNR or self.sam > _FAITHFUL_SAM)


@dataclass(frozen=True)
class SelfCheck:
    """How well a model brings back the scene from its degraded blocks, beside bicubic."""

    model: Agreement
    bicubic: Agreement
    blocks: int

    @property
    def lost(self) -> bool:
        """Whether bicubic is the better one, by PSNR."""
        return self.model.psnr < self.bicubic.psnr


def sample(cube: Cube, scale: int) -> list[Window]:
    """Up to 6 blocks spread over the scene, with as few missing samples as there can be.

    Their sides are multiples of the scale. Empty if the scene is too small or holds no data.
    """
    missing: dict[Window, float] = {}
    for block in _candidates(cube.spec, scale):
        missing[block] = _missing(cube, block)
        if list(missing.values()).count(0) == _BLOCKS:
            break  # none of the others could be better
    best = sorted((block for block in missing if missing[block] < 1), key=lambda b: missing[b])
    return best[:_BLOCKS]


def _missing(cube: Cube, window: Window) -> float:
    return float(np.isnan(cube.read(window)).mean())


def _candidates(spec: CubeSpec, scale: int) -> list[Window]:
    """Blocks side by side at most, in an order in which every first few are spread out."""
    most = max(_LEAST, min(_SIDE, math.isqrt(_VALUES // spec.bands) // scale))
    height, width = (scale * min(most, side // scale) for side in (spec.rows, spec.cols))
    if min(height, width) < _LEAST * scale:
        return []
    down, across = min(spec.rows // height, _GRID[0]), min(spec.cols // width, _GRID[1])
    rows = np.linspace(0, spec.rows - height, down).astype(int)
    cols = np.linspace(0, spec.cols - width, across).astype(int)
    places = sorted(np.ndindex(down, across), key=lambda place: sum(place) % 2)
    return [Window(int(rows[i]), int(cols[j]), height, width) for i, j in places]


@single_threaded()
def self_check(
    cube: Cube,
    blocks: Iterable[Window],
    operation: Operation,
    seen: Survey,
    *,
    operator: str,
    runtime: Runtime,
) -> SelfCheck | None:
    """Degrade `blocks` by `operator`, sharpen them again, and compare; None without blocks."""
    scale = operation.scale
    bicubic = Sharpen(Bicubic(bands=1, scale=scale), scale, Bicubic.reach, 1.0)
    by_model, by_bicubic = _Comparison(), _Comparison()
    done = 0
    for done, window in enumerate(blocks, start=1):  # noqa: B007 - how many there were
        truth = cube.read(window)
        low = degrade_block(truth, scale, operator)
        for comparison, method in ((by_model, operation), (by_bicubic, bicubic)):
            for chunk in _chunks(method, low, seen, runtime):
                comparison.add(truth[:, *chunk.window.slices], chunk.block)
    return SelfCheck(by_model.result(), by_bicubic.result(), done) if done else None


@single_threaded()
def rounding(operation: Operation, seen: Survey, runtime: Runtime) -> Agreement:
    """How near `runtime` comes to float32 on the samples of a surveyed scene."""
    found = _Comparison()
    pixels = len(seen.samples) * len(seen.means) * operation.scale**2
    most = max(_LEAST, min(_MIDDLE, math.isqrt(_VALUES // pixels)))
    for sample in seen.samples:
        rows, cols = (max(0, side - most) // 2 for side in sample.shape[1:])
        block = sample[:, rows : rows + most, cols : cols + most]
        both = (_chunks(operation, block, seen, each) for each in (runtime.exact, runtime))
        for exact, rounded in zip(*both, strict=True):
            found.add(exact.block[: len(block)], rounded.block)
    return found.result()


def _chunks(operation: Operation, block: Block, seen: Survey, runtime: Runtime) -> Iterator[Chunk]:
    """What an operation makes of a block, a few rows at a time."""
    _, rows, cols = block.shape
    return render(operation, block, Window(0, 0, rows, cols), seen, runtime)


def consistency_steps(spec: CubeSpec, scale: int) -> tuple[list[Tile], bool]:
    """The steps in which `consistency` goes over a scene, and whether they are all of it.

    In a large scene they are spread over it: the check does not take longer the larger it is.
    """
    side = max(1, min(_FINE, math.isqrt(_DEGRADED // spec.bands)) // scale)
    steps = list(TilePlan(spec.rows, spec.cols, (side, side), SUPPORT))
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _STEPS)).astype(int)
    return [steps[number] for number in chosen], len(chosen) == len(steps)


def consistency(steps: Iterable[Tile], output: Cube, source: Cube, *, operator: str) -> Agreement:
    """Degrade `output` by `operator` and compare with `source`, which it was made from.

    Where the degradation sees a missing sample there is nothing to compare.
    """
    comparison = _Comparison()
    scale = output.spec.rows // source.spec.rows
    for step in steps:
        high = torch.from_numpy(output.read(step.read.zoomed(scale)))
        low = degrade(high[None], scale, operator)[0].numpy()
        comparison.add(source.read(step.write), low[:, *step.kept.slices])
    return comparison.result()


@dataclass(frozen=True)
class Difference:
    """How far abundances are from those they are compared with; NaN if there are none on both."""

    mean: float
    """Of the absolute differences."""
    worst: float


@single_threaded()
def abundance_consistency(
    steps: Iterable[Tile],
    output: Cube,
    source: Cube,
    unmix: Operation,
    seen: Survey,
    *,
    operator: str,
    runtime: Runtime,
) -> Difference:
    """Degrade the abundances `output` by `operator` and compare with those `unmix` gives `source`.

    Where the degradation sees a pixel without abundances there is nothing to compare.
    """
    scale = output.spec.rows // source.spec.rows
    total, count, worst = 0.0, 0, 0.0
    for step in steps:
        high = torch.from_numpy(output.read(step.read.zoomed(scale)))
        low = degrade(high[None], scale, operator)[0].numpy()
        expected = apply(unmix, source.read(step.read), seen, runtime)[: len(low)]
        differences = np.abs(low - expected)[:, *step.kept.slices]
        differences = differences[np.isfinite(differences)]
        total += float(differences.sum(dtype=np.float64))
        count += differences.size
        worst = max(worst, float(differences.max(initial=0)))
    return Difference(total / count, worst) if count else Difference(math.nan, math.nan)


class _Comparison:
    """Estimates and truths that come in pieces of any shape."""

    def __init__(self) -> None:
        # by a peak of one, as the largest value is not known before the last piece
        self._psnr, self._sam = (METRICS[name].meter(peak=1.0, ratio=1) for name in ("psnr", "sam"))
        self._lowest, self._largest, self._worst = math.inf, -math.inf, -math.inf

    def add(self, truth: Block, estimate: Block) -> None:
        # what follows the bands of the truth is no estimate of them
        estimate = estimate[: len(truth)]
        count = max(1, _STRIP // truth[:, 0].size)
        for row in range(0, truth.shape[1], count):
            self._add(truth[:, row : row + count], estimate[:, row : row + count])

    def _add(self, truth: Block, estimate: Block) -> None:
        for meter in (self._psnr, self._sam):
            meter.update(torch.from_numpy(truth), torch.from_numpy(estimate))
        both = np.isfinite(truth) & np.isfinite(estimate)
        values = truth[both]
        self._lowest = min(self._lowest, float(values.min(initial=np.inf)))
        self._largest = max(self._largest, float(values.max(initial=-np.inf)))
        differences = np.abs(estimate[both] - values)
        self._worst = max(self._worst, float(differences.max(initial=-np.inf)))

    def result(self) -> Agreement:
        peak, extent = self._largest, self._largest - self._lowest
        if extent < 0:
            return Agreement(math.nan, math.nan, math.nan)
        return Agreement(
            psnr=self._psnr.result() + 20 * math.log10(peak) if peak > 0 else math.nan,
            sam=self._sam.result(),
            worst=self._worst and (self._worst / extent if extent else math.inf),
        )
