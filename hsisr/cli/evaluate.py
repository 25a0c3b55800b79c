"""`hsisr evaluate`: models and files scored against a truth, beside bicubic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _shared as shared
from hsisr.errors import CheckError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hsisr.cube import Cube
    from hsisr.evaluate import Row
    from hsisr.model import SrModel
    from hsisr.runtime import Runtime


def command(
    truth: Annotated[
        Path, typer.Argument(help="A scene, or a run folder: its untouched test blocks.")
    ],
    estimates: Annotated[
        list[Path] | None, typer.Argument(help="Files to score against the truth.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("-s", "--scale", min=2, max=8, help="Default: the run's or the model's.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--model", help="A run folder or a .safetensors file; repeatable. The truth is "
            "degraded and upscaled by it.", rich_help_panel=shared.MODEL,
        ),
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(help="bicubic, area or gaussian. Default: the run's, else bicubic.", rich_help_panel=shared.INPUT),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under", metavar="MEASURE=VALUE", help="Exit 7 if any row but bicubic is worse, "
            "e.g. psnr=38 or sam=2.",
        ),
    ] = None,
    json: shared.Json = False,
    var: shared.Var = None,
    axes: shared.Axes = None,
    tile: shared.Tile = 64,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    threads: shared.Threads = None,
) -> None:
    """Degrade a truth, upscale it with each model, and score every row beside bicubic.

    Example: hsisr evaluate runs/scene --model runs/scene
    """
    from hsisr import evaluate, runtime
    from hsisr.model import load_sr

    runtime.limit_threads(threads)
    machine = runtime.choose(device, precision)
    models = [load_sr(name, scale) for name in model or ()]
    images, peak, about = _truth(truth, var, axes)
    ratio = scale or about.get("scale") or (models[0].scale if models else None)
    if ratio is None:
        raise UsageError("no --scale given", hint="--scale 4")
    operator = degradation or about.get("degradation") or "bicubic"
    rows = []
    for chosen in [load_sr("bicubic", ratio), *models]:
        scores = [_score(chosen, image, peak, ratio, operator, machine, tile) for image in images]
        rows.append(evaluate.average(chosen.name, scores))
    for path in estimates or ():
        rows.append(_score_file(path, images, peak, ratio, var, axes))
    notes = [
        f"{len(images)} image(s) of {truth}, degraded x{ratio} by {operator}",
        *evaluate.definitions(peak=f"{peak:g}, {about['peak_is']}", ratio=ratio),
    ]
    if json:
        shared.print_json(
            {
                "schema": "hsisr/evaluate/1",
                "truth": str(truth),
                "scale": ratio,
                "degradation": operator,
                "peak": peak,
                "rows": [{"name": row.name, **row.values} for row in rows],
                "definitions": notes,
            }
        )
    else:
        typer.echo(_table(rows))
        typer.echo("\n".join(f"  {note}" for note in notes))
    _require(rows[1:], fail_under or [])


def _truth(path: Path, var: str | None, axes: str | None) -> tuple[list[Cube], float, dict[str, str]]:
    """The images to score against, their peak, and what is known about them."""
    from hsisr.cube import ArrayCube
    from hsisr.evaluate import largest
    from hsisr.patches import open_patches

    if path.is_dir():
        patches = open_patches(path)
        blocks = [high for _, high in patches.blocks("test")]
        images: list[Cube] = [ArrayCube(block, path, patches.spectrum) for block in blocks]
        return images, patches.peak, dict(patches.manifest)
    cube = shared.open_scene(path, var, axes)
    return [cube], largest(cube), {"peak_is": "the largest value of the truth"}


def _score(
    model: SrModel, truth: Cube, peak: float, ratio: int, operator: str, machine: Runtime, tile: int
) -> dict[str, float]:
    from hsisr.degraded import DegradedCube
    from hsisr.evaluate import measure
    from hsisr.run import gather_strips, run, survey

    if model.scale != ratio:
        raise UsageError(f"{model.name} is for scale {model.scale}, the table for {ratio}")
    low = DegradedCube(truth, ratio, operator)
    model.require_fit(low.spec)
    seen = survey(low)
    operation = model.operation(seen, machine)
    windows = run(low, operation, seen, tile=tile, runtime=machine)
    total = low.spec.rows * low.spec.cols * ratio**2
    strips = gather_strips(windows, low.spec.cols * ratio)
    shown = shared.progress(strips, total, model.name, done=lambda s: s[0].row_stop * s[0].width)
    return measure(truth, shown, peak=peak, ratio=ratio)


def _score_file(
    path: Path, images: list[Cube], peak: float, ratio: int, var: str | None, axes: str | None
) -> Row:
    from hsisr.evaluate import average, measure, strips_of

    if len(images) > 1:
        raise UsageError("files can be scored against a scene, not against the blocks of a run")
    truth = images[0]
    with shared.open_scene(path, var, axes) as cube:
        strips = strips_of(cube, truth.spec.rows, truth.spec.cols)
        return average(str(path), [measure(truth, strips, peak=peak, ratio=ratio)])


def _table(rows: list[Row]) -> str:
    from hsisr.evaluate import COLUMNS
    from hsisr_models.metrics import SHELF

    headings = [" ".join(filter(None, (SHELF[name].LABEL, SHELF[name].UNIT))) for name in COLUMNS]
    return shared.table(
        ["", *headings], [[row.name, *(f"{row.values[name]:.4f}" for name in COLUMNS)] for row in rows]
    )


def _require(rows: list[Row], conditions: list[str]) -> None:
    from hsisr_models.metrics import SHELF

    for condition in conditions:
        name, _, text = condition.partition("=")
        try:
            bound, metric = float(text), SHELF[name]
        except (ValueError, LookupError) as error:
            raise UsageError(
                f"--fail-under '{condition}' is no condition: {error}", hint="psnr=38"
            ) from error
        for row in rows:
            found = row.values[name]
            # a measure that is not a number holds no condition
            if not (found >= bound if metric.HIGHER_IS_BETTER else found <= bound):
                raise CheckError(f"{row.name}: {name} is {found:.4f}, {bound:g} was asked for")
