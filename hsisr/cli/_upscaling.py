"""What `hsisr upscale` does: tiles, checks, and the record of it all."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import consistency, self_check, tell_subspace, warn_of_blank
from hsisr.cli._tiles import produce, sized, surveyed, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from hsisr.cli._upscale_job import Job
    from hsisr.scene.survey import Survey
    from hsisr.tiling.assembly import Production
    from hsisr.tiling.engine import Step, Take
    from hsisr.tiling.journal import Journal, Unkept
    from hsisr.tiling.operations import Operation
    from hsisr.window import Slab

_TILE, _OVERLAP = 64, 16
"""Of tiles that are blended, in input pixels."""


def upscale(job: Job) -> dict[str, Any] | None:
    """Survey the scene, check the model on it, run the tiles, write the result.

    Tells what the check found; returns the record of the run, None where other shares are still
    at work.
    """
    from hsisr.results.provenance import describe
    from hsisr.runtime import explained
    from hsisr.scene.survey import survey

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
    from hsisr.results.export import size_in_words

    shared.say(f"device     {job.means.machine.description}")
    shared.say(f"model      {job.model.choice}")
    for path, spec in job.target.cubes:
        shared.say(f"output     {path}  {size_in_words(spec)}")


def preview(job: Job) -> None:
    """Tell what the run would take, by a small part of it."""
    from hsisr.scene.survey import survey

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
    from hsisr.tiling.engine import Engine

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
    from hsisr.tiling.engine import handed_over
    from hsisr.tiling.run import Seam, run_blended
    from hsisr.tiling.sizing import Sizes
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
