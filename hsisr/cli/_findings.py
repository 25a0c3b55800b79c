"""What `hsisr unmix` has found: written beside the maps, and told."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._pictures import draw
from hsisr.cli._unmixing import Job, kinds_of, names_of, trained
from hsisr.errors import CheckError

if TYPE_CHECKING:
    from pathlib import Path

    from hsisr.cli._unmixing import Unmixer
    from hsisr.cube import Spectrum
    from hsisr.diagnosis import Diagnosis


def finish(
    job: Job, unmixer: Unmixer, about: dict[str, Any], *, quicklook: bool, strict: bool
) -> None:
    """Write what goes with the maps, and tell; raises `CheckError` for a fault, if `strict`."""
    from hsisr.export import library_files, write_endmembers
    from hsisr.files import write_json
    from hsisr.provenance import describe

    results, names = job.results, names_of(unmixer)[0]
    diagnosis, nearest = _diagnosed(unmixer, results.abundance), _nearest(job, unmixer)
    outcome = {
        "output": results.abundance.name,
        "maps": [path.name for path in results.maps.values()],
        "endmember_files": [path.name for path in library_files(results.endmembers)],
        "endmembers": len(names),
        **about,
        **diagnosis.record,
        "identified": nearest,
    }
    write_endmembers(results.endmembers, unmixer.endmembers, _spectrum(job), names)
    write_json(results.record, describe(job.begun, outcome))
    if quicklook:
        draw(job, unmixer, _spectrum(job))
    shared.say(f"wrote {results.abundance} in {shared.duration(about['seconds'])}")
    shared.say(diagnosis.summary)
    _tell_nearest(nearest)
    if strict:
        require_sound(diagnosis.faults)
    for fault in diagnosis.faults:
        shared.warn(fault)
    shared.say_next(results.abundance, results.format)


def require_sound(faults: Sequence[str]) -> None:
    """Raise `CheckError` if there is a fault."""
    if faults:
        raise CheckError("; ".join(faults), hint="the results are written; fewer endmembers may do")


def faults_in(record: Path) -> Sequence[str]:
    """Those that an earlier run has noted."""
    found: list[str] = json.loads(record.read_bytes())["faults"]
    return found


def _diagnosed(unmixer: Unmixer, abundance: Path) -> Diagnosis:
    """What the written abundances are like."""
    from hsisr.diagnosis import Diagnosis, Tally, twins
    from hsisr.formats import open_cube
    from hsisr.survey import strips
    from hsisr.unmixing import LinearMixture

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
    """For each endmember the spectra of the reference that are most like it."""
    from hsisr.survey import good_bands

    if job.reference is None:
        return None
    library, compared = job.reference.comparable(job.cube.spec)
    without = int(good_bands(job.cube.spec).sum() - compared.sum())
    if without:
        shared.say(f"note: {job.reference.path.name} lacks {without} bands; compared by the others")
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


def _spectrum(job: Job) -> Spectrum | None:
    """Where the bands lie: as the scene tells, or else the model."""
    from hsisr.cube import Spectrum

    model, spectrum = trained(job.chosen), job.cube.spec.spectrum
    if spectrum is None and model and model.card.wavelengths_nm:
        return Spectrum(model.card.wavelengths_nm)
    return spectrum
