"""The run of `hsisr unmix` on one scene: endmembers, tiles, and the record of both."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import tell_subspace, warn_of_blank, warn_of_noise
from hsisr.cli._endmember_search import endmembers_of
from hsisr.cli._tiles import faithful, journal_of, produce, sized, surveyed, tell
from hsisr.cli._unmix_job import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hsisr.cli._tiles import Means
    from hsisr.cli._unmix_job import Job, Unmixer
    from hsisr.scene.survey import Survey
    from hsisr.tiling.journal import Journal, Unkept
    from hsisr.tiling.operations import Operation


@dataclass(frozen=True)
class Found:
    """What a scene is unmixed by, and how that was found."""

    unmixer: Unmixer
    estimates: Mapping[str, int] = field(default_factory=dict)
    """Of the number of endmembers, where the scene was to tell it."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Done:
    """Maps that are written and have yet to be checked."""

    unmixer: Unmixer
    record: dict[str, Any]
    """How they were made."""
    seen: Survey | None = None
    """The survey of the scene, if it was made in this run."""


def unmix(job: Job) -> Done | None:
    """Run the tiles and write all maps, their endmembers and the record of it.

    None where other shares are still at work.
    """
    from hsisr.files import write_json
    from hsisr.results.provenance import describe
    from hsisr.runtime import explained
    from hsisr.tiling.engine import Engine

    started, record = time.monotonic(), dict[str, Any]()
    cube = job.cube
    with (
        explained("allow more, or use less: --max-memory, --tile, --threads"),
        shared.stoppable(f"what is done is kept; go on with: {shared.again()}") as stopper,
        journal_of(job.results.journal, job.begun, job.means, keeps=True) as journal,
    ):
        seen = surveyed(journal, job.surveyed)
        warn_of_blank(seen, cube.spec)
        tell_subspace(seen.subspace)
        found = _settled(job, seen, journal, stopper)
        target = job.target(names_of(found.unmixer)[1])
        operations = job.operations(found.unmixer, seen)
        means = _means(job, operations[0], seen, journal)
        sizes = sized(journal, means, target, cube, operations[0])
        engine = Engine(cube, seen, sizes.plan, means.workers(operations, sizes.threads))

        def complete(clipped: int) -> None:
            del clipped  # maps are floating-point numbers
            outcome = {
                "estimates": dict(found.estimates),
                "library_notes": list(found.notes),
                "seconds": round(time.monotonic() - started, 2),
                "tile": sizes.plan.tile,
                "precision": means.machine.precision_name,
                "reach": operations[0].reach,
                **_write_endmembers(job, found.unmixer),
            }
            record.update(describe(job.begun, outcome))
            write_json(job.results.record, record)

        made = produce(target, sizes, engine.run, journal, stopper, "unmixing", complete)
        tell(engine, sizes)
    return Done(found.unmixer, record, seen) if made else None


def _write_endmembers(job: Job, unmixer: Unmixer) -> dict[str, Any]:
    """Write the endmembers; returns the names of all files of the result, for the record."""
    from hsisr.results.export import write_endmembers

    results, names = job.results, names_of(unmixer)[0]
    files = write_endmembers(results.endmembers, unmixer.endmembers, job.spectrum, names)
    return {
        "output": results.abundance.name,
        "maps": [path.name for path in results.maps.values()],
        "endmember_files": [path.name for path in files],
        "endmembers": len(names),
    }


def _means(job: Job, operation: Operation, seen: Survey, journal: Journal | Unkept) -> Means:
    """The resources for the tiles, in a precision that does not show in the sharper scene."""
    from hsisr.tiling.operations import UnmixSharpened

    if isinstance(operation, UnmixSharpened):
        return faithful(job.means, operation.sharpen, seen, journal)
    return job.means


def _settled(job: Job, seen: Survey, journal: Journal | Unkept, stopper: shared.Stopper) -> Found:
    """The method for the tiles: endmembers from the model, the library or the scene itself."""
    from hsisr.model import UnmixModel
    from hsisr.results.export import endmember_names
    from hsisr.unmixing.classical import FromLibrary

    chosen, spec = job.chosen, job.cube.spec
    if isinstance(chosen, UnmixModel):
        return Found(chosen)
    warn_of_noise(seen, spec)
    if isinstance(chosen.source, FromLibrary):
        library = chosen.source.read(spec, seen.means)
        for note in library.notes:
            shared.note(f"{chosen.source.path.name}: {note}")
        return Found(chosen.by_library(library, spec), notes=library.notes)
    spectra, estimates = endmembers_of(job.cube, chosen.source, journal, stopper)
    return Found(chosen.mixture(spectra, spec, endmember_names(len(spectra))), estimates)


def tell_plan(job: Job) -> None:
    """Print device, method and output."""
    from hsisr.results.export import size_in_words

    shared.say(f"device     {job.means.machine.description}")
    shared.say(f"method     {job.chosen.name}")
    if job.sharper is not None:
        shared.say(f"sharpened  {job.sharper.model.choice}")
    most, (path, spec) = "" if job.settled else " at most", job.expected.cubes[0]
    shared.say(f"output     {path}  {size_in_words(spec)}{most}")


def preview(job: Job) -> None:
    """Print what the run would need, measured on a small part of it."""
    import numpy as np

    from hsisr.tiling.journal import Unkept

    tell_plan(job)
    seen, target, unmixer = job.surveyed(hasty=True), job.expected, job.known
    warn_of_blank(seen, job.cube.spec)
    if unmixer is None:
        # any spectra take as long as the endmembers that have yet to be found
        spec, maps = job.cube.spec, target.cubes[0][1]
        pixels = seen.samples[0].reshape(spec.bands, -1).T
        spectra = np.resize(pixels, (maps.bands, spec.bands))
        unmixer = job.searching[0].mixture(spectra, spec, maps.band_names or ())
    operations = job.operations(unmixer, seen)
    statistics = job.known is None or seen.subspace is not None
    means = _means(job, operations[0], seen, Unkept())
    means.forecast(target, job.cube, seen, operations, statistics=statistics)
    if job.known is None:
        shared.note("looking for endmembers comes on top of that")
    shared.say("nothing written (--dry-run)")
