"""`hsisr upscale`: a sharper scene, tile by tile, with its metadata carried over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _cluster, _scenes
from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli._adapting import Adaptation
from hsisr.cli._tiles import Means
from hsisr.cli._upscale_job import Job, Results
from hsisr.cli._upscaling import checked, preview, tell_plan, upscale
from hsisr.errors import UsageError, require_known
from hsisr.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

_ATTENTION = ("surveyed", "dynamic")
_CONSISTENCY = ("report", "enforce")


def command(
    scene: options.Scenes,
    scale: options.Scale = None,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            help="auto: the pretrained one for the scale; an id of `hsisr models list`; a run "
            "folder; a .safetensors file; or bicubic.",
            autocompletion=options.models,
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File or folder; of several scenes, a folder. Default: SCENE_xN beside the scene.",
        ),
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
    adapt: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="MINUTES",
            help="First fine-tune the model on the scene itself, and use that if it is better.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the adapted model as this .safetensors file."),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Mean over the 8 flips and rotations: better, 8 times slower."),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Write a map of how much the 8 of --tta differ: SCENE_xN_uncertainty.",
        ),
    ] = False,
    consistency: Annotated[
        str,
        typer.Option(
            help="report: tell how far the degraded result is from the scene; enforce: correct it "
            "until it is not.",
            autocompletion=lambda: list(_CONSISTENCY),
        ),
    ] = "report",
    degradation: Annotated[
        str | None,
        typer.Option(
            help="How a coarser sensor would see the scene: bicubic, area or gaussian. "
            "Default: as in the model's training.",
            autocompletion=options.operators,
        ),
    ] = None,
    self_check: Annotated[
        bool,
        typer.Option(
            "--self-check/--no-self-check", help="Compare the model with bicubic on the scene."
        ),
    ] = True,
    bands: options.Bands = None,
    window: options.Part = None,
    bbox: options.Box = None,
    var: options.Var = None,
    axes: options.Axes = None,
    quicklook: options.Quicklook = True,
    dry_run: options.DryRun = False,
    tile: options.Tile = None,
    max_memory: options.MaxMemory = None,
    shard: options.Shard = None,
    dask: options.Dask = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Sharpen scenes 2 to 8 times.

    Bands, wavelengths, units, data type and map corners stay as they are.

    Example: hsisr upscale scene.hdr --scale 4
    """
    from hsisr.formats import ReadOptions
    from hsisr.model import load_sr
    from hsisr.scene.degraded import known_operator

    dynamic, enforce = _chosen(attention, consistency)
    batch = _scenes.collect(scene, ReadOptions(var, axes), output)
    if keep and batch.several:
        raise UsageError("--keep is one file for the models of several scenes", hint="leave it out")
    if dask is not None:
        _cluster.spread(dask, threads, shard)
        return
    means = Means.chosen(
        device=device,
        precision=precision,
        threads=threads,
        memory=max_memory,
        tile=tile,
        shard=shard,
        overwrite=overwrite,
    )
    chosen = load_sr(model, scale)
    if chosen.network.reach is None:
        # no halo makes its tiles the whole
        dynamic, enforce = _chosen("dynamic", consistency)
    operator = known_operator(degradation or chosen.degradation)
    adaptation = _adaptation(adapt, keep, operator)

    def step(path: Path) -> None:
        with shared.open_scene(path, var, axes, bands=bands, window=window, bbox=bbox) as cube:
            chosen.require_fit(cube.spec)
            results = Results.named(cube, output, format_name, chosen.scale, uncertainty)
            job = Job(
                cube=cube,
                model=chosen,
                means=means,
                results=results,
                operator=operator,
                adaptation=adaptation,
                dynamic=dynamic,
                ensemble=tta or uncertainty,
                enforce=enforce,
                self_check=self_check and chosen.checkpoint is not None,
            )
            made = means.done_before(
                job.target, results.record, results.journal, job.begun, dry_run=dry_run
            )
            if made is not None:
                _check_if_needed(job, made, quicklook, dry_run)
                return
            written = [*results.files(quicklook), *([keep] if keep else [])]
            if dry_run:
                preview(job)
                _require_writable(job, written, batch.files)
                return
            _require_writable(job, written, batch.files)
            tell_plan(job)
            if (record := upscale(job)) is not None:
                _finish(job, record, quicklook)

    batch.work(step)


def _require_writable(job: Job, files: Sequence[Path], batch: Sequence[Path]) -> None:
    """Raise `OutputError` or `UsageError`; `batch` are the files of all scenes of the command."""
    trained = [job.model.checkpoint.path] if job.model.checkpoint else []
    inputs = [*job.cube.files, *batch, *trained]
    job.means.require_writable(files, inputs, job.target, job.results.journal, job.begun)


def _chosen(attention: str, consistency: str) -> tuple[bool, bool]:
    """Whether tiles are blended, and whether they are made consistent; raises `UsageError`."""
    require_known("attention", attention, _ATTENTION)
    require_known("consistency", consistency, _CONSISTENCY)
    dynamic, enforce = attention == "dynamic", consistency == "enforce"
    if dynamic and enforce:
        raise UsageError(
            "blended tiles cannot be consistent", hint="--attention surveyed, or without enforce"
        )
    return dynamic, enforce


def _adaptation(minutes: float | None, keep: Path | None, operator: str) -> Adaptation | None:
    if minutes is not None:
        return Adaptation(minutes, operator, keep)
    if keep is not None:
        raise UsageError("--keep has nothing to keep", hint="--adapt MINUTES")
    return None


def _check_if_needed(job: Job, made: dict[str, Any], quicklook: bool, dry_run: bool) -> None:
    """Finish an earlier run that was stopped while it checked its result."""
    if "consistency" not in made and not dry_run:
        _finish(job, made, quicklook)


def _finish(job: Job, record: dict[str, Any], quicklook: bool) -> None:
    """Check the written result, write picture and record, and report."""
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.results.picture import overview, rgb_bands, stretched, write_png

    results = job.results
    record = checked(job, record)
    if quicklook:
        with open_cube(results.path) as cube:
            picture = stretched(overview(cube, rgb_bands(cube.spec)))
        write_png(results.picture, picture)
    write_json(results.record, shared.finite(record))
    shared.say(f"wrote {results.path} in {shared.duration(record['seconds'])}")
    if clipped := record["clipped_samples"]:
        shared.note(f"{counted(clipped, 'sample')} clipped to the data type")
    if record["seam"] is not None:
        shared.note(
            f"tiles see only themselves; where they overlap they differ by "
            f"{record['seam']['rms']:.4g} (rms), {record['seam']['worst']:.4g} at worst"
        )
    shared.say_next(results.path, results.format)
