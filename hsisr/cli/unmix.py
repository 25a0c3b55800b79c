"""`hsisr unmix`: what a scene is made of, pixel by pixel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from hsisr.cube import Cube
    from hsisr.model import UnmixModel
    from hsisr.runtime import Runtime


def command(
    scene: shared.Scene,
    model: Annotated[
        str,
        typer.Option(
            "-m", "--model", help="A run folder or a .safetensors file.", rich_help_panel=shared.MODEL
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Stem of the results; default: the scene's name.",
            rich_help_panel=shared.OUTPUT,
        ),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option("-f", "--format", help="envi or tiff. Default: the input's.", rich_help_panel=shared.OUTPUT),
    ] = None,
    var: shared.Var = None,
    axes: shared.Axes = None,
    quicklook: shared.Quicklook = True,
    dry_run: shared.DryRun = False,
    tile: shared.Tile = 128,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    threads: shared.Threads = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Write abundance maps, endmember spectra and the map of the reconstruction error.

    Example: hsisr unmix scene.hdr --model runs/scene
    """
    from hsisr import export, runtime
    from hsisr.model import load_unmix

    with shared.open_scene(scene, var, axes) as cube:
        runtime.limit_threads(threads)
        machine = runtime.choose(device, precision)
        chosen = load_unmix(model)
        chosen.require_fit(cube.spec)
        results = _Results(cube, output, format_name, scene)
        spec = cube.spec.with_bands(export.endmember_names(chosen.checkpoint.card.endmembers))
        shared.say(f"device     {machine.description}")
        shared.say(f"model      {chosen.name}, {spec.bands} endmembers")
        shared.say(f"output     {results.abundance}  {export.size_in_words(spec)}")
        export.require_writable(
            cube, results.files(quicklook), 2 * spec.nbytes, overwrite=overwrite
        )
        if dry_run:
            shared.say("nothing written (--dry-run)")
            return
        outcome = _unmix(cube, chosen, machine, results, tile)
    _finish(results, chosen, outcome, quicklook)


class _Results:
    """The names of everything that is written."""

    def __init__(
        self, cube: Cube, output: Path | None, format_name: str | None, scene: Path
    ) -> None:
        from hsisr import export

        native = cube.format if cube.format in ("envi", "tiff") else "envi"
        self.format = export.format_of(cube, format_name or native, None)
        suffix = {"envi": ".img", "tiff": ".tif"}.get(self.format, ".img")
        stem = output or export.beside(scene, "", self.format, cube)
        base = stem.with_suffix("") if stem.suffix else stem
        name = base.name.rstrip("_")
        self.abundance = base.with_name(f"{name}_abundance{suffix}")
        self.error = base.with_name(f"{name}_rmse{suffix}")
        self.endmembers = base.with_name(f"{name}_endmembers")
        self.picture = base.with_name(f"{name}_abundance.png")
        self.record = base.with_name(f"{name}_abundance.run.json")

    def files(self, quicklook: bool) -> list[Path]:
        from hsisr import export

        cubes = [
            path
            for cube in (self.abundance, self.error)
            for path in export.outputs_of(cube, self.format)
        ]
        library = [self.endmembers.with_suffix(suffix) for suffix in (".sli", ".hdr", ".csv")]
        return [*cubes, *library, self.record, *([self.picture] if quicklook else [])]


def _unmix(
    cube: Cube, model: UnmixModel, machine: Runtime, results: _Results, tile: int
) -> dict[str, Any]:
    """Run the tiles and write both maps; returns the record of the run."""
    import numpy as np

    from hsisr.export import endmember_names
    from hsisr.formats import create_cube
    from hsisr.provenance import describe
    from hsisr.run import run, survey

    started = time.monotonic()
    seen = survey(cube)
    operation = model.operation(seen, machine)
    count = model.checkpoint.card.endmembers
    names = endmember_names(count)
    abundance = cube.spec.with_bands(names, description="abundances, summing to one")
    error = cube.spec.with_bands(["rmse"], description="reconstruction error, root mean square")
    total, worst = 0, 0.0
    windows = run(cube, operation, seen, tile=tile, runtime=machine)
    with (
        create_cube(results.abundance, abundance, results.format) as maps,
        create_cube(results.error, error, results.format) as errors,
        shared.stoppable() as check,
    ):
        for window, block in shared.progress(
            windows, cube.spec.rows * cube.spec.cols, "unmixing", done=lambda _: total
        ):
            maps.write(window, block[:count])
            errors.write(window, block[count:])
            total += window.height * window.width
            sums = block[:count].sum(0)
            worst = max(worst, float(np.nanmax(np.abs(sums - 1), initial=0)))
            check()
    outcome = {
        "output": results.abundance.name,
        "endmembers": count,
        "seconds": round(time.monotonic() - started, 2),
        "tile": tile,
        "reach": operation.reach,
        "worst_sum_error": worst,
    }
    return describe("unmix", cube, machine, model.checkpoint, outcome)


def _finish(
    results: _Results, model: UnmixModel, outcome: dict[str, Any], quicklook: bool
) -> None:
    from hsisr.cube import Spectrum
    from hsisr.export import write_endmembers
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.picture import grey, overview, sheet, write_png

    card = model.checkpoint.card
    spectrum = Spectrum(card.wavelengths_nm) if card.wavelengths_nm else None
    spectra = (model.network.endmembers * card.peak).detach().cpu().numpy()
    write_endmembers(results.endmembers, spectra, spectrum)
    write_json(results.record, outcome)
    if quicklook:
        with open_cube(results.abundance) as cube:
            maps = overview(cube, range(cube.spec.bands), longest=512)
        write_png(results.picture, sheet([grey(band, 0, 1) for band in maps], across=4))
    shared.say(f"wrote {results.abundance} in {shared.duration(outcome['seconds'])}")
    shared.say(f"abundances sum to one within {outcome['worst_sum_error']:.1g}")
    shared.say(f"Next: open {results.abundance} in QGIS or ENVI, or: hsisr info {results.abundance}")
