"""What `hsisr upscale` does: names, tiles, checks, and the record of it all."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import consistency, self_check, tell_subspace, warn_of_blank
from hsisr.cli._tiles import journal_of, produce, sized, surveyed, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from hsisr.assembly import Production, Target
    from hsisr.cli._adapting import Adaptation
    from hsisr.cli._tiles import Means
    from hsisr.cube import Cube
    from hsisr.engine import Step, Take
    from hsisr.journal import Journal, Unkept
    from hsisr.model import SrModel
    from hsisr.operations import Operation
    from hsisr.runtime import Runtime
    from hsisr.survey import Survey
    from hsisr.window import Slab

_TILE, _OVERLAP = 64, 16
"""Of tiles that are blended, in input pixels."""


@dataclass(frozen=True)
class Results:
    """The names of everything that is written."""

    path: Path
    format: str
    uncertainty: Path | None = None

    @classmethod
    def named(
        cls, cube: Cube, output: Path | None, format_name: str | None, scale: int, spread: bool
    ) -> Results:
        """By the scene and what the user said; `spread` asks for the map of the uncertainty."""
        from hsisr import export

        written = export.format_of(cube, format_name, output)
        if output is not None and not output.is_dir():
            path = export.outputs_of(output, written)[0]
        else:
            like = cube.files[0] if written == cube.format else None
            path = export.tagged(export.stem_of(cube, output), f"x{scale}", written, like)
        beside = export.tagged(export.beside(path, ""), "uncertainty", written, path)
        return cls(path, written, beside if spread else None)

    @property
    def record(self) -> Path:
        """What was made from what."""
        from hsisr.export import beside

        return beside(self.path, ".run.json")

    @property
    def picture(self) -> Path:
        """The quicklook."""
        from hsisr.export import beside

        return beside(self.path, ".png")

    @property
    def journal(self) -> Path:
        """The folder for what is done of an unfinished run."""
        from hsisr.export import beside

        return beside(self.path, ".journal")

    def files(self, quicklook: bool) -> list[Path]:
        """All of them, the largest first."""
        from hsisr.export import outputs_of

        maps = outputs_of(self.uncertainty, self.format) if self.uncertainty else ()
        extras = [self.record, self.picture] if quicklook else [self.record]
        return [*outputs_of(self.path, self.format), *maps, *extras]


@dataclass(frozen=True)
class Job:
    """A scene to be upscaled, and everything that was chosen for it."""

    cube: Cube
    model: SrModel
    means: Means
    results: Results
    operator: str
    """The degradation that is assumed."""
    adaptation: Adaptation | None
    dynamic: bool
    ensemble: bool
    enforce: bool
    self_check: bool

    @property
    def target(self) -> Target:
        """What is written: the sharper scene and, if asked for, its uncertainty."""
        from hsisr.assembly import Target

        spec = self.cube.spec.upscaled(self.model.scale)
        cubes = [(self.results.path, spec)]
        if self.results.uncertainty is not None:
            told = "standard deviation over 8 flips and rotations, root mean square over the bands"
            spread = spec.with_bands(["uncertainty"], description=told)
            cubes.append((self.results.uncertainty, spread))
        return Target(cubes, self.results.format)

    def operations(self, seen: Survey) -> list[Operation]:
        """The model for the surveyed scene, with all that was asked for around it, per device."""
        machines = self.means.machines
        models = [self.model, *(self.model.copied() for _ in machines[1:])]
        return [
            self._operation(model, machine, seen)
            for model, machine in zip(models, machines, strict=True)
        ]

    def _operation(self, model: SrModel, machine: Runtime, seen: Survey) -> Operation:
        from hsisr.ensemble import Ensemble
        from hsisr.operations import Consistent

        operation: Operation = model.operation(seen, machine, dynamic=self.dynamic)
        if self.enforce:
            operation = Consistent(operation, self.operator)
        if self.ensemble:
            # the mean of consistent scenes is consistent, and its spread is that of the results
            operation = Ensemble(operation, spread=self.results.uncertainty is not None)
        return operation

    @property
    def begun(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        from hsisr.provenance import begun

        model = self.model
        options = {
            "model": model.name,
            "scale": model.scale,
            "tile": self.means.tile,
            "degradation": self.operator,
            "enforced": self.enforce,
            "dynamic": self.dynamic,
            "adapted": self.adaptation is not None,
            "tta": self.ensemble,
            "outputs": [path.name for path, _ in self.target.cubes],
        }
        return begun("upscale", self.cube, self.means.machine, model.checkpoint, options)

    def journal(self) -> Journal | Unkept:
        """Where this run notes what is done."""
        keeps = self.adaptation is None and not self.dynamic
        return journal_of(self.results.journal, self.begun, self.means, keeps=keeps)


def upscale(job: Job) -> dict[str, Any] | None:
    """Survey the scene, check the model on it, run the tiles, write the result.

    Tells what the check found; returns the record of the run, None where other shares are still
    at work.
    """
    from hsisr.provenance import describe
    from hsisr.runtime import explained
    from hsisr.survey import survey

    started = time.monotonic()
    with (
        explained("allow more, or use less: --max-memory, --tile, --threads"),
        shared.stoppable(_how_to_go_on(job)) as stopper,
        job.journal() as journal,
    ):
        job, adaptation = _adapted(job, stopper)
        seen = surveyed(journal, lambda: survey(job.cube, job.model.tokens))
        warn_of_blank(seen, job.cube.spec)
        tell_subspace(seen.subspace)
        operations = job.operations(seen)
        expected = self_check(job, operations[0], seen, stopper)
        production, outcome = _run(job, operations, seen, journal, stopper)
    if not production.published:
        return None
    outcome = {
        "output": job.results.path.name,
        "uncertainty": job.results.uncertainty and job.results.uncertainty.name,
        "scale": job.model.scale,
        "seconds": round(time.monotonic() - started, 2),
        "reach": operations[0].reach,
        "tta": job.ensemble,
        "degradation": job.operator,
        "model_name": job.model.name,
        "adaptation": adaptation,
        "variance_covered": seen.subspace and seen.subspace.covered,
        "self_check": expected and asdict(expected),
        "clipped_samples": production.clipped,
        **outcome,
    }
    return describe(job.begun, outcome)


def checked(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run with how consistent the result is, as it was written; tells that."""
    return {**record, "consistency": {"enforced": job.enforce, **asdict(consistency(job))}}


def tell_plan(job: Job) -> None:
    """Tell what is made, by what."""
    from hsisr.export import size_in_words

    shared.say(f"device     {job.means.machine.description}")
    shared.say(f"model      {job.model.choice}")
    for path, spec in job.target.cubes:
        shared.say(f"output     {path}  {size_in_words(spec)}")


def preview(job: Job) -> None:
    """Tell what the run would take, by a small part of it."""
    from hsisr.survey import survey

    tell_plan(job)
    seen = survey(job.cube, job.model.tokens, hasty=True)
    warn_of_blank(seen, job.cube.spec)
    operations = job.operations(seen)
    if operations[0].reach is not None:
        job.means.forecast(job.target, job.cube, seen, operations, statistics=job.model.tokens > 0)
    shared.say("nothing written (--dry-run)")


def _how_to_go_on(job: Job) -> str:
    if job.adaptation is None and not job.dynamic:
        return f"what is done is kept; go on with: {shared.again()}"
    return f"nothing was written; again: {shared.again()}"


def _adapted(job: Job, stopper: shared.Stopper) -> tuple[Job, dict[str, Any] | None]:
    """The job with its model adapted to the scene, where that was asked for and is better."""
    from hsisr.cli._adapting import adapted

    if job.adaptation is None:
        return job, None
    model, record = adapted(job.model, job.cube, job.adaptation, job.means.machine, stopper)
    return replace(job, model=model), record


def _run(
    job: Job,
    operations: list[Operation],
    seen: Survey,
    journal: Journal | Unkept,
    stopper: shared.Stopper,
) -> tuple[Production, dict[str, Any]]:
    """Write what the tiles give; also returns how that went, for the record."""
    from hsisr.engine import Engine

    if job.dynamic:
        return _run_blended(job, operations[0], seen, journal, stopper)
    means = job.means
    sizes = sized(journal, means, job.target, job.cube, operations[0])
    workers = means.workers(operations, sizes.threads)
    engine = Engine(job.cube, seen, sizes.plan, workers)
    production = produce(job.target, sizes, engine.run, journal, stopper, "upscaling")
    tell(engine, sizes)
    return production, {
        "tile": sizes.plan.tile,
        "smallest_tile": engine.side,
        "recomputed_in_float32": engine.recomputed,
        "seam": None,
    }


def _run_blended(
    job: Job,
    operation: Operation,
    seen: Survey,
    journal: Journal | Unkept,
    stopper: shared.Stopper,
) -> tuple[Production, dict[str, Any]]:
    from hsisr.engine import handed_over
    from hsisr.run import Seam, run_blended
    from hsisr.sizing import Sizes
    from hsisr.window import TilePlan

    seam, tile, spec = Seam(), job.means.tile or _TILE, job.cube.spec

    def steps(take: Take, slabs: Iterable[Slab]) -> Generator[Step]:
        del slabs  # strips that overlap are no slabs of the plan
        strips = run_blended(
            *(job.cube, operation, seen, seam),
            tile=tile,
            overlap=min(_OVERLAP, tile // 2),
            runtime=job.means.machine,
        )
        yield from handed_over(strips, take)

    sizes = Sizes(TilePlan(spec.rows, spec.cols, (tile, tile), 0, operation.scale), 1, 1, 0)
    production = produce(job.target, sizes, steps, journal, stopper, "upscaling")
    return production, {"tile": tile, "seam": {"worst": seam.worst, "rms": seam.rms}}
