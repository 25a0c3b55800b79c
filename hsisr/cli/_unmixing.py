"""What `hsisr unmix` does: names, tiles, and the record of it all."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import tell_subspace, warn_of_blank, warn_of_noise
from hsisr.cli._search import endmembers_of
from hsisr.cli._tiles import Means, journal_of, produce, sized, surveyed, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hsisr.assembly import Target
    from hsisr.checkpoint import Checkpoint
    from hsisr.cli._sharper import Sharper
    from hsisr.cube import Cube
    from hsisr.journal import Journal, Unkept
    from hsisr.model import UnmixModel
    from hsisr.operations import Operation
    from hsisr.survey import Survey
    from hsisr.unmixing import FromLibrary, InScene, LinearMixture, LinearUnmixing

    Unmixer = UnmixModel | LinearMixture
    """What can be done to tiles."""


def trained(chosen: UnmixModel | LinearUnmixing) -> Checkpoint | None:
    """The file of the model, if there is one."""
    from hsisr.model import UnmixModel

    return chosen.checkpoint if isinstance(chosen, UnmixModel) else None


def names_of(unmixer: Unmixer) -> tuple[Sequence[str], Sequence[str]]:
    """Of the endmembers, and of the materials that there are maps of."""
    from hsisr.export import endmember_names
    from hsisr.unmixing import LinearMixture

    if isinstance(unmixer, LinearMixture):
        return unmixer.names, unmixer.materials
    names = endmember_names(unmixer.count)
    return names, names


def kinds_of(unmixer: Unmixer) -> Sequence[str]:
    """Of which material each endmember is."""
    from hsisr.unmixing import LinearMixture

    return unmixer.classes if isinstance(unmixer, LinearMixture) else names_of(unmixer)[0]


class Results:
    """The names of everything that is written."""

    def __init__(
        self,
        cube: Cube,
        chosen: UnmixModel | LinearUnmixing,
        output: Path | None,
        format_name: str | None,
        scale: int = 1,
    ) -> None:
        from hsisr import export
        from hsisr.unmixing import LinearUnmixing

        self.format = export.format_of(cube, format_name, output)
        asked = format_name is not None or (output is not None and export.tells_format(output))
        if not asked and self.format not in shared.FOR_MAPS:
            self.format = shared.FOR_MAPS[0]
        self.gain = isinstance(chosen, LinearUnmixing) and chosen.solver.tells_gain
        """Whether there is a map of it."""
        stem = export.stem_of(cube, output)
        if scale > 1:
            stem = stem.with_name(f"{stem.name}_x{scale}")
        names = export.unmixing_maps(cube.spec, (), gain=self.gain)
        self.maps = {name: export.tagged(stem, name, self.format) for name in names}
        self.abundance = self.maps["abundance"]
        self.endmembers = stem.with_name(f"{stem.name}_endmembers")
        self.picture = export.beside(self.abundance, ".png")
        self.lines = stem.with_name(f"{stem.name}_endmembers.png")
        self.record = export.beside(self.abundance, ".run.json")
        self.journal = export.beside(self.abundance, ".journal")

    def files(self, quicklook: bool) -> list[Path]:
        """All of them, the largest first."""
        from hsisr import export

        return [
            *(file for path in self.maps.values() for file in export.outputs_of(path, self.format)),
            *export.library_files(self.endmembers),
            self.record,
            *([self.picture, self.lines] if quicklook else []),
        ]


@dataclass(frozen=True)
class Job:
    """A scene to be unmixed, and everything that was chosen for it."""

    cube: Cube
    chosen: UnmixModel | LinearUnmixing
    known: Unmixer | None
    """What the scene is unmixed by; None where endmembers have yet to be looked for."""
    means: Means
    results: Results
    reference: FromLibrary | None = None
    """What the endmembers are named after."""
    sharper: Sharper | None = None
    """By what the scene is sharpened first."""

    @classmethod
    def of(
        cls,
        cube: Cube,
        chosen: UnmixModel | LinearUnmixing,
        means: Means,
        results: Results,
        reference: FromLibrary | None,
        sharper: Sharper | None,
    ) -> Job:
        """Raises `InputError`, `UsageError` or `ModelError` if the scene cannot be unmixed so."""
        from hsisr.unmixing import LinearUnmixing

        spec = cube.spec
        chosen.require_fit(spec)
        if reference is not None:
            reference.comparable(spec)
        if sharper is not None:
            sharper.model.require_fit(spec)
        if not isinstance(chosen, LinearUnmixing):
            return cls(cube, chosen, chosen, means, results, reference)
        if sharper is None:
            means = means.exact
        return cls(cube, chosen, chosen.known(spec), means, results, reference, sharper)

    def target(self, materials: Sequence[str]) -> Target:
        """What is written: all maps, in the order in which they are computed."""
        from hsisr.assembly import Target
        from hsisr.export import unmixing_maps

        paths = self.results.maps
        grid = self.cube.spec.upscaled(self.sharper.model.scale if self.sharper else 1)
        maps = unmixing_maps(grid, materials, gain=self.results.gain)
        return Target([(paths[name], spec) for name, spec in maps.items()], self.results.format)

    @property
    def expected(self) -> Target:
        """The same, with as many materials as there can be."""
        from hsisr.export import endmember_names

        if self.known is not None:
            return self.target(names_of(self.known)[1])
        return self.target(endmember_names(self.searching[1].most(self.cube.spec)))

    @property
    def searching(self) -> tuple[LinearUnmixing, InScene]:
        """What is chosen where endmembers have yet to be looked for."""
        from hsisr.unmixing import InScene, LinearUnmixing

        assert isinstance(self.chosen, LinearUnmixing)
        assert isinstance(self.chosen.source, InScene)
        return self.chosen, self.chosen.source

    @property
    def settled(self) -> bool:
        """Whether it is known of how many materials there will be maps."""
        return self.known is not None or self.searching[1].count is not None

    @property
    def begun(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        from hsisr.provenance import begun, identity

        options = {
            "unmixing": _described(self.chosen),
            "identify": self.reference and identity(self.reference.path),
            "sharpened": self.sharper and self.sharper.record,
            "tile": self.means.tile,
            "outputs": [path.name for path in self.results.maps.values()],
        }
        model = self.sharper.model.checkpoint if self.sharper else trained(self.chosen)
        return begun("unmix", self.cube, self.means.machine, model, options)

    def surveyed(self, *, hasty: bool = False) -> Survey:
        """What has to be known of the scene."""
        from hsisr.survey import survey

        return survey(self.cube, self.sharper.model.tokens if self.sharper else 0, hasty=hasty)

    def operations(self, unmixer: Unmixer, seen: Survey) -> Sequence[Operation]:
        """What is done to tiles, for each device."""
        from hsisr.unmixing import LinearMixture

        machines = self.means.machines
        if self.sharper is None:
            return [unmixer.operation(seen, machine) for machine in machines]
        assert isinstance(unmixer, LinearMixture)
        return self.sharper.operations(unmixer, seen, machines)


def inputs_of(job: Job) -> list[Path]:
    """All files that are read."""
    from hsisr.unmixing import FromLibrary, LinearUnmixing

    found = list(job.cube.files)
    sharpening = job.sharper.model.checkpoint if job.sharper else None
    for model in (trained(job.chosen), sharpening):
        if model is not None:
            found.append(model.path)
    if isinstance(job.chosen, LinearUnmixing) and isinstance(job.chosen.source, FromLibrary):
        found.append(job.chosen.source.path)
    if job.reference is not None:
        found.append(job.reference.path)
    return found


def _described(chosen: UnmixModel | LinearUnmixing) -> dict[str, Any] | None:
    """How endmembers and abundances are come by; None where a model tells."""
    from hsisr.provenance import identity
    from hsisr.unmixing import FromLibrary, LinearUnmixing

    if not isinstance(chosen, LinearUnmixing):
        return None
    described = asdict(chosen)
    if isinstance(chosen.source, FromLibrary):
        described["source"]["path"] = identity(chosen.source.path)
    return described


@dataclass(frozen=True)
class Found:
    """What a scene is unmixed by, and how that was come by."""

    unmixer: Unmixer
    estimates: Mapping[str, int] = field(default_factory=dict)
    """Of the number of endmembers, where the scene was to tell it."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Done:
    """Maps that are written and have yet to be looked at."""

    unmixer: Unmixer
    record: dict[str, Any]
    """How they were made."""
    seen: Survey | None = None
    """What is known of the scene, if that was found out just now."""


def unmix(job: Job) -> Done | None:
    """Run the tiles and write all maps; None where other shares are still at work."""
    from hsisr.engine import Engine
    from hsisr.provenance import describe
    from hsisr.runtime import explained

    started = time.monotonic()
    cube, means = job.cube, job.means
    with (
        explained("allow more, or use less: --max-memory, --tile, --threads"),
        shared.stoppable(f"what is done is kept; go on with: {shared.again()}") as stopper,
        journal_of(job.results.journal, job.begun, means, keeps=True) as journal,
    ):
        seen = surveyed(journal, job.surveyed)
        warn_of_blank(seen, cube.spec)
        tell_subspace(seen.subspace)
        found = _settled(job, seen, journal, stopper)
        target = job.target(names_of(found.unmixer)[1])
        operations = job.operations(found.unmixer, seen)
        sizes = sized(journal, means, target, cube, operations[0])
        engine = Engine(cube, seen, sizes.plan, means.workers(operations, sizes.threads))
        production = produce(target, sizes, engine.run, journal, stopper, "unmixing")
        tell(engine, sizes)
    if not production.published:
        return None
    outcome = {
        "estimates": dict(found.estimates),
        "library_notes": list(found.notes),
        "seconds": round(time.monotonic() - started, 2),
        "tile": sizes.plan.tile,
        "reach": operations[0].reach,
    }
    return Done(found.unmixer, describe(job.begun, outcome), seen)


def _settled(job: Job, seen: Survey, journal: Journal | Unkept, stopper: shared.Stopper) -> Found:
    """What is done to the tiles, once all of the scene is known that has to be."""
    from hsisr.export import endmember_names
    from hsisr.model import UnmixModel
    from hsisr.unmixing import FromLibrary

    chosen, spec = job.chosen, job.cube.spec
    if isinstance(chosen, UnmixModel):
        return Found(chosen)
    warn_of_noise(seen, spec)
    if isinstance(chosen.source, FromLibrary):
        library = chosen.source.read(spec, seen.means)
        for note in library.notes:
            shared.say(f"note: {chosen.source.path.name}: {note}")
        return Found(chosen.by_library(library, spec), notes=library.notes)
    spectra, estimates = endmembers_of(job.cube, chosen.source, journal, stopper)
    return Found(chosen.mixture(spectra, spec, endmember_names(len(spectra))), estimates)


def tell_plan(job: Job) -> None:
    """Tell what is made, by what."""
    from hsisr.export import size_in_words

    shared.say(f"device     {job.means.machine.description}")
    shared.say(f"method     {job.chosen.name}")
    if job.sharper is not None:
        shared.say(f"sharpened  {job.sharper.model.choice}")
    most, (path, spec) = "" if job.settled else " at most", job.expected.cubes[0]
    shared.say(f"output     {path}  {size_in_words(spec)}{most}")


def preview(job: Job) -> None:
    """Tell what the run would take, by a small part of it."""
    import numpy as np

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
    job.means.forecast(target, job.cube, seen, operations, statistics=statistics)
    if job.known is None:
        shared.say("note: looking for endmembers comes on top of that")
    shared.say("nothing written (--dry-run)")
