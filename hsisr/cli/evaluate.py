"""`hsisr evaluate`: models and files scored against a truth, beside bicubic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import CheckError, InputError, UsageError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.bench.scoring import Strips, Terms
    from hsisr.cube import Cube
    from hsisr.evaluate import Row
    from hsisr.model import SrModel

_TILE = 128
"""Side of a tile where none is asked for."""


def command(
    truth: Annotated[
        Path, typer.Argument(help="A scene, or a run folder: its untouched test blocks.")
    ],
    estimates: Annotated[
        list[Path] | None, typer.Argument(help="Files to score against the truth.")
    ] = None,
    scale: options.Scale = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="auto, a name of `hsisr models list`, a run folder or a .safetensors file, by "
            "which the degraded truth is upscaled. Repeatable.",
            autocompletion=options.models,
        ),
    ] = None,
    degradation: options.Degradation = None,
    metrics: options.Metrics = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="MEASURE=VALUE",
            help="Exit 7 if any row but bicubic is worse, e.g. psnr=38 or sam=2. Repeatable.",
        ),
    ] = None,
    json: options.Json = False,
    var: options.Var = None,
    axes: options.Axes = None,
    tile: options.Tile = None,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
) -> None:
    """Score models and files against a truth, beside bicubic.

    The truth is degraded, upscaled by each model, and compared with itself.

    Example: hsisr evaluate runs/scene --model runs/scene
    """
    from hsisr import evaluate, runtime
    from hsisr.bench.scoring import Terms, seen
    from hsisr.model import load_alike
    from hsisr.scene.degraded import known_operator

    runtime.limit_threads(threads)
    machine = runtime.choose(device, precision)
    with _opened(truth, var, axes) as known:
        metrics = metrics or known.settled_metrics()
        measures = list(evaluate.known_preset(metrics).measures)
        bounds = [_Bound.parsed(text, measures) for text in fail_under or ()]
        if bounds and not (model or estimates):
            raise UsageError("--fail-under has no row to ask", hint="add --model, or an estimate")
        reference, *models = load_alike(["bicubic", *(model or ())], scale or known.scale)
        ratio = reference.scale
        operator = known_operator(degradation or known.degradation)
        terms = Terms(ratio, operator, known.peak, metrics, machine, tile or _TILE)
        rows = [_row(known, chosen, terms) for chosen in (reference, *models)]
        rows += [_file_row(known, path, terms, var, axes) for path in estimates or ()]
    peak = f"{known.peak:g}, {known.peak_is}"
    notes = [
        f"{counted(len(known.images), 'image')} of {truth}, degraded x{ratio} by {operator}",
        *evaluate.definitions(peak=peak, ratio=ratio, preset=metrics),
        *(line for each in models for line in seen(each, known.manifest)),
    ]
    if json:
        shared.print_json(
            {
                "schema": "hsisr/evaluate/1",
                "truth": str(truth),
                "scale": ratio,
                "degradation": operator,
                "metrics": metrics,
                "peak": known.peak,
                "models": [_identity(chosen) for chosen in models],
                "rows": [{"name": row.name, **row.values} for row in rows],
                "definitions": notes,
            }
        )
    else:
        shared.print_lines([*_table(rows), *(f"  {note}" for note in notes)])
    for bound in bounds:
        bound.require(rows[1:])


_UNLIKELY = 10.0
"""Times as large as the truth, or as small, is no estimate of it."""


@dataclass(frozen=True)
class _Truth:
    """The images to score against, and how they were prepared."""

    images: Sequence[Cube]
    peak: float
    peak_is: str
    manifest: Mapping[str, Any]
    """Of the run, or what is known of one for a scene."""
    scale: int | None = None
    degradation: str = "bicubic"
    protocol: str | None = None
    metrics: str | None = None
    """The preset that the protocol is scored by."""

    def settled_metrics(self) -> str:
        """The preset where none is asked for; notes if it is the protocol's."""
        from hsisr.evaluate import DEFAULT

        if self.metrics is None:
            return DEFAULT
        shared.note(f"metrics {self.metrics}, as protocol {self.protocol} says")
        return self.metrics


@contextmanager
def _opened(path: Path, var: str | None, axes: str | None) -> Iterator[_Truth]:
    """The test blocks of a run folder, or a scene as a whole."""
    from hsisr.cube import ArrayCube
    from hsisr.data.patches import describe, open_patches
    from hsisr.evaluate import largest

    if path.is_dir():
        patches = open_patches(path)
        blocks = [high for _, high in patches.blocks("test")]
        images = [ArrayCube(block, path, patches.spectrum) for block in blocks]
        about = patches.manifest
        yield _Truth(
            images,
            patches.peak,
            about["peak_is"],
            about,
            patches.scale,
            about["degradation"],
            about.get("protocol"),
            about.get("metrics"),
        )
        return
    with shared.open_scene(path, var, axes) as cube:
        about = {"scenes": [describe(cube)]}
        yield _Truth([cube], largest(cube), "the largest value of the truth", about)


def _identity(model: SrModel) -> dict[str, str | None]:
    sha256 = None if model.checkpoint is None else model.checkpoint.sha256
    return {"name": model.name, "sha256": sha256}


def _row(truth: _Truth, model: SrModel, terms: Terms) -> Row:
    from hsisr.bench.scoring import score
    from hsisr.evaluate import average

    def shown(strips: Strips, rows: int) -> Strips:
        return shared.progress(strips, rows, model.name, done=lambda strip: strip[0].row_stop)

    scale = terms.scale
    scores = [
        score(image, model, terms, partial(shown, rows=image.spec.rows // scale * scale))
        for image in truth.images
    ]
    return average(model.name, scores)


def _file_row(truth: _Truth, path: Path, terms: Terms, var: str | None, axes: str | None) -> Row:
    from hsisr.evaluate import average, measure, strips_of

    if len(truth.images) > 1:
        raise UsageError("files can be scored against a scene, not against the blocks of a run")
    image = truth.images[0]
    with shared.open_scene(path, var, axes) as cube:
        if cube.spec.bands != image.spec.bands:
            raise InputError(
                f"has {counted(cube.spec.bands, 'band')}, the truth has {image.spec.bands}",
                where=path,
            )
        peaks: list[float] = []
        strips = _watched(strips_of(cube, image.spec.rows, image.spec.cols), peaks)
        score = measure(image, strips, peak=terms.peak, ratio=terms.scale, preset=terms.metrics)
    factor = max(peaks) / terms.peak
    if math.isfinite(factor) and not 1 / _UNLIKELY < factor < _UNLIKELY:
        shared.warn(
            f"the largest value of {path} is {factor:.3g} times that of the truth; "
            "are both in the same unit?"
        )
    return average(str(path), [score])


def _watched(strips: Strips, peaks: list[float]) -> Strips:
    """Pass strips on, and gather the largest value of each."""
    import numpy as np

    for window, block in strips:
        peaks.append(float(np.nanmax(block, initial=-np.inf)))
        yield window, block


def _table(rows: list[Row]) -> list[str]:
    from hsisr_models.metrics import SHELF

    metrics = [SHELF[name] for name in rows[0].values]
    headings = [" ".join(filter(None, (metric.LABEL, metric.UNIT))) for metric in metrics]
    cells = [[row.name, *map(_cell, row.values.values())] for row in rows]
    return shared.table(["", *headings], cells)


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


@dataclass(frozen=True)
class _Bound:
    """A condition of --fail-under: the worst value of a measure that passes."""

    measure: str
    value: float

    @classmethod
    def parsed(cls, text: str, measures: Sequence[str]) -> _Bound:
        """Raises `UsageError` if it is no condition on one of the `measures`."""
        name, _, value = text.partition("=")
        try:
            bound = cls(name, float(value))
        except ValueError:
            bound = cls("", 0)
        if bound.measure not in measures or math.isnan(bound.value):
            hint = f"MEASURE=VALUE, with one of {', '.join(measures)}"
            raise UsageError(f"--fail-under '{text}' is no condition", hint=hint)
        return bound

    def require(self, rows: Sequence[Row]) -> None:
        """Raise `CheckError` where a row is worse, or not a number."""
        from hsisr_models.metrics import SHELF

        higher = SHELF[self.measure].HIGHER_IS_BETTER
        for row in rows:
            found = row.values[self.measure]
            if not (found >= self.value if higher else found <= self.value):
                raise CheckError(
                    f"{row.name}: {self.measure} is {found:.4f}, {self.value:g} was asked for"
                )
