"""What `hsisr unmix` does: names, tiles, and the record of it all."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._tiles import Means, journal_of, produce, sized, surveyed, tell

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy import float32
    from numpy.typing import NDArray

    from hsisr.assembly import Target
    from hsisr.checkpoint import Checkpoint
    from hsisr.cube import Cube
    from hsisr.journal import Journal, Unkept
    from hsisr.model import UnmixModel
    from hsisr.unmixing import BlindUnmixing, LinearMixture

MAPS = ("abundance", "rmse", "sam", "class")
_MAPS = ("envi", "tiff")
"""Formats that programs for maps open; scenes in others are unmixed to ENVI."""


def trained(chosen: UnmixModel | BlindUnmixing) -> Checkpoint | None:
    """The file of the model, if there is one."""
    from hsisr.model import UnmixModel

    return chosen.checkpoint if isinstance(chosen, UnmixModel) else None


class Results:
    """The names of everything that is written."""

    def __init__(self, cube: Cube, output: Path | None, format_name: str | None) -> None:
        from hsisr import export

        found = export.format_of(cube, format_name, output)
        self.format = found if format_name or found in _MAPS else _MAPS[0]
        stem = export.stem_of(cube, output)
        self.maps = {name: export.tagged(stem, name, self.format) for name in MAPS}
        self.abundance = self.maps["abundance"]
        self.endmembers = stem.with_name(f"{stem.name}_endmembers")
        self.picture = export.beside(self.abundance, ".png")
        self.record = export.beside(self.abundance, ".run.json")
        self.journal = export.beside(self.abundance, ".journal")

    def files(self, quicklook: bool) -> list[Path]:
        """All of them, the largest first."""
        from hsisr import export

        return [
            *(file for path in self.maps.values() for file in export.outputs_of(path, self.format)),
            *export.library_files(self.endmembers),
            self.record,
            *([self.picture] if quicklook else []),
        ]


@dataclass(frozen=True)
class Job:
    """A scene to be unmixed, and everything that was chosen for it."""

    cube: Cube
    chosen: UnmixModel | BlindUnmixing
    means: Means
    results: Results

    @property
    def target(self) -> Target:
        """What is written: all maps, in the order in which they are computed."""
        from hsisr.assembly import Target
        from hsisr.export import endmember_names, unmixing_maps

        names, paths = endmember_names(self.chosen.count), self.results.maps
        maps = unmixing_maps(self.cube.spec, names, gain=False)
        return Target([(paths[name], spec) for name, spec in maps.items()], self.results.format)

    @property
    def begun(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        from hsisr.provenance import begun

        model = trained(self.chosen)
        options = {
            "blind": None if model else asdict(self.chosen),
            "tile": self.means.tile,
            "outputs": [path.name for path, _ in self.target.cubes],
        }
        return begun("unmix", self.cube, self.means.machine, model, options)


def unmix(job: Job) -> tuple[NDArray[float32], dict[str, Any]] | None:
    """Run the tiles and write both maps; returns the endmembers and the record of the run.

    None where other shares are still at work.
    """
    from hsisr.engine import Engine
    from hsisr.export import library_files
    from hsisr.provenance import describe
    from hsisr.runtime import explained
    from hsisr.survey import survey

    started = time.monotonic()
    cube, means = job.cube, job.means
    with (
        explained("allow more, or use less: --max-memory, --tile, --threads"),
        shared.stoppable(f"what is done is kept; go on with: {shared.again()}") as stopper,
        journal_of(job.results.journal, job.begun, means, keeps=True) as journal,
    ):
        seen = surveyed(journal, lambda: survey(cube))
        unmixer = _fitted(job.chosen, cube, journal)
        operations = [unmixer.operation(seen, machine) for machine in means.machines]
        sizes = sized(journal, means, job.target, cube, operations[0])
        engine = Engine(cube, seen, sizes.plan, means.workers(operations, sizes.threads))
        production = produce(job.target, sizes, engine.run, journal, stopper, "unmixing")
        tell(engine, sizes)
    if not production.published:
        return None
    outcome = {
        "output": job.results.abundance.name,
        "maps": [path.name for path, _ in job.target.cubes],
        "endmember_files": [path.name for path in library_files(job.results.endmembers)],
        "endmembers": job.chosen.count,
        "blind": None if trained(job.chosen) else asdict(job.chosen),
        "seconds": round(time.monotonic() - started, 2),
        "tile": sizes.plan.tile,
        "reach": operations[0].reach,
        **_tallied(job.results.abundance),
    }
    return unmixer.endmembers, describe(job.begun, outcome)


def _fitted(
    chosen: UnmixModel | BlindUnmixing, cube: Cube, journal: Journal | Unkept
) -> UnmixModel | LinearMixture:
    """The model, or the endmembers of the scene: looked for once."""
    import torch

    from hsisr.unmixing import BlindUnmixing

    if not isinstance(chosen, BlindUnmixing):
        return chosen

    def found() -> dict[str, torch.Tensor]:
        shared.say(f"looking for {chosen.count} endmembers in a sample of the scene")
        return {"endmembers": torch.from_numpy(chosen.endmembers(cube))}

    return chosen.mixture(cube, journal.once("endmembers", found)["endmembers"].numpy())


def _tallied(path: Path) -> dict[str, Any]:
    """What the written abundances are like."""
    from hsisr.formats import open_cube
    from hsisr.survey import strips
    from hsisr.unmixing import Tally

    with open_cube(path) as maps:
        tally = Tally(maps.spec.bands)
        for window in strips(maps.spec):
            tally.note(maps.read(window))
    return tally.record


def preview(job: Job) -> None:
    """Tell what the run would take, by a small part of it."""
    from hsisr.survey import survey
    from hsisr.unmixing import BlindUnmixing

    seen, chosen = survey(job.cube), job.chosen
    if isinstance(chosen, BlindUnmixing):
        # any spectra take as long as the endmembers that have yet to be found
        spectra = seen.samples[0].reshape(job.cube.spec.bands, -1).T[: chosen.count]
        unmixer: UnmixModel | LinearMixture = chosen.mixture(job.cube, spectra.copy())
    else:
        unmixer = chosen
    operations = [unmixer.operation(seen, machine) for machine in job.means.machines]
    job.means.forecast(job.target, job.cube, seen, operations, statistics=True)
    shared.say("nothing written (--dry-run)")
