"""`hsisr upscale`: a sharper scene, tile by tile, with its metadata carried over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hsisr.cube import Block, Cube
    from hsisr.model import SrModel
    from hsisr.run import Seam
    from hsisr.runtime import Runtime
    from hsisr.window import Window


def command(
    scene: shared.Scene,
    scale: Annotated[
        int | None, typer.Option("-s", "--scale", min=2, max=8, help="Default: the model's.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "-m", "--model", help="A run folder, a .safetensors file, or bicubic.",
            rich_help_panel=shared.MODEL,
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Default: SCENE_xN beside the scene.", rich_help_panel=shared.OUTPUT),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option("-f", "--format", help="envi, tiff, mat5, hdf5 or npy. Default: the input's.", rich_help_panel=shared.OUTPUT),
    ] = None,
    attention: Annotated[
        str,
        typer.Option(
            help="surveyed: fixed for the scene, tiles are exact; dynamic: of every tile by "
            "itself, tiles are blended.", rich_help_panel=shared.MODEL,
        ),
    ] = "surveyed",
    var: shared.Var = None,
    axes: shared.Axes = None,
    quicklook: shared.Quicklook = True,
    dry_run: shared.DryRun = False,
    tile: shared.Tile = 64,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    threads: shared.Threads = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Sharpen a scene 2 to 8 times; bands, wavelengths, units and map corners stay as they are.

    Example: hsisr upscale scene.hdr --scale 4 --model runs/scene
    """
    from hsisr import export, runtime
    from hsisr.errors import ModelError, UsageError
    from hsisr.model import load_sr

    if attention not in ("surveyed", "dynamic"):
        raise UsageError(f"no attention '{attention}'", hint="surveyed or dynamic")
    if not model:
        raise ModelError("no --model given", hint="--model RUN, or --model bicubic")
    with shared.open_scene(scene, var, axes) as cube:
        runtime.limit_threads(threads)
        machine = runtime.choose(device, precision)
        chosen = load_sr(model, scale)
        chosen.require_fit(cube.spec)
        written = export.format_of(cube, format_name, output)
        tag = f"x{chosen.scale}"
        target = output or export.beside(scene, tag, written, cube)
        spec = cube.spec.upscaled(chosen.scale)
        shared.say(f"device     {machine.description}")
        shared.say(f"model      {chosen.name}, x{chosen.scale}")
        shared.say(f"output     {target}  {export.size_in_words(spec)}")
        files = export.outputs_of(target, written)
        extras = [target.with_suffix(".run.json"), *([target.with_suffix(".png")] if quicklook else [])]
        export.require_writable(cube, [*files, *extras], spec.nbytes, overwrite=overwrite)
        if dry_run:
            shared.say("nothing written (--dry-run)")
            return
        outcome = _upscale(cube, chosen, machine, target, written, tile, attention == "dynamic")
    _finish(target, outcome, quicklook)


def _upscale(
    cube: Cube,
    model: SrModel,
    machine: Runtime,
    target: Path,
    format_name: str,
    tile: int,
    dynamic: bool,
) -> dict[str, Any]:
    """Survey the scene, run the tiles, write them; returns the record of the run."""
    from hsisr.export import write_windows
    from hsisr.provenance import describe
    from hsisr.run import Seam, survey

    started = time.monotonic()
    spec = cube.spec.upscaled(model.scale)
    operation = model.operation(survey(cube), machine, dynamic=dynamic)
    seam = Seam()
    windows = _windows(cube, operation, seam, machine, tile)
    pixels, clipped = spec.rows * spec.cols, 0
    with shared.stoppable() as check:
        written = write_windows(target, spec, format_name, windows)
        sized = ((window.height * window.width, clipped) for window, clipped in written)
        for _, clipped in shared.progress(_running(sized), pixels, "upscaling", done=lambda d: d[0]):
            check()
    outcome = {
        "output": target.name,
        "scale": model.scale,
        "seconds": round(time.monotonic() - started, 2),
        "tile": tile,
        "reach": operation.reach,
        "clipped_samples": clipped,
        "seam": {"worst": seam.worst, "rms": seam.rms} if operation.reach is None else None,
    }
    return describe("upscale", cube, machine, model.checkpoint, outcome)


def _running(steps: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same with the pixels summed up."""
    total = 0
    for pixels, clipped in steps:
        total += pixels
        yield total, clipped


def _windows(
    cube: Cube, operation: Any, seam: Seam, machine: Runtime, tile: int
) -> Iterator[tuple[Window, Block]]:
    from hsisr.run import run, run_blended, survey

    seen = survey(cube)
    if operation.reach is None:
        overlap = min(16, tile // 2)
        return run_blended(cube, operation, seen, seam, tile=tile, overlap=overlap, runtime=machine)
    return run(cube, operation, seen, tile=tile, runtime=machine)


def _finish(target: Path, outcome: dict[str, Any], quicklook: bool) -> None:
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.picture import overview, rgb_bands, stretched, write_png

    write_json(target.with_suffix(".run.json"), outcome)
    if quicklook:
        with open_cube(target) as cube:
            picture = stretched(overview(cube, rgb_bands(cube.spec)))
        write_png(target.with_suffix(".png"), picture)
    shared.say(f"wrote {target} in {shared.duration(outcome['seconds'])}")
    if outcome["clipped_samples"]:
        shared.say(f"note: {outcome['clipped_samples']:,} samples were clipped to the data type")
    if outcome["seam"] is not None:
        shared.say(
            f"note: tiles see only themselves; where they overlap they differ by "
            f"{outcome['seam']['rms']:.4g} (rms), {outcome['seam']['worst']:.4g} at worst"
        )
    shared.say(f"Next: open {target} in QGIS or ENVI, or: hsisr info {target}")
