"""Models measured side by side, in rounds, against what the machine can do in the same round."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from hsisr.files import explained
from hsisr.model import SrModel
from hsisr.runtime import Runtime
from hsisr.speed.ceiling import Load, ceiling, paced
from hsisr.speed.rehearsal import Rehearsal, Stage, rehearse, write_scene

_FOLDER = "hsisr-speed-"


@dataclass
class Row:
    """What was measured of a model, once in each round."""

    model: SrModel
    load: Load
    operations: int
    """Floating-point operations of the convolutions in a tile."""
    ceilings: list[float] = field(default_factory=list)
    """Of the machine, operations per second."""
    rates: list[float] = field(default_factory=list)
    """Tiles per second."""
    runs: list[Rehearsal] = field(default_factory=list)

    @property
    def pixels_per_second(self) -> float:
        """Of the output, on tiles."""
        return median(self.rates) * self.load.pixels

    @property
    def share(self) -> float:
        """Of the ceiling, on tiles."""
        pairs = zip(self.rates, self.ceilings, strict=True)
        return median(rate * self.operations / most for rate, most in pairs)

    @property
    def middle(self) -> Rehearsal:
        """The run of middle length."""
        return sorted(self.runs, key=lambda run: run.seconds)[len(self.runs) // 2]

    @property
    def statistics(self) -> float:
        """As that of a rehearsal, the median."""
        return median(run.statistics for run in self.runs)

    @property
    def io(self) -> float:
        """As that of a rehearsal, the median."""
        return median(run.io for run in self.runs)

    @property
    def run_share(self) -> float:
        """Of the ceiling, from the scene to the output."""
        pairs = zip(self.runs, self.ceilings, strict=True)
        return median(run.operations / run.seconds / most for run, most in pairs)


@dataclass(frozen=True)
class Plan:
    """How often and how long is measured."""

    repeats: int
    seconds: float
    runtime: Runtime
    threads: int


def measure(
    plan: Plan, rows: Sequence[Row], stage: Stage | None, folder: Path | None
) -> Generator[None]:
    """Measure all models in every round; where there is a `stage`, with files in `folder`.

    Files go where the system keeps temporary ones where `folder` is None, and are gone in the end.
    Yields at times; raises `OutputError`.
    """
    with explained(folder or Path("/tmp")), TemporaryDirectory("", _FOLDER, folder) as place:
        scene = None
        if stage is not None:
            scene = yield from write_scene(stage, Path(place), rows[0].model.scale)
        for _ in range(plan.repeats):
            most = yield from ceiling(plan.runtime, plan.threads, plan.seconds)
            for row in rows:
                row.ceilings.append(most)
                if stage is not None and scene is not None:
                    row.runs.append((yield from rehearse(row.model, scene, stage, Path(place))))
                rate = yield from paced(row.load.compute, plan.threads, plan.seconds)
                row.rates.append(rate)
