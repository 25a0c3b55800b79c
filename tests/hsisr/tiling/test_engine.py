"""Whatever the workers, slabs and tiles, and wherever memory runs out, the result is the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import ALL, ArrayCube, Block
from hsisr.errors import InputError, OutputError
from hsisr.runtime import Runtime
from hsisr.scene.survey import Survey, survey
from hsisr.tiling.engine import Engine, Step, Worker, handed_over
from hsisr.tiling.ensemble import Ensemble
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import freeze, plan, run
from hsisr.window import Shape, Slab, Window
from hsisr_models.rendering import Area, Renderer, cut
from tests.hsisr.tiles import PEAK, Pointwise, cube_of, operations, whole, with_holes

Scene = Callable[..., NDArray[np.float32]]
SIZE = (61, 47)
IMPOSSIBLE = 2**60
EVERYTHING = 10**6


class Taken:
    """What workers hand over, in any order."""

    def __init__(self) -> None:
        self.windows: list[tuple[Window, Block | None]] = []

    def __call__(self, slab: Slab, window: Window, block: Block | None) -> None:
        assert slab.write.contains(window)
        self.windows.append((window, None if block is None else block.copy()))

    def together(self, cube: ArrayCube, scale: int, bands: int) -> Block:
        """As one array; no data is NaN, and every pixel has to have come exactly once."""
        return whole(self._filled(bands), cube, scale)

    def _filled(self, bands: int) -> Iterator[tuple[Window, Block]]:
        for window, block in self.windows:
            empty = np.full((bands, window.height, window.width), np.nan, np.float32)
            yield window, empty if block is None else block


def engine_for(
    cube: ArrayCube, operation: Operation, runtime: Runtime, tile: Shape, workers: int = 1
) -> Engine:
    crew = [Worker(operation, runtime)] * workers
    return Engine(cube, seen_in(cube), plan(cube.spec, operation, tile), crew)


def seen_in(cube: ArrayCube) -> Survey:
    return survey(cube)


def ran(
    engine: Engine, cube: ArrayCube, operation: Operation, tile: Shape, longest: int = 1
) -> tuple[Taken, list[Step]]:
    taken = Taken()
    slabs = plan(cube.spec, operation, tile).slabs(longest, lambda _: True)
    return taken, list(engine.run(taken, slabs))


def one_by_one(cube: ArrayCube, operation: Operation, runtime: Runtime, tile: int) -> Block:
    windows = run(cube, operation, seen_in(cube), tile=tile, runtime=runtime)
    return whole(windows, cube, operation.scale)


def local(name: str, block: NDArray[np.float32], runtime: Runtime) -> Operation:
    """An operation that sees its neighbours as far as networks do, or not at all."""
    if name == "pointwise":
        return Pointwise()
    sharpen, unmix = operations("tiny", bands=len(block), scale=2, width=8, depth=1)
    freeze(sharpen.resolver, survey(cube_of(block)), PEAK, runtime)  # type: ignore[arg-type]
    return {"sharpen": sharpen, "unmix": unmix, "ensemble": Ensemble(sharpen, spread=True)}[name]


@pytest.mark.parametrize("name", ["pointwise", "sharpen", "unmix", "ensemble"])
@pytest.mark.parametrize(
    ("workers", "longest", "tile"), [(1, 1, (20, 20)), (3, 2, (13, 30)), (2, 99, (32, 8))]
)
def test_workers_slabs_and_tiles_do_not_change_the_result(
    scene: Scene, cpu: Runtime, name: str, workers: int, longest: int, tile: Shape
) -> None:
    block = with_holes(scene(4, *SIZE))
    cube, operation = cube_of(block), local(name, block, cpu)
    expected = one_by_one(cube, operation, cpu, EVERYTHING)
    engine = engine_for(cube, operation, cpu, tile, workers)
    taken, steps = ran(engine, cube, operation, tile, longest)
    found = taken.together(cube, operation.scale, len(expected))
    np.testing.assert_array_equal(found, expected)
    assert (engine.side, engine.recomputed) == (max(tile), 0)
    area = SIZE[0] * SIZE[1] * operation.scale**2
    assert sum(step.pixels for step in steps) == area
    slabs = [step.slab.write for step in steps if step.slab]
    assert sum(slab.height * slab.width for slab in slabs) == area


@pytest.mark.parametrize("workers", [1, 3])
def test_a_slab_is_complete_when_all_of_it_was_handed_over(
    scene: Scene, cpu: Runtime, workers: int
) -> None:
    cube = cube_of(scene(2, *SIZE))
    operation, taken = Pointwise(), Taken()
    slabs = plan(cube.spec, operation, (8, 8)).slabs(3, lambda _: True)
    for step in engine_for(cube, operation, cpu, (8, 8), workers).run(taken, slabs):
        if step.slab is not None:
            inside = [w for w, _ in list(taken.windows) if step.slab.write.contains(w)]
            area = step.slab.write.height * step.slab.write.width
            assert sum(w.height * w.width for w in inside) == area


def test_only_what_was_asked_for_is_computed(scene: Scene, cpu: Runtime) -> None:
    cube, operation, taken = cube_of(scene(2, *SIZE)), Pointwise(), Taken()
    cutting = plan(cube.spec, operation, (16, 16))
    wanted = {0, 2, 5, 6, 11}
    list(
        engine_for(cube, operation, cpu, (16, 16), 2).run(
            taken, cutting.slabs(9, wanted.__contains__)
        )
    )
    tiles = [tile.write for number, tile in enumerate(cutting) if number in wanted]
    assert {window for window, _ in taken.windows} == set(tiles)


def test_windows_without_data_come_as_none_and_only_they(scene: Scene, cpu: Runtime) -> None:
    block = with_holes(scene(3, 48, 48))
    block[:, :16, 16:] = np.nan  # two tiles of 16
    block[1:, 32:, :16] = np.nan  # a tile that has data in one band
    cube, operation = cube_of(block), Pointwise()
    taken, _ = ran(engine_for(cube, operation, cpu, (16, 16), 2), cube, operation, (16, 16), 3)
    empty = {(w.row, w.col) for w, handed in taken.windows if handed is None}
    assert empty == {(0, 48), (0, 96)}
    np.testing.assert_array_equal(taken.together(cube, 3, 3), 2 * block.repeat(3, 1).repeat(3, 2))


def no_memory_in_torch() -> None:
    torch.empty(IMPOSSIBLE)


def no_memory_in_numpy() -> None:
    np.empty(IMPOSSIBLE, np.uint8)


@dataclass
class Greedy:
    """Another operation, for which memory does not suffice when `wants` says so.

    It is told the how-manieth rendering it is, and the size of the scene that was prepared.
    """

    inner: Operation
    wants: Callable[[int, tuple[int, ...]], bool]
    fail: Callable[[], None] = no_memory_in_torch
    calls: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        render = self.inner.prepare(scene, kept=kept)

        def rendered(rows: slice, cols: slice) -> Tensor:
            with self.lock:
                self.calls += 1
                wants = self.wants(self.calls, tuple(scene.shape[2:]))
            if wants:
                self.fail()
            return render(rows, cols)

        return rendered


def under_pressure(
    cube: ArrayCube, operation: Greedy, runtime: Runtime, tile: Shape, workers: int = 1
) -> tuple[Block, Engine]:
    bands = len(one_by_one(cube, operation.inner, runtime, EVERYTHING))
    engine = engine_for(cube, operation, runtime, tile, workers)  # type: ignore[arg-type]
    taken, steps = ran(engine, cube, operation.inner, tile, 2)
    assert sum(step.pixels for step in steps) == SIZE[0] * SIZE[1] * operation.inner.scale**2
    return taken.together(cube, operation.inner.scale, bands), engine


@pytest.mark.parametrize("fail", [no_memory_in_torch, no_memory_in_numpy])
@pytest.mark.parametrize("name", ["pointwise", "sharpen"])
def test_memory_that_runs_out_anywhere_changes_nothing(
    scene: Scene, cpu: Runtime, name: str, fail: Callable[[], None]
) -> None:
    block = with_holes(scene(4, *SIZE))
    cube, inner = cube_of(block), local(name, block, cpu)
    expected = one_by_one(cube, inner, cpu, EVERYTHING)
    undisturbed = Greedy(inner, lambda call, size: False)
    under_pressure(cube, undisturbed, cpu, (40, 40))
    assert undisturbed.calls > 6  # parts of four tiles: memory runs out within a tile, too
    for at in range(1, undisturbed.calls + 1):
        once = Greedy(inner, lambda call, size, at=at: call == at, fail)  # type: ignore[misc]
        found, engine = under_pressure(cube, once, cpu, (40, 40))
        np.testing.assert_array_equal(found, expected)
        assert engine.side in (20, 10), at


@pytest.mark.parametrize("at", [1, 2, 5])
def test_memory_that_runs_out_twice_in_a_row_changes_nothing(
    scene: Scene, cpu: Runtime, at: int
) -> None:
    block = with_holes(scene(4, *SIZE))
    cube, inner = cube_of(block), local("sharpen", block, cpu)
    found, engine = under_pressure(
        cube, Greedy(inner, lambda call, size: call in (at, at + 1)), cpu, (40, 40)
    )
    np.testing.assert_array_equal(found, one_by_one(cube, inner, cpu, EVERYTHING))
    assert engine.side in (10, 8)  # of a tile of 40 pixels, or of 21 at the border


@pytest.mark.parametrize("workers", [1, 3])
def test_the_largest_tile_that_fits_is_found(scene: Scene, cpu: Runtime, workers: int) -> None:
    block = scene(2, *SIZE)
    cube, inner = cube_of(block), Pointwise()
    halo = plan(cube.spec, inner, (1, 1)).halo
    # what is prepared for 30 pixels is too much, and for 15 it is not
    greedy = Greedy(inner, lambda call, size: max(size) > 15 + 2 * halo)
    found, engine = under_pressure(cube, greedy, cpu, (60, 60), workers)
    np.testing.assert_array_equal(found, 2 * block.repeat(3, 1).repeat(3, 2))
    # a tile at the border, 23 of whose columns were too much at the same time, may go first
    assert engine.side in ((15,) if workers == 1 else (15, 11))


def test_tiles_are_not_cut_below_the_smallest(scene: Scene, cpu: Runtime) -> None:
    cube, greedy = cube_of(scene(2, *SIZE)), Greedy(Pointwise(), lambda call, size: True)
    with pytest.raises(OutputError, match=r"not enough memory for 7 x 5 pixels: .*allo") as told:
        under_pressure(cube, greedy, cpu, (60, 60))
    assert told.value.exit_code == 5
    assert "--threads" in str(told.value.hint)
    assert greedy.calls >= 4  # 60 x 47, 30 x 23, 15 x 11, 7 x 5


def test_other_errors_are_not_tried_again(scene: Scene, cpu: Runtime) -> None:
    def broken() -> None:
        torch.zeros(2, 3) @ torch.zeros(2, 3)

    once = Greedy(Pointwise(), lambda call, size: call == 2, broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        under_pressure(cube_of(scene(2, *SIZE)), once, cpu, (16, 16))
    assert not crew()


def crew() -> list[str]:
    """The threads of engines that are left."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("worker", "reader"))]


def test_left_early_no_thread_is_left(scene: Scene, cpu: Runtime) -> None:
    cube, operation, taken = cube_of(scene(2, *SIZE)), Pointwise(), Taken()
    running = engine_for(cube, operation, cpu, (4, 4), 3).run(
        taken, plan(cube.spec, operation, (4, 4)).slabs(2, lambda _: True)
    )
    next(running)
    assert crew()
    running.close()
    assert not crew()
    done = len(taken.windows)
    assert 0 < done < len(plan(cube.spec, operation, (4, 4)))


def test_the_caller_is_asked_whether_to_go_on_while_a_tile_takes_long(
    scene: Scene, cpu: Runtime
) -> None:
    cube, asked = cube_of(scene(2, 9, 9)), threading.Event()

    def until_asked() -> None:
        asked.wait(10)

    slow = Greedy(Pointwise(), lambda call, size: not asked.is_set(), until_asked)
    tile = plan(cube.spec, slow.inner, (9, 9))
    engine = engine_for(cube, slow, cpu, (9, 9))  # type: ignore[arg-type]
    for step in engine.run(Taken(), tile.slabs(1, lambda _: True)):
        if not step.pixels:
            asked.set()
    assert asked.is_set()


class Damaged(ArrayCube):
    """A scene whose lower part cannot be read."""

    def read(self, window: Window, bands: slice = ALL) -> Block:
        if window.row_stop > 40:
            raise InputError("cannot be read", where="scene")
        return super().read(window, bands)


def test_an_error_of_the_reader_comes_out(scene: Scene, cpu: Runtime) -> None:
    block, operation, taken = scene(2, *SIZE), Pointwise(), Taken()
    cutting = plan(cube_of(block).spec, operation, (8, 8))
    crew_of_two = [Worker(operation, cpu)] * 2
    engine = Engine(Damaged(block, Path("scene")), survey(cube_of(block)), cutting, crew_of_two)
    with pytest.raises(InputError, match="cannot be read"):
        list(engine.run(taken, cutting.slabs(3, lambda _: True)))
    assert not crew()
    assert taken.windows


@dataclass(frozen=True)
class Convolved:
    """What a convolution that changes nothing gives in the precision of the runtime."""

    scale: int = 1
    reach: int | None = 0
    footprint: int = 0

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        bands = scene.shape[1]
        return cut(torch.conv2d(scene, torch.eye(bands)[..., None, None]), 1)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())


@pytest.mark.parametrize("workers", [1, 2])
def test_what_bfloat16_cannot_hold_is_computed_again_and_counted(
    scene: Scene, cpu: Runtime, workers: int
) -> None:
    block = scene(2, 32, 48)
    seen = survey(cube_of(block))
    # float32 ends at 3.4028e38, bfloat16 at 3.3895e38
    block[1, 3, 5] = block[0, 20, 20] = block[0, 21, 29] = 3.4e38
    cube, operation, taken = cube_of(block), Convolved(), Taken()
    runtime = Runtime(torch.device("cpu"), torch.bfloat16)
    cutting = plan(cube.spec, operation, (16, 16))
    engine = Engine(cube, seen, cutting, [Worker(operation, runtime)] * workers)
    list(engine.run(taken, cutting.slabs(2, lambda _: True)))
    found = taken.together(cube, 1, 2)
    assert engine.recomputed == 2  # tiles of 16 rows: two of the three pixels share one
    for tile, exact in ((Window(0, 0, 16, 16), True), (Window(0, 16, 16, 16), False)):
        same = found[:, *tile.slices] == block[:, *tile.slices]
        assert same.all() == exact
    np.testing.assert_allclose(found, block, rtol=2**-8)


def test_windows_that_are_ready_are_slabs_of_their_own(scene: Scene) -> None:
    block = scene(2, 20, 30)
    cube, taken = cube_of(block), Taken()
    rows: Iterable[Window] = [Window(0, 0, 7, 30), Window(7, 0, 13, 30)]
    steps = list(handed_over(((w, block[:, *w.slices]) for w in rows), taken))
    assert [step.slab and step.slab.write for step in steps] == rows
    assert [step.pixels for step in steps] == [210, 390]
    np.testing.assert_array_equal(taken.together(cube, 1, 2), block)
