"""`hsisr unmix`: what a scene is made of, pixel by pixel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _scenes
from hsisr.cli import _shared as shared
from hsisr.cli._tiles import Means, journal_of, produce, sized, surveyed, tell

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from hsisr.assembly import Target
    from hsisr.checkpoint import Checkpoint
    from hsisr.cube import Cube, Spectrum
    from hsisr.journal import Journal, Unkept
    from hsisr.model import UnmixModel
    from hsisr.unmixing import BlindUnmixing, LinearMixture

_MAPS = ("envi", "tiff")
"""Formats that programs for maps open; scenes in others are unmixed to ENVI."""


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
            f"(non-negative), scls (shares, whatever the shade) or ls. Default: {_ABUNDANCES}.",
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
            results = _Results(cube, output, format_name)
            job = _Job(cube, chosen, means, results)
            spec = job.target.cubes[0][1]
            trained = _trained(chosen)
            inputs = [*cube.files, *batch.files, *([trained.path] if trained else [])]
            files = results.files(quicklook)
            export.require_writable(files, inputs, 2 * spec.nbytes, overwrite=overwrite)
            shared.say(f"device     {means.machine.description}")
            shared.say(f"model      {chosen.name}, {spec.bands} endmembers")
            shared.say(f"output     {results.abundance}  {export.size_in_words(spec)}")
            if dry_run:
                shared.say("nothing written (--dry-run)")
                return
            done = _unmix(job)
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


def _trained(chosen: UnmixModel | BlindUnmixing) -> Checkpoint | None:
    from hsisr.model import UnmixModel

    return chosen.checkpoint if isinstance(chosen, UnmixModel) else None


def _spectrum(cube: Cube, chosen: UnmixModel | BlindUnmixing) -> Spectrum | None:
    """Where the bands lie: as the scene tells, or else the model."""
    from hsisr.cube import Spectrum

    trained = _trained(chosen)
    if cube.spec.spectrum is None and trained and trained.card.wavelengths_nm:
        return Spectrum(trained.card.wavelengths_nm)
    return cube.spec.spectrum


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
        self.journal = export.beside(self.abundance, ".journal")

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


@dataclass(frozen=True)
class _Job:
    """A scene to be unmixed, and everything that was chosen for it."""

    cube: Cube
    chosen: UnmixModel | BlindUnmixing
    means: Means
    results: _Results

    @property
    def target(self) -> Target:
        """What is written: the abundances and the error of the reconstruction."""
        from hsisr.assembly import Target
        from hsisr.export import endmember_names

        spec, results = self.cube.spec, self.results
        maps = spec.with_bands(endmember_names(self.chosen.count), description="abundances")
        error = spec.with_bands(["rmse"], description="reconstruction error, root mean square")
        return Target([(results.abundance, maps), (results.error, error)], results.format)

    @property
    def begun(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        from hsisr.provenance import origin

        return {
            **origin(self.cube, self.means.machine, _trained(self.chosen)),
            "command": "unmix",
            "endmembers": self.chosen.count,
            "blind": None if _trained(self.chosen) else asdict(self.chosen),
            "tile": self.means.tile,
            "outputs": [path.name for path, _ in self.target.cubes],
        }


def _unmix(job: _Job) -> tuple[NDArray[float32], dict[str, Any]] | None:
    """Run the tiles and write both maps; returns the endmembers and the record of the run.

    None where other shares are still at work.
    """
    from hsisr.engine import Engine
    from hsisr.export import library_files
    from hsisr.provenance import describe
    from hsisr.runtime import explained
    from hsisr.survey import survey

    started = time.monotonic()
    cube, means = job.cube, job.means
    with (
        explained("allow more, or use less: --max-memory, --tile, --threads"),
        shared.stoppable(f"what is done is kept; go on with: {shared.again()}") as stopper,
        journal_of(job.results.journal, job.begun, means, keeps=True) as journal,
    ):
        seen = surveyed(journal, lambda: survey(cube))
        unmixer = _fitted(job.chosen, cube, journal)
        operations = [unmixer.operation(seen, machine) for machine in means.machines]
        sizes = sized(journal, means, job.target, cube, operations[0])
        engine = Engine(cube, seen, sizes.plan, means.workers(operations, sizes.threads))
        production = produce(job.target, sizes, engine.run, journal, stopper, "unmixing")
        tell(engine, sizes)
    if not production.published:
        return None
    outcome = {
        "output": job.results.abundance.name,
        "error_map": job.results.error.name,
        "endmember_files": [path.name for path in library_files(job.results.endmembers)],
        "endmembers": job.chosen.count,
        "blind": job.begun["blind"],
        "seconds": round(time.monotonic() - started, 2),
        "tile": sizes.plan.tile,
        "reach": operations[0].reach,
        **_tallied(job.results.abundance),
    }
    record = describe("unmix", cube, means.machine, _trained(job.chosen), outcome)
    return unmixer.endmembers, record


def _fitted(
    chosen: UnmixModel | BlindUnmixing, cube: Cube, journal: Journal | Unkept
) -> UnmixModel | LinearMixture:
    """The model, or the endmembers of the scene: looked for once."""
    import torch

    from hsisr.unmixing import BlindUnmixing

    if not isinstance(chosen, BlindUnmixing):
        return chosen

    def found() -> dict[str, torch.Tensor]:
        shared.say(f"looking for {chosen.count} endmembers in a sample of the scene")
        return {"endmembers": torch.from_numpy(chosen.endmembers(cube))}

    return chosen.mixture(cube, journal.once("endmembers", found)["endmembers"].numpy())


def _tallied(path: Path) -> dict[str, Any]:
    """What the written abundances are like."""
    from hsisr.formats import open_cube
    from hsisr.survey import strips
    from hsisr.unmixing import Tally

    with open_cube(path) as maps:
        tally = Tally(maps.spec.bands)
        for window in strips(maps.spec):
            tally.note(maps.read(window))
    return tally.record


def _finish(
    results: _Results,
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
