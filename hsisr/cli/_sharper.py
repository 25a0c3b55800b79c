"""`hsisr unmix --scale`: the scene is sharpened tile by tile and unmixed, but not written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.cli._checks import checking
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hsisr.cube import Cube
    from hsisr.model import SrModel
    from hsisr.runtime import Runtime
    from hsisr.scene.survey import Survey
    from hsisr.tiling.operations import UnmixSharpened
    from hsisr.unmixing.classical import LinearMixture


@dataclass(frozen=True)
class Sharper:
    """The model that sharpens a scene before it is unmixed."""

    model: SrModel

    @classmethod
    def wanted(
        cls, scale: int | None, sr_model: str | None, unmix_model: str | None
    ) -> Sharper | None:
        """From the options as a user writes them, None without them; raises as `load_sr`."""
        from hsisr.checkpoints.zoo import AUTO
        from hsisr.model import load_sr

        if scale is None and sr_model is None:
            return None
        if scale is None:
            raise UsageError("--sr-model without --scale sharpens nothing", hint="--scale 4")
        if unmix_model is not None:
            raise UsageError(
                "--scale: a trained model unmixes the scene as it is",
                hint="--endmembers or --library instead of --model",
            )
        return cls(load_sr(sr_model or AUTO, scale))

    @property
    def record(self) -> dict[str, Any]:
        """What the result depends on, for the record."""
        return {"model": self.model.name, "scale": self.model.scale}

    def operations(
        self, unmixer: LinearMixture, seen: Survey, machines: Sequence[Runtime]
    ) -> list[UnmixSharpened]:
        """Sharpening and unmixing in one, for each device."""
        from hsisr.tiling.operations import UnmixSharpened

        models = [self.model, *(self.model.copied() for _ in machines[1:])]
        return [
            UnmixSharpened(model.operation(seen, machine), unmixer.operation(seen, machine))
            for model, machine in zip(models, machines, strict=True)
        ]

    def consistency(
        self, abundance: Path, cube: Cube, unmixer: LinearMixture, seen: Survey, machine: Runtime
    ) -> dict[str, Any]:
        """Degrade the written abundances, compare them with the scene's own, and report it."""
        from hsisr.tiling.check import abundance_consistency

        with checking(abundance, cube.spec, self.model.scale) as (output, tiles, extent):
            found = abundance_consistency(
                *(tiles, output, cube, unmixer.operation(seen, machine), seen),
                operator=self.model.degradation,
                runtime=machine,
            )
        told = "there are no abundances to compare with those of the scene"
        if not math.isnan(found.worst):
            told = (
                "the abundances differ from those of the scene by "
                f"{found.mean:.2g} on average, {found.worst:.2g} at most"
            )
        shared.say(f"consistency degraded ({self.model.degradation}), {told}{extent}")
        return {"degradation": self.model.degradation, **asdict(found)}
