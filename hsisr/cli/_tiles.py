"""What `upscale` and `unmix` share: how a run is cut, journaled, computed and shown."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli import _torchrun
from hsisr.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hsisr.cube import Cube
    from hsisr.runtime import Runtime
    from hsisr.scene.survey import Survey
    from hsisr.tiling.assembly import Steps, Target
    from hsisr.tiling.engine import Engine, Worker
    from hsisr.tiling.journal import Journal, Share, Unkept
    from hsisr.tiling.operations import Operation
    from hsisr.tiling.sizing import Sizes
    from hsisr.window import Shape


@dataclass(frozen=True)
class Means:
    """The resources of a run; the result depends on none of them but the precision."""

    machines: Sequence[Runtime]
    """One for each device."""
    settled: bool
    """Whether the precision was asked for, not picked by the machine."""
    threads: int
    memory: int | None
    """Bytes that may be used; None for the default."""
    tile: int | None
    """The side of a square tile; None for the quickest shape that fits."""
    share: Share
    overwrite: bool

    @classmethod
    def chosen(
        cls,
        *,
        device: str,
        precision: str,
        threads: int | None,
        memory: str | None,
        tile: int | None,
        shard: str | None,
        overwrite: bool,
    ) -> Means:
        """From the options as a user writes them; raises `UsageError`."""
        from hsisr import runtime
        from hsisr.tiling.journal import Share
        from hsisr.tiling.sizing import parse_size

        device, threads = _torchrun.placed(device, threads)
        shard = shard or _torchrun.share()
        return cls(
            machines=runtime.choose_all(device, precision),
            settled=precision != runtime.PRECISIONS[0],
            threads=runtime.limit_threads(threads),
            memory=None if memory is None else parse_size(memory),
            tile=tile,
            share=Share() if shard is None else Share.parse(shard),
            overwrite=overwrite,
        )

    def done_before(
        self,
        target: Target,
        record: Path,
        journal: Path,
        begun: dict[str, Any],
        *,
        dry_run: bool,
    ) -> dict[str, Any] | None:
        """The record of an output that exists and was made in the very same way, else None.

        So a command for many scenes, or a share of a run, can be repeated until all of it is done.
        Also tidies up after a run that was killed when it had finished, but not in a `dry_run`.
        """
        from hsisr.files import reserved, settle
        from hsisr.results.export import outputs_of
        from hsisr.results.provenance import done_before
        from hsisr.tiling.journal import clear

        cubes = [outputs_of(path, target.format) for path, _ in target.cubes]
        for *_, defining in cubes if not dry_run else ():
            settle(defining)
        files = [file for cube in cubes for file in cube]
        if self.overwrite or not all(file.exists() for file in files):
            return None
        found = done_before(record, begun)
        if found is not None:
            shared.note(f"{files[0]} was made in this very way before; --overwrite repeats it")
            if not dry_run and not reserved(files):
                clear(journal, begun)
        return found

    def require_writable(
        self,
        files: Sequence[Path],
        inputs: Sequence[Path],
        target: Target,
        journal: Path,
        begun: dict[str, Any],
    ) -> None:
        """Raise `OutputError` or `UsageError` before any work if `files` cannot be written.

        Existing ones may be replaced if the user said so, or if a kill of this very run left them;
        `inputs` never may.
        """
        from hsisr.results.export import require_writable, room_of
        from hsisr.tiling.journal import is_of

        needed = room_of(target.cubes, target.format)
        replace = self.overwrite or is_of(journal, begun)
        require_writable(files, inputs, needed, overwrite=replace)

    @property
    def machine(self) -> Runtime:
        """The device for work that is not divided into tiles."""
        return self.machines[0]

    @property
    def exact(self) -> Means:
        """The same in full precision, for what gains nothing from less."""
        return replace(self, machines=[machine.exact for machine in self.machines])

    def sizes(
        self, target: Target, cube: Cube, operation: Operation, tile: Shape | None = None
    ) -> Sizes:
        """How a scene is cut into tiles, of the shape `tile` if an earlier run began with it.

        Raises `OutputError` if memory does not allow it.
        """
        from hsisr.tiling.sizing import allowed, fit

        specs = [spec for _, spec in target.cubes]
        budget = self.memory or allowed(self.threads)
        if tile is None and self.tile is not None:
            tile = self.tile, self.tile
        number = max(machine.dtype.itemsize for machine in self.machines)
        return fit(
            cube.spec, specs, operation, self.threads, budget, tile, self.share.count, number
        )

    def forecast(
        self,
        target: Target,
        cube: Cube,
        seen: Survey,
        operations: Sequence[Operation],
        *,
        statistics: bool,
    ) -> None:
        """Report what a run would need: tiles, memory, disk and time.

        `statistics` says whether the whole scene is read beforehand.
        """
        from hsisr.files import free_room, human_size
        from hsisr.results.export import room_of
        from hsisr.tiling.forecast import run_seconds, statistics_seconds

        sizes = self.sizes(target, cube, operations[0])
        seconds = run_seconds(cube, seen, sizes, self.workers(operations, sizes.threads))
        seconds += statistics_seconds(cube) if statistics else 0
        needed, plan = room_of(target.cubes, target.format), sizes.plan
        height, width = plan.tile
        tiles = f"{len(plan):,} of {height} x {width} pixels"
        shared.say(f"tiles      {tiles}, {sizes.threads} at a time")
        shared.say(f"memory     about {human_size(sizes.memory)}")
        path = target.cubes[0][0]
        free = f", {human_size(free_room(path))} free" if path.parent.is_dir() else ""
        shared.say(f"disk       {human_size(needed)} needed{free}")
        shared.say(f"time       about {shared.duration(seconds)}")

    def workers(self, operations: Sequence[Operation], count: int) -> list[Worker]:
        """The workers that share the tiles: `count` threads on a processor, two for each GPU."""
        from hsisr.tiling.engine import Worker

        return [
            Worker(operation, machine)
            for operation, machine in zip(operations, self.machines, strict=True)
            for _ in range(count if machine.device.type == "cpu" else 2)
        ]


def journal_of(
    folder: Path, begun: dict[str, Any], means: Means, *, keeps: bool
) -> Journal | Unkept:
    """The journal of a run, or a stand-in where it keeps none; raises as `Journal`."""
    from hsisr.errors import UsageError
    from hsisr.tiling.journal import Journal, Unkept

    if keeps:
        return Journal(folder, begun, means.share, overwrite=means.overwrite)
    if means.share.count > 1:
        raise UsageError(
            "--shard goes neither with --adapt nor with --attention dynamic",
            hint="adapt once, with --keep FILE, and share the work of --model FILE",
        )
    return Unkept()


def surveyed(journal: Journal | Unkept, make: Callable[[], Survey]) -> Survey:
    """The survey of the scene, made once and then the same for every share and resumption."""
    from hsisr.scene.survey import Survey

    return Survey.of(journal.once("survey", lambda: make().tensors()))


def faithful(means: Means, operation: Operation, seen: Survey, journal: Journal | Unkept) -> Means:
    """The resources in float32, where bfloat16 was not asked for and would show on this scene.

    That is judged by `operation`, which sharpens; all shares, and a run that is resumed, do alike.
    """
    import torch

    from hsisr.tiling.check import Agreement, rounding

    if means.settled or not means.machine.is_reduced:
        return means

    def found() -> dict[str, torch.Tensor]:
        numbers = astuple(rounding(operation, seen, means.machine))
        return {"agreement": torch.tensor(numbers, dtype=torch.float64)}

    agreement = Agreement(*journal.once("rounding", found)["agreement"].tolist())
    if agreement.faithful:
        return means
    shared.note(
        f"in bfloat16 {agreement.psnr:.1f} dB and {agreement.sam:.3f}° from float32, which is "
        "therefore used; --precision bf16 is faster"
    )
    return means.exact


def sized(
    journal: Journal | Unkept, means: Means, target: Target, cube: Cube, operation: Operation
) -> Sizes:
    """How the run is cut into tiles; a run that is resumed keeps its shape of tiles."""
    import torch

    def chosen() -> dict[str, torch.Tensor]:
        return {"tile": torch.tensor(means.sizes(target, cube, operation).plan.tile)}

    height, width = journal.once("plan", chosen)["tile"].tolist()
    return means.sizes(target, cube, operation, (height, width))


def produce(
    target: Target,
    sizes: Sizes,
    steps: Steps,
    journal: Journal | Unkept,
    stopper: shared.Stopper,
    label: str,
    complete: Callable[[int], None],
) -> bool:
    """Compute and write the tiles with progress; returns whether the output is complete."""
    from hsisr.tiling.assembly import Production

    production = Production(target, sizes.plan, journal, complete)
    spec = target.cubes[0][1]
    with closing(production.run(steps, sizes.longest)) as pixels:
        total, already = spec.rows * spec.cols, next(pixels)
        running = stopper.heeded(pixels)
        for _ in shared.progress(running, total, label, lambda done: done, already):
            pass
    if production.published:
        _tell_lost(target)
    else:
        shared.say(f"share {journal.share} is done; the last one finishes {target.cubes[0][0]}")
    return production.published


def _tell_lost(target: Target) -> None:
    """Note which metadata of the scene the written format cannot hold."""
    from hsisr.formats import open_cube

    path, spec = target.cubes[0]
    with open_cube(path) as cube:
        found = cube.spec
    # a hole in floating-point numbers is a hole without being declared
    declared = spec.nodata is not None and not math.isnan(spec.nodata)
    lost = {
        "its place on the map": spec.geo and not found.geo,
        "its reference system": spec.geo and spec.geo.crs and found.geo and not found.geo.crs,
        "its wavelengths": spec.spectrum and not found.spectrum,
        "the factors of its numbers": spec.gain and not found.gain,
        "which number means no data": declared and found.nodata is None,
    }
    names = [name for name, gone in lost.items() if gone]
    if names:
        shared.note(f"{path} does not tell {' or '.join(names)}; {target.format} cannot")


def tell(engine: Engine, sizes: Sizes) -> None:
    """Note tiles that had to be cut down, or computed in another precision."""
    if engine.side < max(sizes.plan.tile):
        shared.note(f"short of memory: tiles were cut down to {engine.side} pixels")
    if engine.recomputed:
        shared.note(f"{counted(engine.recomputed, 'part')} beyond bfloat16, computed in float32")
