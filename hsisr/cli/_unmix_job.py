"""A scene to be unmixed, the method that was chosen, and the files that will be written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hsisr.checkpoints.checkpoint import Checkpoint
    from hsisr.cli._sharper import Sharper
    from hsisr.cli._tiles import Means
    from hsisr.cube import Cube, Spectrum
    from hsisr.model import UnmixModel
    from hsisr.scene.survey import Survey
    from hsisr.tiling.assembly import Target
    from hsisr.tiling.operations import Operation
    from hsisr.unmixing.classical import FromLibrary, InScene, LinearMixture, LinearUnmixing

    Unmixer = UnmixModel | LinearMixture
    """What turns the pixels of a tile into abundances."""


def trained(chosen: UnmixModel | LinearUnmixing) -> Checkpoint | None:
    """The checkpoint of a trained model, if one is used."""
    from hsisr.model import UnmixModel

    return chosen.checkpoint if isinstance(chosen, UnmixModel) else None


def names_of(unmixer: Unmixer) -> tuple[Sequence[str], Sequence[str]]:
    """The names of the endmembers, and of the materials that get a map each."""
    from hsisr.results.export import endmember_names
    from hsisr.unmixing.classical import LinearMixture

    if isinstance(unmixer, LinearMixture):
        return unmixer.names, unmixer.materials
    names = endmember_names(unmixer.count)
    return names, names


def kinds_of(unmixer: Unmixer) -> Sequence[str]:
    """The material of each endmember."""
    from hsisr.unmixing.classical import LinearMixture

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
        from hsisr.results import export
        from hsisr.unmixing.classical import LinearUnmixing

        self.format = export.format_of(cube, format_name, output)
        asked = format_name is not None or (output is not None and export.tells_format(output))
        if not asked and self.format not in shared.FOR_MAPS:
            self.format = shared.FOR_MAPS[0]
        self.gain = isinstance(chosen, LinearUnmixing) and chosen.solver.tells_gain
        """Whether a map of the gain is written."""
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
        from hsisr.results import export

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
        from hsisr.unmixing.classical import LinearUnmixing

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
        from hsisr.results.export import unmixing_maps
        from hsisr.tiling.assembly import Target

        paths = self.results.maps
        grid = self.cube.spec.upscaled(self.sharper.model.scale if self.sharper else 1)
        maps = unmixing_maps(grid, materials, gain=self.results.gain)
        return Target([(paths[name], spec) for name, spec in maps.items()], self.results.format)

    @property
    def expected(self) -> Target:
        """What is written at most: a map for as many materials as may be found."""
        from hsisr.results.export import endmember_names

        if self.known is not None:
            return self.target(names_of(self.known)[1])
        return self.target(endmember_names(self.searching[1].most(self.cube.spec)))

    @property
    def searching(self) -> tuple[LinearUnmixing, InScene]:
        """The choice, and its search, where endmembers have yet to be found."""
        from hsisr.unmixing.classical import InScene, LinearUnmixing

        assert isinstance(self.chosen, LinearUnmixing)
        assert isinstance(self.chosen.source, InScene)
        return self.chosen, self.chosen.source

    @property
    def spectrum(self) -> Spectrum | None:
        """The wavelengths of the scene, or else those the model was trained on."""
        from hsisr.cube import Spectrum

        model, spectrum = trained(self.chosen), self.cube.spec.spectrum
        if spectrum is None and model and model.card.wavelengths_nm:
            return Spectrum(model.card.wavelengths_nm)
        return spectrum

    @property
    def settled(self) -> bool:
        """Whether the number of materials is known already."""
        return self.known is not None or self.searching[1].count is not None

    @property
    def begun(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        from hsisr.results.provenance import begun, identity

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
        """The survey of the scene that its method needs."""
        from hsisr.scene.survey import survey

        return survey(self.cube, self.sharper.model.tokens if self.sharper else 0, hasty=hasty)

    def operations(self, unmixer: Unmixer, seen: Survey) -> Sequence[Operation]:
        """The operation on tiles, one per device."""
        from hsisr.unmixing.classical import LinearMixture

        machines = self.means.machines
        if self.sharper is None:
            return [unmixer.operation(seen, machine) for machine in machines]
        assert isinstance(unmixer, LinearMixture)
        return self.sharper.operations(unmixer, seen, machines)


def inputs_of(job: Job) -> list[Path]:
    """All files that are read."""
    from hsisr.unmixing.classical import FromLibrary, LinearUnmixing

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
    """How endmembers and abundances are computed; None for a model, which has its own record."""
    from hsisr.results.provenance import identity
    from hsisr.unmixing.classical import FromLibrary, LinearUnmixing

    if not isinstance(chosen, LinearUnmixing):
        return None
    described = asdict(chosen)
    if isinstance(chosen.source, FromLibrary):
        described["source"]["path"] = identity(chosen.source.path)
    return described
