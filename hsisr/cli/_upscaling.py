"""The run of `hsisr upscale` on one scene: survey, self-check, tiles, and the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import consistency, self_check, tell_subspace, warn_of_blank
from hsisr.cli._tiles import faithful, produce, sized, surveyed, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from hsisr.cli._upscale_job import Job
    from hsisr.scene.survey import Survey
    from hsisr.tiling.assembly import Steps
    from hsisr.tiling.engine import Step, Take
    from hsisr.tiling.journal import Journal, Unkept
    from hsisr.tiling.operations import Operation
    from hsisr.tiling.sizing import Sizes
    from hsisr.window import Slab

_TILE, _OVERLAP = 64, 16
"""Of tiles that are blended, in input pixels."""


@dataclass(frozen=True)
class _Way:
    """One way to cut and compute the scene: exact tiles, or blended ones."""

    sizes: Sizes
    steps: Steps
    outcome: Callable[[], dict[str, Any]]
    """The facts of the finished run, for its record."""
    tell: Callable[[], None] = lambda: None
    """Notes on the finished run, for the terminal."""


def upscale(job: Job) -> dict[str, Any] | None:
    """Survey the scene, check the model on it, run the tiles, write the result and its record.

    Tells what the check found; returns the record, None where other shares are still at work.
    """
    from hsisr.files import write_json
    from hsisr.results.provenance import describe
    from hsisr.runtime import explained
    from hsisr.scene.survey import survey

    started, record = time.monotonic(), dict[str, Any]()
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
        # in the precision that the command stands for, by which it is known again
        begun = job.begun
        job = replace(job, means=faithful(job.means, operations[0], seen, journal))
        expected = self_check(job, operations[0], seen, stopper)
        known = {
            **_chosen(job),
            "adaptation": adaptation,
            "precision": job.means.machine.precision_name,
            "reach": operations[0].reach,
            "variance_covered": seen.subspace and seen.subspace.covered,
            "self_check": expected and asdict(expected),
        }
        way = (_blended if job.dynamic else _tiled)(job, operations, seen, journal)

        def complete(clipped: int) -> None:
            seconds = round(time.monotonic() - started, 2)
            outcome = {**known, "seconds": seconds, "clipped_samples": clipped, **way.outcome()}
            record.update(describe(begun, outcome))
            write_json(job.results.record, shared.finite(record))

        made = produce(job.target, way.sizes, way.steps, journal, stopper, "upscaling", complete)
        way.tell()
    return record if made else None


def _chosen(job: Job) -> dict[str, Any]:
    """The options of the run, for the record."""
    spread = job.results.uncertainty
    return {
        "output": job.results.path.name,
        "uncertainty": spread and spread.name,
        "scale": job.model.scale,
        "tta": job.ensemble,
        "degradation": job.operator,
        "model_name": job.model.name,
    }


def checked(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run, extended by the consistency of its written result."""
    return {**record, "consistency": {"enforced": job.enforce, **asdict(consistency(job))}}


def tell_plan(job: Job) -> None:
    """Print device, model and outputs."""
    from hsisr.results.export import size_in_words

    shared.say(f"device     {job.means.machine.description}")
    shared.say(f"model      {job.model.choice}")
    for path, spec in job.target.cubes:
        shared.say(f"output     {path}  {size_in_words(spec)}")


def preview(job: Job) -> None:
    """Print what the run would need, measured on a small part of it."""
    from hsisr.scene.survey import survey
    from hsisr.tiling.journal import Unkept

    tell_plan(job)
    seen = survey(job.cube, job.model.tokens, hasty=True)
    warn_of_blank(seen, job.cube.spec)
    operations = job.operations(seen)
    if operations[0].reach is not None:
        means = faithful(job.means, operations[0], seen, Unkept())
        means.forecast(job.target, job.cube, seen, operations, statistics=job.model.tokens > 0)
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


def _tiled(
    job: Job, operations: Sequence[Operation], seen: Survey, journal: Journal | Unkept
) -> _Way:
    """Exact tiles, many at a time."""
    from hsisr.tiling.engine import Engine

    means = job.means
    sizes = sized(journal, means, job.target, job.cube, operations[0])
    engine = Engine(job.cube, seen, sizes.plan, means.workers(operations, sizes.threads))

    def outcome() -> dict[str, Any]:
        return {
            "tile": sizes.plan.tile,
            "smallest_tile": engine.side,
            "recomputed_in_float32": engine.recomputed,
            "seam": None,
        }

    return _Way(sizes, engine.run, outcome, lambda: tell(engine, sizes))


def _blended(
    job: Job, operations: Sequence[Operation], seen: Survey, journal: Journal | Unkept
) -> _Way:
    """Overlapping tiles that fade into one another, for a network that is not local."""
    from hsisr.tiling.engine import handed_over
    from hsisr.tiling.run import Seam, run_blended
    from hsisr.tiling.sizing import Sizes
    from hsisr.window import TilePlan

    del journal  # such a run cannot be continued
    seam, tile, spec = Seam(), job.means.tile or _TILE, job.cube.spec

    def steps(take: Take, slabs: Iterable[Slab]) -> Generator[Step]:
        del slabs  # strips that overlap are no slabs of the plan
        strips = run_blended(
            *(job.cube, operations[0], seen, seam),
            tile=tile,
            overlap=min(_OVERLAP, tile // 2),
            runtime=job.means.machine,
        )
        yield from handed_over(strips, take)

    def outcome() -> dict[str, Any]:
        return {"tile": tile, "seam": {"worst": seam.worst, "rms": seam.rms}}

    plan = TilePlan(spec.rows, spec.cols, (tile, tile), 0, operations[0].scale)
    return _Way(Sizes(plan, 1, 1, 0), steps, outcome)
