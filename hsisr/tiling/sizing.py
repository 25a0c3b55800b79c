"""How large tiles and slabs may be: halos make small ones dear, memory forbids large ones.

A slab that is as wide as the scene is read and written in few long pieces, any other in a short
piece for every row of every band. Which of the two costs more depends on the network. As slabs are
wide only if they are low, tiles may be wider than high.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hsisr.cube import CubeSpec
from hsisr.errors import OutputError, UsageError
from hsisr.files import human_size
from hsisr.tiling.engine import AHEAD
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import CHUNK, plan
from hsisr.window import Shape, TilePlan

LAYER, PIXEL, PIECE = 1.2e-3, 1.2, 2.4
"""Microseconds of a processor, about: for a number in one layer on the scene's grid, for a pixel
of the output, and for a piece of a file that is read, or written and brought to the disk."""

_SIDES = (512, 384, 256, 192, 160, 128, 112, 96, 80, 64, 48, 32, 24, 16, 8)
_PROGRAM = 350 << 20
"""Bytes that the program itself takes: libraries, a network, what is known of the scene."""
_ALLOWED = 1200 << 20
_ALLOWED_THREAD = 300 << 20
"""Bytes used where nothing else is asked for; in addition, for every thread beyond two."""
JUDGED = 1 << 29
"""Bytes of a scene by which its cut is chosen: a longer one is cut alike, and takes no more."""


@dataclass(frozen=True)
class Sizes:
    """How a run is cut."""

    plan: TilePlan
    longest: int
    """Tiles in a slab."""
    threads: int
    memory: int
    """Bytes that this takes, about."""


def parse_size(text: str) -> int:
    """Bytes from `800M`, `1.5GB` or `2GiB`; raises `UsageError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", text.strip().lower())
    if found is None:
        raise UsageError(f"no size '{text}'", hint="--max-memory 2G")
    number, unit, binary = found.groups()
    if float(number) == 0:
        raise UsageError("no memory cannot hold anything", hint="--max-memory 2G")
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit or " "))


def allowed(threads: int) -> int:
    """Bytes of memory that a run may use by default."""
    return _ALLOWED + _ALLOWED_THREAD * max(0, threads - 2)


def fit(
    spec: CubeSpec,
    outputs: Sequence[CubeSpec],
    operation: Operation,
    threads: int,
    budget: int,
    tile: Shape | None = None,
    shares: int = 1,
    number: int = 4,
) -> Sizes:
    """The quickest way to cut a scene that stays within `budget` bytes; `tile` fixes its shape.

    Where the scene has as many rows, each of the `shares` has a row of tiles. Each `number` that
    a network holds takes so many bytes. Raises `OutputError` where even the smallest tiles need
    more.
    """
    needs = Needs(_shortened(spec), outputs, operation, number)
    shapes = [tile] if tile else list(_shapes(spec, shares))
    choices = [needs.cut(shape, count, budget) for count in _fewer(threads) for shape in shapes]
    possible = [sizes for sizes in choices if sizes.memory <= budget]
    if possible:
        best = min(possible, key=needs.time)
        return replace(best, plan=plan(spec, operation, best.plan.tile))
    least = needs.bytes(min(shapes), 1)
    raise OutputError(
        f"not enough memory allowed: {human_size(budget)}; this needs {human_size(least)}",
        hint=f"--max-memory {-(-least // 10**6)}M, or fewer --bands",
    )


def _shortened(spec: CubeSpec) -> CubeSpec:
    """As many rows of a scene as its cut is chosen by."""
    row = spec.cols * spec.bands * spec.dtype.itemsize
    return replace(spec, rows=min(spec.rows, max(1, JUDGED // row)))


def _shapes(spec: CubeSpec, shares: int) -> Iterator[Shape]:
    """Those that leave a row of tiles for every share, or else the lowest."""
    heights = [side for side in _SIDES if -(-spec.rows // side) >= shares]
    # as many tiles, all of them about as wide, take the least memory
    widths = {-(-spec.cols // -(-spec.cols // side)) for side in _SIDES}
    return itertools.product(heights or [min(_SIDES)], sorted(widths))


def _fewer(threads: int) -> Iterator[int]:
    while threads:
        yield threads
        threads //= 2


class Needs:
    """Of an operation on a scene."""

    def __init__(
        self, spec: CubeSpec, outputs: Sequence[CubeSpec], operation: Operation, number: int = 4
    ) -> None:
        self._spec, self._operation, self._number = spec, operation, number
        self._halo = plan(spec, operation, (1, 1)).halo
        self._bands = sum(s.bands for s in outputs)
        self._stored = sum(s.bands * s.dtype.itemsize for s in outputs) * operation.scale**2

    def cut(self, shape: Shape, threads: int, budget: int) -> Sizes:
        """Into tiles of that shape, with the longest slabs that fit; of one tile if none do."""
        cut = plan(self._spec, self._operation, shape)
        counts = range(1, cut.across + 1)
        fitting = bisect_right(counts, budget, key=lambda tiles: self.bytes(shape, threads, tiles))
        longest = max(fitting, 1)
        return Sizes(cut, longest, threads, self.bytes(shape, threads, longest))

    def bytes(self, shape: Shape, threads: int, tiles: int = 1) -> int:
        """Of memory, about, with slabs of so many tiles."""
        spec, operation, around = self._spec, self._operation, 2 * self._halo
        height, width = min(shape[0], spec.rows), min(shape[1], spec.cols)
        halo = (height + around) * (width + around)
        # what is freed layer by layer leaves holes, a quarter of what is held
        # a tile as it is computed: without holes, turned, and where it had holes
        tile = (5 * self._number * operation.footprint // 4 + 10 * spec.bands) * halo
        rows = min(CHUNK, height)
        # and two more of what is rendered: as it is handed over, and on its way to the file
        rendered = operation.workspace(spec.bands, rows, width)
        tile += 4 * (rendered + 2 * self._bands * operation.scale**2 * rows * width)
        span = min(tiles * shape[1], spec.cols)
        slab = self._stored * height * span + 4 * spec.bands * (height + around) * (span + around)
        used = threads * tile + AHEAD * slab
        # memory that is freed leaves holes, which what comes next does not fill
        return _PROGRAM + used + used // 6

    def time(self, sizes: Sizes) -> float:
        """Of processors that are all busy but for the end, in microseconds, about."""
        cut = sizes.plan
        more = (cut.down - 1) * cut.halo, (cut.across - 1) * cut.halo
        whole = self._work(cut.rows, cut.cols, *more)
        whole += PIECE * self._pieces(sizes)
        height, width = min(cut.tile[0], cut.rows), min(cut.tile[1], cut.cols)
        largest = self._work(height, width, cut.halo, cut.halo)
        # whoever takes the last tile is waited for
        return whole / sizes.threads + largest * (1 - 1 / sizes.threads)

    def _work(self, rows: int, cols: int, more_rows: int, more_cols: int) -> float:
        """For a part of the scene that is computed with half of the halo that is read."""
        operation = self._operation
        read = (rows + 2 * more_rows) * (cols + 2 * more_cols)
        # the halo is dropped layer by layer: in the mean, a layer computes half of it
        seen = (rows + more_rows) * (cols + more_cols)
        return (
            # what is read has its holes filled and is turned
            LAYER * 2 * self._spec.bands * read
            + LAYER * (operation.reach or 0) * operation.footprint * seen
            + PIXEL * operation.scale**2 * rows * cols
        )

    def _pieces(self, sizes: Sizes) -> int:
        """In which files are read and written; none worth counting where slabs are full rows."""
        cut, scale = sizes.plan, self._operation.scale
        slabs = -(-cut.across // sizes.longest)
        if slabs == 1:
            return 0
        read = cut.rows + 2 * cut.halo * cut.down
        return slabs * (self._spec.bands * read + self._bands * scale * cut.rows)
