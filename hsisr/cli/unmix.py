"""`hsisr unmix`: what a scene is made of, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _cluster, _scenes
from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli._tiles import Means
from hsisr.cli._unmixing import Job, Results, preview, trained, unmix

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from hsisr.cube import Cube, Spectrum
    from hsisr.model import UnmixModel
    from hsisr.unmixing import BlindUnmixing

_METHOD, _ABUNDANCES = "edaa", "fcls"


def _methods() -> Iterator[str]:
    from hsisr_models.endmembers import SHELF

    return iter(SHELF)


def _solvers() -> Iterator[str]:
    from hsisr_models.abundances import SHELF

    return iter(SHELF)


def command(
    scene: options.Scenes,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="A run folder or a .safetensors file."),
    ] = None,
    endmembers: Annotated[
        int | None,
        typer.Option(
            "-p",
            "--endmembers",
            min=1,
            max=62,
            help="Without a model: how many materials to look for.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"How endmembers are found: edaa or vca. Default: {_METHOD}.",
            autocompletion=_methods,
        ),
    ] = None,
    abundances: Annotated[
        str | None,
        typer.Option(
            help="How abundances are computed: fcls (non-negative, summing to one), nnls "
            "(non-negative), scls (summing to one), sclsu (shares, whatever the shade) or ls. "
            f"Default: {_ABUNDANCES}.",
            autocompletion=_solvers,
        ),
    ] = None,
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

    By a trained model (--model), or from the scene alone (--endmembers). Writes
    abundance maps, endmember spectra and the map of the reconstruction error.

    Example: hsisr unmix scene.hdr --endmembers 4
    """
    from hsisr import export
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
    chosen = _chosen(model, endmembers, method, abundances, seed)

    def step(path: Path) -> None:
        with shared.open_scene(path, var, axes, bands=bands, window=window, bbox=bbox) as cube:
            chosen.require_fit(cube.spec)
            results = Results(cube, output, format_name)
            job = Job(cube, chosen, means, results)
            spec = job.target.cubes[0][1]
            if means.done_before(job.target, results.record, job.begun):
                return
            model_file = [found.path] if (found := trained(chosen)) else []
            inputs = [*cube.files, *batch.files, *model_file]
            files = results.files(quicklook)
            export.require_writable(files, inputs, 2 * spec.nbytes, overwrite=overwrite)
            shared.say(f"device     {means.machine.description}")
            shared.say(f"model      {chosen.name}, {spec.bands} endmembers")
            shared.say(f"output     {results.abundance}  {export.size_in_words(spec)}")
            if dry_run:
                preview(job)
                return
            done = unmix(job)
            if done is not None:
                _finish(results, *done, _spectrum(cube, chosen), quicklook)

    batch.work(step)


def _chosen(
    model: str | None,
    endmembers: int | None,
    method: str | None,
    abundances: str | None,
    seed: int,
) -> UnmixModel | BlindUnmixing:
    """What is asked for; raises `UsageError` where that contradicts itself."""
    from hsisr.errors import UsageError
    from hsisr.model import load_unmix
    from hsisr.unmixing import BlindUnmixing

    if model is None and endmembers is None:
        raise UsageError("neither --model nor --endmembers given", hint="--endmembers 4")
    if model is None:
        assert endmembers is not None
        return BlindUnmixing(endmembers, method or _METHOD, abundances or _ABUNDANCES, seed)
    if endmembers or method or abundances:
        raise UsageError(
            "a model has endmembers and abundances of its own",
            hint="leave out --model, or --endmembers, --method and --abundances",
        )
    return load_unmix(model)


def _spectrum(cube: Cube, chosen: UnmixModel | BlindUnmixing) -> Spectrum | None:
    """Where the bands lie: as the scene tells, or else the model."""
    from hsisr.cube import Spectrum

    found = trained(chosen)
    if cube.spec.spectrum is None and found and found.card.wavelengths_nm:
        return Spectrum(found.card.wavelengths_nm)
    return cube.spec.spectrum


def _finish(
    results: Results,
    spectra: NDArray[float32],
    outcome: dict[str, Any],
    spectrum: Spectrum | None,
    quicklook: bool,
) -> None:
    """Write what goes with the maps, and tell."""
    from hsisr.export import write_endmembers
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.picture import grey, overview, sheet, write_png

    write_endmembers(results.endmembers, spectra, spectrum)
    write_json(results.record, outcome)
    if quicklook:
        with open_cube(results.abundance) as cube:
            maps = overview(cube, range(cube.spec.bands), longest=512)
        write_png(results.picture, sheet([grey(band, 0, 1) for band in maps], across=4))
    shared.say(f"wrote {results.abundance} in {shared.duration(outcome['seconds'])}")
    shared.say(
        f"abundances sum to one within {outcome['worst_sum_error']:.1g}, "
        f"the lowest is {outcome['most_negative_abundance']:.2g}"
    )
    for number in outcome["dead_endmembers"]:
        share = outcome["mean_abundances"][number - 1]
        shared.warn(
            f"the scene holds next to nothing of endmember {number} ({share:.1%}); "
            "try one endmember less"
        )
    shared.say(
        f"Next: open {results.abundance} in QGIS or ENVI, or: hsisr info {results.abundance}"
    )
