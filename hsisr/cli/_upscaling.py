"""What `hsisr upscale` does: names, tiles, checks, and the record of it all."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hsisr.check import Agreement, SelfCheck
    from hsisr.cli._adapting import Adaptation
    from hsisr.cube import Block, Cube, CubeSpec
    from hsisr.model import SrModel
    from hsisr.operations import Operation
    from hsisr.run import Seam
    from hsisr.runtime import Runtime
    from hsisr.survey import Survey
    from hsisr.window import Window
    from hsisr_models.subspace import Subspace

_OVERLAP = 16
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
    machine: Runtime
    results: Results
    operator: str
    """The degradation that is assumed."""
    adaptation: Adaptation | None
    tile: int
    dynamic: bool
    ensemble: bool
    enforce: bool
    self_check: bool

    @property
    def cubes(self) -> list[tuple[Path, CubeSpec]]:
        """What is written: the sharper scene and, if asked for, its uncertainty."""
        spec = self.cube.spec.upscaled(self.model.scale)
        if self.results.uncertainty is None:
            return [(self.results.path, spec)]
        told = "standard deviation over 8 flips and rotations, root mean square over the bands"
        spread = spec.with_bands(["uncertainty"], description=told)
        return [(self.results.path, spec), (self.results.uncertainty, spread)]

    def operation(self, seen: Survey) -> Operation:
        """The model for the surveyed scene, with all that was asked for around it."""
        from hsisr.operations import Consistent, Ensemble

        operation: Operation = self.model.operation(seen, self.machine, dynamic=self.dynamic)
        if self.enforce:
            operation = Consistent(operation, self.operator)
        if self.ensemble:
            # the mean of consistent scenes is consistent, and its spread is that of the results
            operation = Ensemble(operation, spread=self.results.uncertainty is not None)
        return operation


def upscale(job: Job) -> dict[str, Any]:
    """Survey the scene, check the model on it, run the tiles, write and check the result.

    Tells what the checks found; returns the record of the run.
    """
    from hsisr.provenance import describe
    from hsisr.runtime import explained
    from hsisr.survey import survey

    started = time.monotonic()
    stopping = shared.stoppable(f"nothing was written; again: {shared.again()}")
    with explained("use smaller tiles, e.g. --tile 16"), stopping as stopper:
        job, adaptation = _adapted(job, stopper)
        seen = survey(job.cube, job.model.tokens)
        _tell_subspace(seen.subspace)
        operation = job.operation(seen)
        checked = _self_check(job, operation, seen, stopper)
        clipped, seam = _run(job, operation, seen, stopper)
    agreement = _consistency(job)
    outcome = {
        "output": job.results.path.name,
        "uncertainty": job.results.uncertainty and job.results.uncertainty.name,
        "scale": job.model.scale,
        "seconds": round(time.monotonic() - started, 2),
        "tile": job.tile,
        "reach": operation.reach,
        "tta": job.ensemble,
        "degradation": job.operator,
        "model_name": job.model.name,
        "adaptation": adaptation,
        "variance_covered": seen.subspace and seen.subspace.covered,
        "self_check": checked and asdict(checked),
        "consistency": {"enforced": job.enforce, **asdict(agreement)},
        "clipped_samples": clipped,
        "seam": {"worst": seam.worst, "rms": seam.rms} if operation.reach is None else None,
    }
    return describe("upscale", job.cube, job.machine, job.model.checkpoint, outcome)


def _tell_subspace(subspace: Subspace | None) -> None:
    """What the model can work on, where it works on the scene's own axes."""
    if subspace is None:
        return
    axes, bands = len(subspace.spread), len(subspace.mean)
    idle = int((subspace.axes == 0).all(1).sum())
    shared.say(f"subspace   {axes} of {bands} axes, {subspace.covered:.2%} of the variance")
    if not axes:
        shared.say("note: the scene does not vary; it is interpolated")
    elif bands == 1:
        shared.say("note: one band has no spectrum; it is sharpened as a grey image")
    elif idle:
        shared.say(f"note: {idle} bands are bad, constant or noise; they are interpolated")


def _adapted(job: Job, stopper: shared.Stopper) -> tuple[Job, dict[str, Any] | None]:
    """The job with its model adapted to the scene, where that was asked for and is better."""
    from hsisr.cli._adapting import adapted

    if job.adaptation is None:
        return job, None
    model, record = adapted(job.model, job.cube, job.adaptation, job.machine, stopper)
    return replace(job, model=model), record


def _self_check(
    job: Job, operation: Operation, seen: Survey, stopper: shared.Stopper
) -> SelfCheck | None:
    """Compare the model with bicubic on the scene itself, and tell."""
    from hsisr import check

    if not job.self_check:
        return None
    blocks = stopper.heeded(check.sample(job.cube, job.model.scale))
    found = check.self_check(
        job.cube, blocks, operation, seen, operator=job.operator, runtime=job.machine
    )
    if found is None:
        shared.say("self-check none: the scene is too small to be degraded once more")
        return None
    shared.say(
        f"self-check {_in_words(found.model)}, bicubic {_in_words(found.bicubic)}, "
        f"on {found.blocks} block(s) degraded once more ({job.operator})"
    )
    if found.lost:
        shared.say(
            "warning: on this scene the model does worse than bicubic interpolation; "
            "--model bicubic is the safer choice"
        )
    return found


def _run(job: Job, operation: Operation, seen: Survey, stopper: shared.Stopper) -> tuple[int, Seam]:
    """Write what the tiles give; returns how many samples were clipped, and the seam."""
    from hsisr.export import write_windows
    from hsisr.run import Seam

    seam, clipped = Seam(), 0
    windows = stopper.heeded(_windows(job, operation, seen, seam))
    written = _running(write_windows(job.cubes, job.results.format, windows))
    pixels = job.cubes[0][1].rows * job.cubes[0][1].cols
    for step in shared.progress(written, pixels, "upscaling", done=lambda step: step[0]):
        _, clipped = step
    return clipped, seam


def _running(written: Iterator[tuple[Window, int]]) -> Iterator[tuple[int, int]]:
    """The same with the pixels summed up."""
    pixels = 0
    for window, clipped in written:
        pixels += window.height * window.width
        yield pixels, clipped


def _windows(
    job: Job, operation: Operation, seen: Survey, seam: Seam
) -> Iterator[tuple[Window, Block]]:
    from hsisr.run import run, run_blended

    cube, tile, machine = job.cube, job.tile, job.machine
    if operation.reach is None:
        overlap = min(_OVERLAP, tile // 2)
        return run_blended(cube, operation, seen, seam, tile=tile, overlap=overlap, runtime=machine)
    return run(cube, operation, seen, tile=tile, runtime=machine)


def _consistency(job: Job) -> Agreement:
    """Compare the degraded result, as it was written, with the scene, and tell."""
    from hsisr import check
    from hsisr.formats import open_cube

    plan = check.consistency_plan(job.cube.spec, job.model.scale)
    unfinished = f"{job.results.path} is written, its check and run.json are not"
    with shared.stoppable(unfinished) as stopper, open_cube(job.results.path) as output:
        steps = shared.progress(stopper.heeded(plan), len(plan), "checking")
        found = check.consistency(steps, output, job.cube, operator=job.operator)
    shared.say(
        f"consistency {_in_words(found)}: degraded ({job.operator}), the result differs from the "
        f"scene by at most {found.worst:.2g} of its range"
    )
    if job.enforce and not found.worst <= check.CONSISTENT:
        shared.say("note: samples rounded or clipped to the data type are not consistent any more")
    return found


def _in_words(agreement: Agreement) -> str:
    return f"{agreement.psnr:.2f} dB, SAM {agreement.sam:.2f}°"
