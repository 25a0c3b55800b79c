"""`hsisr unmix`: what a scene is made of, pixel by pixel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hsisr.cube import Block, Cube, Spectrum
    from hsisr.model import UnmixModel
    from hsisr.runtime import Runtime
    from hsisr.window import Window

_MAPS = ("envi", "tiff")
"""Formats that programs for maps open; scenes in others are unmixed to ENVI."""


def command(
    scene: options.Scene,
    model: Annotated[
        str, typer.Option("-m", "--model", help="A run folder or a .safetensors file.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="What the names of the results begin with, or a folder for them. "
            "Default: the scene's name.",
        ),
    ] = None,
    format_name: options.Format = None,
    var: options.Var = None,
    axes: options.Axes = None,
    quicklook: options.Quicklook = True,
    dry_run: options.DryRun = False,
    tile: options.Tile = 128,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Tell what a scene is made of.

    Writes abundance maps, endmember spectra and the map of the reconstruction error.

    Example: hsisr unmix scene.hdr --model runs/scene
    """
    from hsisr import export, runtime
    from hsisr.model import load_unmix

    with shared.open_scene(scene, var, axes) as cube:
        runtime.limit_threads(threads)
        machine = runtime.choose(device, precision)
        chosen = load_unmix(model)
        chosen.require_fit(cube.spec)
        results = _Results(cube, output, format_name)
        spec = cube.spec.with_bands(export.endmember_names(chosen.checkpoint.card.endmembers))
        inputs = [*cube.files, chosen.checkpoint.path]
        files = results.files(quicklook)
        export.require_writable(files, inputs, 2 * spec.nbytes, overwrite=overwrite)
        shared.say(f"device     {machine.description}")
        shared.say(f"model      {chosen.name}, {spec.bands} endmembers")
        shared.say(f"output     {results.abundance}  {export.size_in_words(spec)}")
        if dry_run:
            shared.say("nothing written (--dry-run)")
            return
        outcome = _unmix(cube, chosen, machine, results, tile)
        _finish(results, chosen, outcome, cube.spec.spectrum, quicklook)


class _Results:
    """The names of everything that is written."""

    def __init__(self, cube: Cube, output: Path | None, format_name: str | None) -> None:
        from hsisr import export

        found = export.format_of(cube, format_name, output)
        self.format = found if format_name or found in _MAPS else _MAPS[0]
        stem = export.stem_of(cube, output)
        self.abundance = export.tagged(stem, "abundance", self.format)
        self.error = export.tagged(stem, "rmse", self.format)
        self.endmembers = stem.with_name(f"{stem.name}_endmembers")
        self.picture = export.beside(self.abundance, ".png")
        self.record = export.beside(self.abundance, ".run.json")

    def files(self, quicklook: bool) -> list[Path]:
        """All of them, the largest first."""
        from hsisr import export

        return [
            *export.outputs_of(self.abundance, self.format),
            *export.outputs_of(self.error, self.format),
            *export.library_files(self.endmembers),
            self.record,
            *([self.picture] if quicklook else []),
        ]


def _unmix(
    cube: Cube, model: UnmixModel, machine: Runtime, results: _Results, tile: int
) -> dict[str, Any]:
    """Run the tiles and write both maps; returns the record of the run."""
    from hsisr.provenance import describe
    from hsisr.run import run, survey
    from hsisr.runtime import explained

    started = time.monotonic()
    count, worst = model.checkpoint.card.endmembers, 0.0
    stopping = shared.stoppable(f"nothing was written; again: {shared.again()}")
    with explained("use smaller tiles, e.g. --tile 32"), stopping as stopper:
        seen = survey(cube)
        operation = model.operation(seen, machine)
        windows = run(cube, operation, seen, tile=tile, runtime=machine)
        blocks = _written(stopper.heeded(windows), cube, count, results)
        pixels = cube.spec.rows * cube.spec.cols
        for _, error in shared.progress(blocks, pixels, "unmixing", done=lambda step: step[0]):
            worst = max(worst, error)
    outcome = {
        "output": results.abundance.name,
        "endmembers": count,
        "seconds": round(time.monotonic() - started, 2),
        "tile": tile,
        "reach": operation.reach,
        "worst_sum_error": worst,
    }
    return describe("unmix", cube, machine, model.checkpoint, outcome)


def _written(
    windows: Iterable[tuple[Window, Block]], cube: Cube, count: int, results: _Results
) -> Iterator[tuple[int, float]]:
    """Write both maps, yielding the pixels done so far and by how much a sum missed one."""
    import numpy as np

    from hsisr.export import endmember_names
    from hsisr.formats import create_cube

    abundance = cube.spec.with_bands(
        endmember_names(count), description="abundances, summing to one"
    )
    error = cube.spec.with_bands(["rmse"], description="reconstruction error, root mean square")
    pixels = 0
    with (
        create_cube(results.abundance, abundance, results.format) as maps,
        create_cube(results.error, error, results.format) as errors,
    ):
        for window, block in windows:
            maps.write(window, block[:count])
            errors.write(window, block[count:])
            pixels += window.height * window.width
            missed = np.abs(block[:count].sum(0) - 1)
            yield pixels, float(np.nanmax(missed, initial=0))


def _finish(
    results: _Results,
    model: UnmixModel,
    outcome: dict[str, Any],
    spectrum: Spectrum | None,
    quicklook: bool,
) -> None:
    """Write what goes with the maps, and tell."""
    from hsisr.cube import Spectrum
    from hsisr.export import write_endmembers
    from hsisr.files import write_json
    from hsisr.formats import open_cube
    from hsisr.picture import grey, overview, sheet, write_png

    card = model.checkpoint.card
    if spectrum is None and card.wavelengths_nm:
        spectrum = Spectrum(card.wavelengths_nm)
    write_endmembers(results.endmembers, model.endmembers, spectrum)
    write_json(results.record, outcome)
    if quicklook:
        with open_cube(results.abundance) as cube:
            maps = overview(cube, range(cube.spec.bands), longest=512)
        write_png(results.picture, sheet([grey(band, 0, 1) for band in maps], across=4))
    shared.say(f"wrote {results.abundance} in {shared.duration(outcome['seconds'])}")
    shared.say(f"abundances sum to one within {outcome['worst_sum_error']:.1g}")
    shared.say(
        f"Next: open {results.abundance} in QGIS or ENVI, or: hsisr info {results.abundance}"
    )
