"""`hsisr calibrate`: the bicubic row of a published protocol, here and as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _trials as trials
from hsisr.errors import UsageError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.data.protocol import Dataset
    from hsisr.runtime import Runtime

_NONE = "no bicubic row is published with these measures"


def command(
    protocol: Annotated[
        str,
        typer.Option(
            help="One that comes with hsisr, or a .toml file.",
            autocompletion=options.published_protocols,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(help="The folder of its scenes; where it has one scene, its file will do."),
    ],
    scale: Annotated[
        str | None,
        typer.Option("-s", "--scale", metavar="N,...", help="Default: all of the protocol's."),
    ] = None,
    json: options.Json = False,
    threads: options.Threads = None,
) -> None:
    """Score bicubic interpolation on a protocol's test images, beside its published row.

    Where the two agree, scenes, crops, degradation and measures are those of the publication, and
    the scores of networks can be compared with it.

    Example: hsisr calibrate --protocol chikusei --data data/chikusei --scale 4
    """
    from hsisr import runtime
    from hsisr.data import protocol as protocols

    chosen = protocols.load(protocol)
    if chosen.plan is None:
        raise UsageError(
            f"protocol {protocol} is for any scenes: there is no published row to compare with",
            hint="hsisr evaluate RUN tells the bicubic row of a run",
        )
    scales = chosen.scales if scale is None else trials.scales(scale)
    found = [dataset for n in scales for dataset in protocols.datasets(chosen, data, n)]
    runtime.limit_threads(threads)
    machine = runtime.choose("cpu", "fp32")
    rows = [_calibrated(dataset, machine) for dataset in found]
    if json:
        about = {"protocol": chosen.name, "title": chosen.title, "source": chosen.source}
        told = [row.record() for row in rows]
        shared.print_json(
            {"schema": "hsisr/calibrate/1", **about, "data": str(data), "scales": told}
        )
        return
    for row in rows:
        shared.print_lines(row.lines())


@dataclass(frozen=True)
class _Row:
    """The bicubic row of a data set at one scale."""

    dataset: Dataset
    images: int
    peak: float
    peak_is: str
    measured: Mapping[str, float]

    @property
    def published(self) -> Mapping[str, float]:
        from hsisr.bench.calibration import BICUBIC

        return self.dataset.protocol.published.get(self.dataset.scale, {}).get(BICUBIC, {})

    @property
    def difference(self) -> dict[str, float]:
        """Measured minus published, for the measures that were published."""
        known = self.measured.items()
        return {key: value - self.published[key] for key, value in known if key in self.published}

    def notes(self) -> list[str]:
        from hsisr.evaluate import definitions

        protocol, scale = self.dataset.protocol, self.dataset.scale
        peak = f"{self.peak:g}, {self.peak_is}"
        return [
            f"{counted(self.images, 'test image')}, degraded x{scale} by {protocol.operator}",
            *definitions(peak=peak, ratio=scale, preset=protocol.metrics),
            f"published by {protocol.source}" if self.difference else _NONE,
        ]

    def record(self) -> dict[str, Any]:
        """The row as an object of the printed JSON."""
        return {
            "scale": self.dataset.scale,
            "images": self.images,
            "degradation": self.dataset.protocol.operator,
            "metrics": self.dataset.protocol.metrics,
            "peak": self.peak,
            "measured": dict(self.measured),
            "published": dict(self.published),
            "difference": self.difference,
            "definitions": self.notes(),
        }

    def lines(self) -> list[str]:
        """The row as a table."""
        from hsisr_models.metrics import SHELF

        metrics = [SHELF[key] for key in self.measured]
        units = [" ".join(filter(None, (metric.LABEL, metric.UNIT))) for metric in metrics]
        title = f"{self.dataset.protocol.name} x{self.dataset.scale}"
        rows = [self._cells("bicubic, here", self.measured, ".4f")]
        if self.difference:
            rows.append(self._cells("bicubic, published", self.published, ".4f"))
            rows.append(self._cells("difference", self.difference, "+.4f"))
        table = shared.table([title, *units], rows)
        return [*table, *(f"  {note}" for note in self.notes()), ""]

    def _cells(self, name: str, values: Mapping[str, float], form: str) -> list[str]:
        told = (format(values[key], form) if key in values else "-" for key in self.measured)
        return [name, *told]


def _calibrated(dataset: Dataset, machine: Runtime) -> _Row:
    from hsisr.bench.calibration import bicubic_scores
    from hsisr.evaluate import average

    label = f"{dataset.name} x{dataset.scale}"
    with shared.stoppable() as stopper:
        peak = dataset.peak()
        scores = stopper.heeded(bicubic_scores(dataset, peak, machine))
        done = list(shared.progress(scores, dataset.images, label))
    values = average(label, done).values
    return _Row(dataset, len(done), peak.value(), peak.told, values)
