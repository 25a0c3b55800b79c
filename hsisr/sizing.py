"""How large tiles and slabs may be: halos make small ones dear, memory forbids large ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hsisr.cube import CubeSpec
from hsisr.engine import AHEAD
from hsisr.errors import OutputError, UsageError
from hsisr.files import human_size
from hsisr.operations import Operation
from hsisr.run import CHUNK, plan
from hsisr.window import TilePlan

_TILES = (512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 8)
_PROGRAM = 350 << 20
"""Bytes that the program itself takes: libraries, a network, what is known of the scene."""
_ALLOWED = 1200 << 20
_ALLOWED_THREAD = 300 << 20
"""Bytes used where nothing else is asked for; in addition, for every thread beyond two."""


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
    tile: int | None = None,
    shares: int = 1,
) -> Sizes:
    """The quickest way to cut a scene that stays within `budget` bytes; `tile` fixes its side.

    Where the scene has as many rows, each of the `shares` has a row of tiles. Raises `OutputError`
    where even the smallest tiles need more.
    """
    needs = _Needs(spec, outputs, operation)
    sides = [tile] if tile else [side for side in _TILES if -(-spec.rows // side) >= shares]
    sides = sides or [min(_TILES)]
    choices = [
        (side, count)
        for count in _fewer(threads)
        for side in sides
        if needs.bytes(side, count) <= budget
    ]
    if choices:
        return needs.sizes(*min(choices, key=lambda choice: needs.time(*choice)), budget)
    least = needs.bytes(min(sides), 1)
    raise OutputError(
        f"not enough memory allowed: {human_size(budget)}; this needs {human_size(least)}",
        hint=f"--max-memory {-(-least // 10**6)}M, or fewer --bands",
    )


def _fewer(threads: int) -> Iterator[int]:
    while threads:
        yield threads
        threads //= 2


class _Needs:
    """Of an operation on a scene."""

    def __init__(self, spec: CubeSpec, outputs: Sequence[CubeSpec], operation: Operation) -> None:
        self._spec, self._operation = spec, operation
        # slabs in work, and one that is being written
        self._stored = sum(s.bands * s.dtype.itemsize for s in outputs) * operation.scale**2
        self._rendered = 4 * sum(s.bands for s in outputs) * operation.scale**2

    def bytes(self, side: int, threads: int, tiles: int = 1) -> int:
        """Of memory, about, with slabs of so many tiles."""
        cut, spec = plan(self._spec, self._operation, side), self._spec
        height, width = min(side, spec.rows), min(side, spec.cols)
        halo = (height + 2 * cut.halo) * (width + 2 * cut.halo)
        read = 4 * spec.bands * halo
        tile = 4 * self._operation.footprint * halo + 2 * read
        tile += 3 * self._rendered * min(CHUNK, height) * width
        slab = tiles * (self._stored * height * width + read)
        return _PROGRAM + threads * tile + (AHEAD + 1) * slab

    def time(self, side: int, threads: int) -> float:
        """In arbitrary units: the low-resolution work with the halo, the other without."""
        cut, spec = plan(self._spec, self._operation, side), self._spec
        height, width = min(side, spec.rows), min(side, spec.cols)
        halo = (height + 2 * cut.halo) * (width + 2 * cut.halo)
        return -(-len(cut) // threads) * (halo + height * width)

    def sizes(self, side: int, threads: int, budget: int) -> Sizes:
        cut = plan(self._spec, self._operation, side)
        longest = max(
            tiles
            for tiles in range(1, cut.across + 1)
            if tiles == 1 or self.bytes(side, threads, tiles) <= budget
        )
        return Sizes(cut, longest, threads, self.bytes(side, threads, longest))
