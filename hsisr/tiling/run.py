"""The only tiled loop: a generator of finished windows.

Whatever a network has to know about the whole scene is gathered once, before the tiles (`survey`).
After it the network is local, and with a halo as wide as its reach the tiles are bit for bit what
the whole scene would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsisr.cube import Block, Cube, CubeSpec
from hsisr.runtime import Runtime
from hsisr.scene import gaps
from hsisr.scene.survey import Survey
from hsisr.tiling.operations import Operation
from hsisr.window import Shape, TilePlan, Window
from hsisr_models.blocks import freeze_attention
from hsisr_models.rendering import Renderer

CHUNK = 16
"""Rows of the scene that are rendered at a time, so that what is between stays in cache."""


def freeze(network: nn.Module, seen: Survey, peak: float, runtime: Runtime) -> None:
    """Fix the attention of a network to what it sees in this scene."""
    # in full precision: it is done once, and all tiles depend on it
    freeze_attention(network, torch.cat([_tensor(block, runtime) for block in seen.samples]) / peak)


def run(
    cube: Cube, operation: Operation, seen: Survey, *, tile: int, runtime: Runtime
) -> Iterator[tuple[Window, Block]]:
    """Apply a local operation to a scene, yielding each window of the output grid once.

    `tile` is the side of a square.
    """
    for step in plan(cube.spec, operation, (tile, tile)):
        block = cube.read(step.read)
        yield step.write, _joined(render(operation, block, step.kept, seen, runtime))


def plan(spec: CubeSpec, operation: Operation, tile: Shape) -> TilePlan:
    """How a scene is cut into tiles, with the halo that an operation needs.

    For one that is not local this is the whole scene, around every tile.
    """
    reach = max(spec.rows, spec.cols) if operation.reach is None else operation.reach
    halo = reach + gaps.REACH
    return TilePlan(spec.rows, spec.cols, tile, halo, operation.scale)


@dataclass
class Seam:
    """How much neighbouring tiles disagreed where they overlapped, in physical units."""

    worst: float = 0.0
    squares: float = 0.0
    count: int = 0

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return math.sqrt(self.squares / max(self.count, 1))

    def note(self, difference: Block) -> None:
        """Take in another overlap."""
        finite = difference[np.isfinite(difference)]
        if finite.size:
            self.worst = max(self.worst, float(np.abs(finite).max()))
            self.squares += float(np.square(finite, dtype=np.float64).sum())
            self.count += finite.size


def run_blended(
    cube: Cube,
    operation: Operation,
    seen: Survey,
    seam: Seam,
    *,
    tile: int,
    overlap: int,
    runtime: Runtime,
) -> Iterator[tuple[Window, Block]]:
    """Apply an operation that is not local: tiles overlap and fade into one another.

    In an overlap the weights of two tiles are linear ramps that add up to one. Yields full-width
    strips of the output grid; `seam` is told how much the tiles disagreed.
    """
    spec, scale = cube.spec, operation.scale
    starts = list(_starts(spec.rows, tile, overlap))
    carried: _Strip | None = None
    for index, row in enumerate(starts):
        height = min(tile, spec.rows - row)
        strip = _Strip(row, height, spec.cols, scale, carried)
        for col in _starts(spec.cols, tile, overlap):
            window = Window(row, col, height, min(tile, spec.cols - col))
            result = apply(operation, cube.read(window), seen, runtime)
            strip.add(window, result, overlap, spec.window, seam)
        stop = starts[index + 1] if index + 1 < len(starts) else spec.rows
        yield strip.finished(stop)
        carried = strip


def _starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    last = max(length - overlap, 1)
    return iter(range(0, last, max(tile - overlap, 1)))


class _Strip:
    """A full-width strip of the output being blended together."""

    def __init__(self, row: int, height: int, cols: int, scale: int, above: _Strip | None) -> None:
        self._row, self._scale, self._cols = row, scale, cols
        self._height = height * scale
        self._weight = np.zeros((self._height, cols * scale), np.float32)
        self._sum: Block | None = None
        if above is not None and above._sum is not None:
            first = (row - above._row) * scale
            shared = above._weight[first:]
            self._weight[: len(shared)] = shared
            self._sum = np.zeros((len(above._sum), *self._weight.shape), np.float32)
            self._sum[:, : len(shared)] = above._sum[:, first:]

    def add(self, window: Window, result: Block, overlap: int, scene: Window, seam: Seam) -> None:
        if self._sum is None:
            self._sum = np.zeros((len(result), *self._weight.shape), np.float32)
        cols = slice(window.col * self._scale, window.col_stop * self._scale)
        total, weight = self._sum[:, :, cols], self._weight[:, cols]
        known = weight > 0
        seam.note(result[:, known] - total[:, known] / weight[known])
        share = _ramps(window, overlap, scene, self._scale)
        total += result * share
        weight += share

    def finished(self, stop: int) -> tuple[Window, Block]:
        assert self._sum is not None
        rows = (stop - self._row) * self._scale
        window = Window(self._row * self._scale, 0, rows, self._cols * self._scale)
        return window, self._sum[:, :rows] / self._weight[:rows]


def _ramps(window: Window, overlap: int, scene: Window, scale: int) -> NDArray[np.float32]:
    """Weights that rise over the overlap at inner borders and stay 1 at the scene's own."""

    def ramp(length: int, rises: bool, falls: bool) -> NDArray[np.float32]:
        distance, fade = np.arange(length, dtype=np.float32) + 0.5, max(overlap * scale, 1)
        rise = np.minimum(distance / fade, 1) if rises else np.ones_like(distance)
        fall = np.minimum(distance[::-1] / fade, 1) if falls else 1
        return (rise * fall).astype(np.float32)

    down = ramp(window.height * scale, window.row > 0, window.row_stop < scene.height)
    across = ramp(window.width * scale, window.col > 0, window.col_stop < scene.width)
    return down[:, None] * across


def gather_strips(
    windows: Iterable[tuple[Window, Block]], cols: int
) -> Iterator[tuple[Window, Block]]:
    """Join windows that come row by row into full-width strips."""
    row: list[Block] = []
    for window, block in windows:
        row.append(block)
        if window.col_stop == cols:
            yield Window(window.row, 0, window.height, cols), np.concatenate(row, 2)
            row = []


@dataclass(frozen=True)
class Chunk:
    """A few rows of what an operation made of a block."""

    window: Window
    """On the output grid, counted from the first pixel of the block."""
    block: Block
    recomputed: bool
    """Whether reduced precision was not enough for it."""


@torch.no_grad()
def render(
    operation: Operation, block: Block, kept: Window, seen: Survey, runtime: Runtime
) -> Iterator[Chunk]:
    """The operation on the window `kept` of a block (B, h, w), a few rows at a time.

    Holes are filled, and are holes again. What bfloat16 cannot hold is computed in float32.
    """
    missing = operation.missing(np.isnan(block))
    filled = _tensor(gaps.fill(block, seen.means), runtime)
    renderers: dict[Runtime, Renderer] = {}

    def rendered(rows: Window, precision: Runtime) -> Block:
        with precision.precision():
            if precision not in renderers:
                renderers[precision] = operation.prepare(filled, kept=kept.slices)
            result: Block = renderers[precision](*rows.slices)[0].float().cpu().numpy()
        return result

    for rows in _rows(kept):
        result, recomputed = rendered(rows, runtime), False
        if runtime.is_reduced and not operation.held(result):
            result, recomputed = rendered(rows, runtime.exact), True
        gone = missing[:, *rows.slices]
        if gone.any():
            result[np.broadcast_to(gaps.zoomed(gone, operation.scale), result.shape)] = np.nan
        yield Chunk(rows.zoomed(operation.scale), result, recomputed)


def _rows(window: Window) -> Iterator[Window]:
    for row in range(window.row, window.row_stop, CHUNK):
        yield Window(row, window.col, min(CHUNK, window.row_stop - row), window.width)


def apply(operation: Operation, block: Block, seen: Survey, runtime: Runtime) -> Block:
    """The operation on one block (B, h, w) by itself: holes are filled, and are holes again."""
    _, rows, cols = block.shape
    return _joined(render(operation, block, Window(0, 0, rows, cols), seen, runtime))


def _joined(chunks: Iterable[Chunk]) -> Block:
    return np.concatenate([chunk.block for chunk in chunks], 1)


def _tensor(block: Block, runtime: Runtime) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block))[None].to(
        runtime.device, memory_format=torch.channels_last
    )
