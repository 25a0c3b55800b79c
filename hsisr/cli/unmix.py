"""`hsisr unmix`: what a scene is made of, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _cluster, _scenes
from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli._findings import finish, require_sound, unmixed_before
from hsisr.cli._sharper import Sharper
from hsisr.cli._tiles import Means
from hsisr.cli._unmix_job import Job, Results, inputs_of
from hsisr.cli._unmix_options import ABUNDANCES, AUTO, METHOD, Wanted
from hsisr.cli._unmixing import preview, tell_plan, unmix

if TYPE_CHECKING:
    from hsisr.unmixing.classical import FromLibrary


def command(
    scene: options.Scenes,
    endmembers: Annotated[
        str | None,
        typer.Option(
            "-p",
            "--endmembers",
            metavar="N|auto",
            help="Look for so many materials in the scene, or for as many as it tells.",
            autocompletion=lambda: [AUTO],
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How endmembers are looked for: auto (what suits the scene), edaa, sisal, vca, "
            f"nfindr, atgp or sivm. Default: {METHOD}.",
            autocompletion=options.methods,
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Unmix by the spectra of a library instead: .sli, or a table (.csv).",
        ),
    ] = None,
    class_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of the library's table that tells what a spectrum is a kind of; "
            "abundances are summed up by it. Default: class, if there is one.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="Unmix by a trained model: a run folder or a .safetensors file."
        ),
    ] = None,
    abundances: Annotated[
        str | None,
        typer.Option(
            help="How abundances are computed: fcls (non-negative, summing to one), nnls "
            "(non-negative), scls (summing to one), ls (unconstrained), sclsu (shares, whatever "
            "the shade), sunsal (few of many) or mesma (few of many, one of each class). "
            f"Default: {ABUNDANCES}.",
            autocompletion=options.solvers,
        ),
    ] = None,
    asc: Annotated[
        bool | None,
        typer.Option("--asc/--no-asc", help="Least squares whose abundances sum to one, or not."),
    ] = None,
    anc: Annotated[
        bool | None,
        typer.Option("--anc/--no-anc", help="Least squares that are non-negative, or not."),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(min=0, help="Of sunsal: the weight of the sum of abundances."),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--scale",
            min=2,
            max=8,
            help="Unmix the scene sharpened so many times; the sharper scene is not written.",
        ),
    ] = None,
    sr_model: Annotated[
        str | None,
        typer.Option(
            help="What sharpens the scene, as --model of `hsisr upscale`. Default: the pretrained "
            "one for the scale.",
            autocompletion=options.models,
        ),
    ] = None,
    identify: Annotated[
        Path | None,
        typer.Option(
            metavar="LIBRARY", help="Tell which spectra of a library the endmembers are most like."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="End with exit code 7, the results being written, if endmembers are alike or "
            "hardly occur, or a constraint is violated.",
        ),
    ] = False,
    seed: options.Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="What the names of the results begin with, or a folder for them; of several "
            "scenes, a folder. Default: the scene's name.",
        ),
    ] = None,
    format_name: options.Format = None,
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
    """Tell what scenes are made of.

    By endmembers found in the scene (--endmembers), by a library of spectra (--library) or by a
    trained model (--model). Writes abundance maps, endmember spectra, the errors of the
    reconstruction and the dominant material.

    Example: hsisr unmix scene.hdr --endmembers auto
    """
    from hsisr.formats import ReadOptions

    batch = _scenes.collect(scene, ReadOptions(var, axes), output)
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
    wanted = Wanted(
        model=model,
        endmembers=endmembers,
        library=library,
        class_column=class_column,
        method=method,
        abundances=abundances,
        asc=asc,
        anc=anc,
        sparsity=sparsity,
        seed=seed,
    )
    sharper = Sharper.wanted(scale, sr_model, model)
    chosen, reference = wanted.chosen(), _reference(identify)

    def step(path: Path) -> None:
        with shared.open_scene(path, var, axes, bands=bands, window=window, bbox=bbox) as cube:
            results = Results(cube, chosen, output, format_name, scale or 1)
            job = Job.of(cube, chosen, means, results, reference, sharper)
            made = means.done_before(
                job.expected, results.record, results.journal, job.begun, dry_run=dry_run
            )
            if made is not None:
                _finish_if_needed(job, made, quicklook, strict, dry_run)
                return
            if dry_run:
                preview(job)
                _require_writable(job, batch.files, quicklook)
                return
            _require_writable(job, batch.files, quicklook)
            tell_plan(job)
            if (done := unmix(job)) is not None:
                finish(job, done, quicklook=quicklook, strict=strict)

    batch.work(step)


def _reference(identify: Path | None) -> FromLibrary | None:
    from hsisr.unmixing.classical import FromLibrary

    return None if identify is None else FromLibrary(identify)


def _finish_if_needed(
    job: Job, made: dict[str, Any], quicklook: bool, strict: bool, dry_run: bool
) -> None:
    """Finish an earlier run that was stopped while it checked its maps."""
    if "faults" in made:
        require_sound(made["faults"] if strict else [])
    elif not dry_run:
        finish(job, unmixed_before(job, made), quicklook=quicklook, strict=strict)


def _require_writable(job: Job, batch: Sequence[Path], quicklook: bool) -> None:
    """Raise `OutputError` or `UsageError`; `batch` are the files of all scenes of the command."""
    files, inputs = job.results.files(quicklook), [*batch, *inputs_of(job)]
    job.means.require_writable(files, inputs, job.expected, job.results.journal, job.begun)
