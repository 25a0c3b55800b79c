"""A scene to be upscaled, the options that were chosen, and the files that will be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.cli._tiles import journal_of

if TYPE_CHECKING:
    from hsisr.cli._adapting import Adaptation
    from hsisr.cli._tiles import Means
    from hsisr.cube import Cube
    from hsisr.model import SrModel
    from hsisr.runtime import Runtime
    from hsisr.scene.survey import Survey
    from hsisr.tiling.assembly import Target
    from hsisr.tiling.journal import Journal, Unkept
    from hsisr.tiling.operations import Operation


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
        """From the scene and the options; `spread` asks for a map of the uncertainty, too."""
        from hsisr.results import export

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
        """The record of the run."""
        from hsisr.results.export import beside

        return beside(self.path, ".run.json")

    @property
    def picture(self) -> Path:
        """The quicklook."""
        from hsisr.results.export import beside

        return beside(self.path, ".png")

    @property
    def journal(self) -> Path:
        """The folder for what is done of an unfinished run."""
        from hsisr.results.export import beside

        return beside(self.path, ".journal")

    def files(self, quicklook: bool) -> list[Path]:
        """All of them, the largest first."""
        from hsisr.results.export import outputs_of

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
        from hsisr.tiling.assembly import Target

        spec = self.cube.spec.upscaled(self.model.scale)
        cubes = [(self.results.path, spec)]
        if self.results.uncertainty is not None:
            told = "standard deviation over 8 flips and rotations, root mean square over the bands"
            spread = spec.with_bands(["uncertainty"], description=told)
            cubes.append((self.results.uncertainty, spread))
        return Target(cubes, self.results.format)

    def operations(self, seen: Survey) -> list[Operation]:
        """The model with consistency and averaging around it as asked for, one per device."""
        machines = self.means.machines
        models = [self.model, *(self.model.copied() for _ in machines[1:])]
        return [
            self._operation(model, machine, seen)
            for model, machine in zip(models, machines, strict=True)
        ]

    def _operation(self, model: SrModel, machine: Runtime, seen: Survey) -> Operation:
        from hsisr.tiling.ensemble import Ensemble
        from hsisr.tiling.operations import Consistent

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
        from hsisr.results.provenance import begun

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
        """The journal of this run, see `journal_of`."""
        keeps = self.adaptation is None and not self.dynamic
        return journal_of(self.results.journal, self.begun, self.means, keeps=keeps)
