"""`hsisr upscale`: a sharper scene, tile by tile, with its metadata carried over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hsisr.cube import Block, Cube
    from hsisr.model import SrModel
    from hsisr.run import Operation, Seam, Survey
    from hsisr.runtime import Runtime
    from hsisr.window import Window

_ATTENTION = ("surveyed", "dynamic")
_OVERLAP = 16
"""Of tiles that are blended, in input pixels."""


def command(
    scene: options.Scene,
    scale: options.Scale = None,
    model: Annotated[
        str,
        typer.Option("-m", "--model", help="A run folder, a .safetensors file, or bicubic."),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File or folder. Default: SCENE_xN beside the scene."),
    ] = None,
    format_name: options.Format = None,
    attention: Annotated[
        str,
        typer.Option(
            help="surveyed: fixed for the scene, tiles are exact; dynamic: of every tile by "
            "itself, tiles are blended.",
            autocompletion=lambda: list(_ATTENTION),
        ),
    ] = "surveyed",
    var: options.Var = None,
    axes: options.Axes = None,
    quicklook: options.Quicklook = True,
    dry_run: options.DryRun = False,
    tile: options.Tile = 64,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Sharpen a scene 2 to 8 times.

    Bands, wavelengths, units, data type and map corners stay as they are.

    Example: hsisr upscale scene.hdr --scale 4 --model runs/scene
    """
    from hsisr import export, runtime
    from hsisr.model import load_sr

    if attention not in _ATTENTION:
        raise UsageError(f"no attention '{attention}'", hint="surveyed or dynamic")
    if not model:
        raise ModelError("no --model given", hint="--model RUN, or --model bicubic")
    with shared.open_scene(scene, var, axes) as cube:
        runtime.limit_threads(threads)
        machine = runtime.choose(device, precision)
        chosen = load_sr(model, scale)
        chosen.require_fit(cube.spec)
        result = _Result.named(cube, output, format_name, chosen.scale)
        spec = cube.spec.upscaled(chosen.scale)
        inputs = [*cube.files, *([chosen.checkpoint.path] if chosen.checkpoint else [])]
        export.require_writable(result.files(quicklook), inputs, spec.nbytes, overwrite=overwrite)
        shared.say(f"device     {machine.description}")
        shared.say(f"model      {chosen.name}, x{chosen.scale}")
        shared.say(f"output     {result.path}  {export.size_in_words(spec)}")
        if dry_run:
            shared.say("nothing written (--dry-run)")
            return
        outcome = _upscale(cube, chosen, machine, result, tile, attention == "dynamic")
    _finish(result, outcome, quicklook)


@dataclass(frozen=True)
class _Result:
    """The names of everything that is written."""

    path: Path
    format: str

    @classmethod
    def named(cls, cube: Cube, output: Path | None, format_name: str | None, scale: int) -> _Result:
        from hsisr import export

        written = export.format_of(cube, format_name, output)
        if output is not None and not output.is_dir():
            return cls(export.outputs_of(output, written)[0], written)
        like = cube.files[0] if written == cube.format else None
        stem = export.stem_of(cube, output)
        return cls(export.tagged(stem, f"x{scale}", written, like), written)

    @property
    def record(self) -> Path:
        from hsisr.export import beside

        return beside(self.path, ".run.json")

    @property
    def picture(self) -> Path:
        from hsisr.export import beside

        return beside(self.path, ".png")

    def files(self, quicklook: bool) -> list[Path]:
        from hsisr.export import outputs_of

        extras = [self.record, self.picture] if quicklook else [self.record]
        return [*outputs_of(self.path, self.format), *extras]


def _upscale(
    cube: Cube, model: SrModel, machine: Runtime, result: _Result, tile: int, dynamic: bool
) -> dict[str, Any]:
    """Survey the scene, run the tiles, write them; returns the record of the run."""
    from hsisr.export import write_windows
    from hsisr.provenance import describe
    from hsisr.run import Seam, survey
    from hsisr.runtime import explained

    started = time.monotonic()
    spec, seam, clipped = cube.spec.upscaled(model.scale), Seam(), 0
    stopping = shared.stoppable(f"nothing was written; again: {shared.again()}")
    with explained("use smaller tiles, e.g. --tile 16"), stopping as stopper:
        seen = survey(cube)
        operation = model.operation(seen, machine, dynamic=dynamic)
        windows = stopper.heeded(_windows(cube, operation, seen, seam, machine, tile))
        written = _running(write_windows(result.path, spec, result.format, windows))
        pixels = spec.rows * spec.cols
        for step in shared.progress(written, pixels, "upscaling", done=lambda step: step[0]):
            _, clipped = step
    outcome = {
        "output": result.path.name,
        "scale": model.scale,
        "seconds": round(time.monotonic() - started, 2),
        "tile": tile,
        "reach": operation.reach,
        "clipped_samples": clipped,
        "seam": {"worst": seam.worst, "rms": seam.rms} if operation.reach is None else None,
    }
    return describe("upscale", cube, machine, model.checkpoint, outcome)


def _running(written: Iterator[tuple[Window, int]]) -> Iterator[tuple[int, int]]:
    """The same with the pixels summed up."""
    pixels = 0
    for window, clipped in written:
        pixels += window.height * window.width
        yield pixels, clipped


def _windows(
    cube: Cube, operation: Operation, seen: Survey, seam: Seam, machine: Runtime, tile: int
) -> Iterator[tuple[Window, Block]]:
    from hsisr.run import run, run_blended

    if operation.reach is None:
        overlap = min(_OVERLAP, tile // 2)
        return run_blended(cube, operation, seen, seam, tile=tile, overlap=overlap, runtime=machine)
    return run(cube, operation, seen, tile=tile, runtime=machine)


def _finish(result: _Result, outcome: dict[str, Any], quicklook: bool) -> None:
    """Write what goes with the scene, and tell."""
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.picture import overview, rgb_bands, stretched, write_png

    write_json(result.record, outcome)
    if quicklook:
        with open_cube(result.path) as cube:
            picture = stretched(overview(cube, rgb_bands(cube.spec)))
        write_png(result.picture, picture)
    shared.say(f"wrote {result.path} in {shared.duration(outcome['seconds'])}")
    if outcome["clipped_samples"]:
        shared.say(f"note: {outcome['clipped_samples']:,} samples were clipped to the data type")
    if outcome["seam"] is not None:
        shared.say(
            f"note: tiles see only themselves; where they overlap they differ by "
            f"{outcome['seam']['rms']:.4g} (rms), {outcome['seam']['worst']:.4g} at worst"
        )
    shared.say(f"Next: open {result.path} in QGIS or ENVI, or: hsisr info {result.path}")
