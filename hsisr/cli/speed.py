"""`hsisr speed`: how fast models are on this machine, against what the machine could do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import require_known
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.cube import Interleave
    from hsisr.speed.rehearsal import Stage
    from hsisr.speed.throughput import Plan, Row

_INTERLEAVES = ("bsq", "bil", "bip")
_FORMATS = ("envi", "tiff")


def command(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="As for `hsisr upscale`, or a network, with made-up weights. Repeatable; others "
            "are compared with the first. Default: auto and unmixing_sr.",
            autocompletion=options.models_and_networks,
        ),
    ] = None,
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, max=8, help="Factor.")] = 4,
    bands: Annotated[int, typer.Option(min=1, help="Of the made-up scene.")] = 128,
    tile: Annotated[int, typer.Option(min=1, help="Side of a tile in input pixels.")] = 64,
    halo: Annotated[
        bool,
        typer.Option(
            "--halo/--no-halo",
            help="Tiles as parts of a scene, or each as a scene of its own, as papers compare.",
        ),
    ] = True,
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="Of the output that is written, e.g. 1G.")
    ] = "100M",
    format_name: Annotated[
        str,
        typer.Option("-f", "--format", help="envi or tiff.", autocompletion=lambda: list(_FORMATS)),
    ] = "envi",
    interleave: Annotated[
        str,
        typer.Option(help="bsq, bil or bip.", autocompletion=lambda: list(_INTERLEAVES)),
    ] = "bsq",
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Also sharpen a scene from file to file.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for these files, which are gone in the end. Default: the system's.",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are shown.")] = 3,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="How long tiles are computed in a round, at least.")
    ] = 1.0,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Measure models side by side, against the convolutions this machine can do.

    Example: hsisr speed --scale 8 --size 1G
    """
    from hsisr import runtime
    from hsisr.runtime import explained
    from hsisr.speed.ceiling import model_of, tile_of
    from hsisr.speed.throughput import Plan, Row, measure

    require_known("interleave", interleave, _INTERLEAVES)
    require_known("format", format_name, _FORMATS)
    chosen, count = runtime.choose(device, precision), runtime.limit_threads(threads)
    plan = Plan(repeats, seconds, chosen, count)
    with explained("a smaller --tile, fewer --threads or --bands"), shared.stoppable() as stopper:
        rows = []
        for name in model or ["auto", "unmixing_sr"]:
            stopper.check()
            found = model_of(name, scale, bands)
            load = tile_of(found, bands, tile, chosen, halo=halo)
            rows.append(Row(found, load, load.operations()))
        stage = _stage(plan, bands, scale, size, format_name, interleave) if files else None
        in_all = f"{counted(count, 'thread')}, {counted(repeats, 'round')}"
        shared.say(f"measuring on {chosen.description}, {in_all}")
        with closing(measure(plan, rows, stage, output)) as steps:
            for _ in stopper.heeded(steps):
                pass
    if json:
        shared.print_json(_facts(plan, rows, stage, scale, bands, tile))
    else:
        shared.print_lines(_words(rows, stage))


def _stage(
    plan: Plan, bands: int, scale: int, size: str, format_name: str, interleave: str
) -> Stage:
    from hsisr.speed.rehearsal import Stage
    from hsisr.tiling.sizing import parse_size

    spec = Stage.scene(parse_size(size), bands, scale, cast("Interleave", interleave))
    return Stage(spec, format_name, plan.runtime, plan.threads)


def _facts(
    plan: Plan, rows: list[Row], stage: Stage | None, scale: int, bands: int, tile: int
) -> dict[str, Any]:
    first = rows[0].pixels_per_second
    return {
        "schema": "hsisr/speed/1",
        "device": plan.runtime.description,
        "threads": plan.threads,
        "scale": scale,
        "bands": bands,
        "tile": tile,
        "rounds": plan.repeats,
        "ceiling_flops": _ceiling(rows),
        "models": [
            {
                "model": row.model.name,
                "halo": row.load.kept.row,
                "output_pixels_per_second": row.pixels_per_second,
                "relative_to_first": row.pixels_per_second / first,
                "flop_per_output_pixel": row.operations / row.load.pixels,
                "share_of_ceiling": row.share,
                "files": _file_facts(row, stage) if stage and row.runs else None,
            }
            for row in rows
        ],
    }


def _file_facts(row: Row, stage: Stage) -> dict[str, Any]:
    run = row.middle
    return {
        "format": stage.format,
        "interleave": run.output.interleave,
        "output_bytes": run.output.nbytes,
        "output_pixels": run.pixels,
        "tile": run.tile,
        "seconds": run.seconds,
        "output_pixels_per_second": run.pixels / run.seconds,
        "share_of_ceiling": row.run_share,
        "compute_seconds": run.compute_seconds,
        "statistics_over_compute": row.statistics,
        "io_over_compute": row.io,
        "peak_bytes": row.runs[0].peak_bytes,
    }


def _words(rows: list[Row], stage: Stage | None) -> list[str]:
    lines = [f"convolution ceiling {_ceiling(rows) / 1e9:.0f} GFLOP/s", "", *_tiles(rows)]
    if stage is not None:
        lines += ["", *_runs(rows, stage)]
    return lines


def _tiles(rows: list[Row]) -> list[str]:
    first = rows[0].pixels_per_second
    headings = ["tiles", "halo", "pixels/s", "to the first", "MFLOP/pixel", "of the ceiling"]
    cells = [
        [
            row.model.name,
            str(row.load.kept.row),
            f"{row.pixels_per_second:,.0f}",
            f"{row.pixels_per_second / first:.3g}",
            f"{row.operations / row.load.pixels / 1e6:.3g}",
            f"{row.share:.2f}",
        ]
        for row in rows
    ]
    return shared.table(headings, cells)


def _runs(rows: list[Row], stage: Stage) -> list[str]:
    from hsisr.files import human_size

    headings = ["file to file", "tile", "seconds", "pixels/s", "of the ceiling"]
    headings += ["statistics", "files", "memory so far"]
    cells = [
        [
            row.model.name,
            "x".join(map(str, run.tile)),
            f"{run.seconds:.2f}",
            f"{run.pixels / run.seconds:,.0f}",
            f"{row.run_share:.2f}",
            f"{row.statistics:+.1%}",
            f"{row.io:+.1%}",
            human_size(row.runs[0].peak_bytes),
        ]
        for row, run in ((row, row.middle) for row in rows)
    ]
    run = rows[0].middle
    written = f"{stage.format} {run.output.interleave}, {human_size(run.output.nbytes)} of output"
    note = f"{written}; statistics and files: over the time of the tiles alone"
    return [*shared.table(headings, cells), note]


def _ceiling(rows: list[Row]) -> float:
    return median(rows[0].ceilings)
