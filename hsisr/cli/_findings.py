"""What `hsisr unmix` reports once its maps are written, on the terminal and in the record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._pictures import draw
from hsisr.cli._unmix_job import Job, kinds_of, names_of
from hsisr.cli._unmixing import Done
from hsisr.errors import CheckError
from hsisr.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from hsisr.cli._unmix_job import Unmixer
    from hsisr.unmixing.diagnosis import Diagnosis


def unmixed_before(job: Job, record: dict[str, Any]) -> Done:
    """The outcome of an earlier run, from its record and endmember files; raises `InputError`."""
    from hsisr.model import UnmixModel
    from hsisr.results.export import endmember_names, library_files
    from hsisr.unmixing.library import read_library

    if isinstance(job.chosen, UnmixModel):
        return Done(job.chosen, record)
    spectra = read_library(library_files(job.results.endmembers)[0]).spectra
    names = kinds = endmember_names(len(spectra))
    if job.known is not None:
        names, kinds = tuple(names_of(job.known)[0]), tuple(kinds_of(job.known))
    return Done(job.chosen.mixture(spectra, job.cube.spec, names, kinds), record)


def finish(job: Job, done: Done, *, quicklook: bool, strict: bool) -> None:
    """Write what goes with the maps and report it; if `strict`, raises `CheckError` for a fault."""
    from hsisr.files import write_json

    results, unmixer = job.results, done.unmixer
    agreement = _consistency(job, done)
    diagnosis, nearest = _diagnosed(unmixer, results.abundance), _nearest(job, unmixer)
    if quicklook:
        draw(job, unmixer, job.spectrum)
    found = {"consistency": agreement, **diagnosis.record, "identified": nearest}
    write_json(results.record, shared.finite({**done.record, **found}))
    shared.say(f"wrote {results.abundance} in {shared.duration(done.record['seconds'])}")
    shared.say(diagnosis.summary)
    _tell_nearest(nearest)
    if strict:
        require_sound(diagnosis.faults)
    for fault in diagnosis.faults:
        shared.warn(fault)
    shared.say_next(results.abundance, results.format)


def _consistency(job: Job, done: Done) -> dict[str, Any] | None:
    """How far the abundances of the sharper scene, degraded, are from those of the scene."""
    from hsisr.unmixing.classical import LinearMixture

    if job.sharper is None:
        return None
    assert isinstance(done.unmixer, LinearMixture)
    seen, machine = done.seen or job.surveyed(), job.means.machine
    abundance = job.results.abundance
    return job.sharper.consistency(abundance, job.cube, done.unmixer, seen, machine)


def require_sound(faults: Sequence[str]) -> None:
    """Raise `CheckError` if there is a fault."""
    if faults:
        raise CheckError("; ".join(faults), hint="the results are written; fewer endmembers may do")


def _diagnosed(unmixer: Unmixer, abundance: Path) -> Diagnosis:
    """The faults of the written abundances and of their endmembers."""
    from hsisr.formats import open_cube
    from hsisr.scene.spectra import strips
    from hsisr.unmixing.classical import LinearMixture
    from hsisr.unmixing.diagnosis import Diagnosis, Tally, twins

    names, materials = names_of(unmixer)
    tally = Tally(len(materials))
    with open_cube(abundance) as maps:
        for window in strips(maps.spec):
            tally.note(maps.read(window))
    constraints = (True, True)
    if isinstance(unmixer, LinearMixture):
        constraints = unmixer.solver.constraints
    alike = twins(unmixer.endmembers, kinds_of(unmixer))
    return Diagnosis(names, materials, alike, tally, *constraints)


def _nearest(job: Job, unmixer: Unmixer) -> list[dict[str, Any]] | None:
    """For each endmember the most similar spectra of the reference library, if there is one."""
    from hsisr.scene.spectra import good_bands

    if job.reference is None:
        return None
    library, compared = job.reference.comparable(job.cube.spec)
    without = int(good_bands(job.cube.spec).sum() - compared.sum())
    if without:
        lacking = f"{job.reference.path.name} lacks {counted(without, 'band')}"
        shared.note(f"{lacking}; compared by the others")
    found = library.nearest(unmixer.endmembers, compared)
    return [
        {
            "endmember": name,
            "nearest": [
                {"name": match.name, "angle_deg": round(math.degrees(match.angle_rad), 4)}
                for match in matches
            ],
        }
        for name, matches in zip(names_of(unmixer)[0], found, strict=True)
    ]


def _tell_nearest(nearest: list[dict[str, Any]] | None) -> None:
    rows = [
        [entry["endmember"] if rank == 0 else "", match["name"], f"{match['angle_deg']:.2f}°"]
        for entry in nearest or ()
        for rank, match in enumerate(entry["nearest"])
    ]
    for line in shared.table(["endmember", "like", "angle"], rows) if rows else ():
        shared.say(line)
