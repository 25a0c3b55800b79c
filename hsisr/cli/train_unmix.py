"""`hsisr train-unmix`: step I of the paper, the unmixing network on low-resolution data."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _training as training
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.model import UnmixModel
    from hsisr.training.distributed import World
    from hsisr_models.networks import UnmixNetwork

_DEAD = 0.01
"""Mean abundance below which an endmember is as good as absent."""
_FAR = 5.0
"""Degrees by which endmembers may move before it is worth a note."""


class Resolution(StrEnum):
    """Which of the two prepared resolutions is unmixed."""

    low = "low"
    high = "high"


def command(
    run: options.RunFolder,
    recipe: options.RecipeName = "default",
    endmembers: Annotated[
        int | None,
        typer.Option("-p", "--endmembers", min=2, help="Materials. Default: the recipe's."),
    ] = None,
    on: Annotated[
        Resolution,
        typer.Option("--on", help="The resolution that is unmixed: step I of the paper, low."),
    ] = Resolution.low,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    max_time: options.Minutes = None,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train the unmixing network on a prepared run.

    The same command continues a stopped training. Several GPUs share every batch, with the same
    result: torchrun --nproc-per-node 4 -m hsisr train-unmix RUN

    Example: hsisr train-unmix runs/scene --endmembers 5
    """
    from hsisr import recipe as recipes
    from hsisr.checkpoints.header import MODEL
    from hsisr.data.patches import open_patches
    from hsisr.model import load_unmix
    from hsisr.results.export import write_endmembers
    from hsisr.training.fit import Work
    from hsisr.training.steps import UnmixStep, total_loss

    with training.together() as world:
        numbers = recipes.load(recipe, settings or ())
        count = endmembers or numbers.unmix.endmembers
        lasting = training.with_epochs(numbers.unmix.training, epochs)
        numbers = replace(numbers, unmix=replace(numbers.unmix, endmembers=count, training=lasting))
        patches, folder = open_patches(run), run / "unmix"
        runtime = training.runtime_for(device, precision, threads, seed)
        task = UnmixStep(patches, numbers, seed, on.value)
        _require_alone(task.network, world, numbers.unmix.method)
        shared.say(f"device     {runtime.description}")
        training.clear(folder, world, overwrite=overwrite)
        work = Work(
            task,
            partial(total_loss, weights=numbers.unmix.loss),
            training.sampler(patches, lasting, seed),
            lasting,
            {"seed": seed, "data": patches.digest},
        )
        best = training.train(work, folder, runtime=runtime, world=world, minutes=max_time)
    if best is None:
        return
    model = load_unmix(str(folder / MODEL))
    files = write_endmembers(folder / "endmembers", model.endmembers, patches.spectrum)
    shared.say(
        f"{counted(count, 'endmember')} in {files[0]}; "
        f"reconstruction RMSE {best['rmse']:.4g} of the peak, "
        f"spectral angle {best['sam']:.3g} degrees on the validation blocks"
    )
    _tell_movement(model, numbers.unmix.initialise)
    if best["rarest"] < _DEAD and count > 2:
        shared.note(
            f"the rarest endmember makes up {best['rarest']:.2%} of the validation blocks; "
            f"{count - 1} may do: --endmembers {count - 1} --overwrite"
        )
    shared.say(f"Next: hsisr train-sr {run}")


def _require_alone(network: UnmixNetwork, world: World, method: str) -> None:
    from hsisr.errors import UsageError

    if world.size > 1 and not network.independent:
        raise UsageError(
            f"'{method}' needs whole batches and cannot be trained by {world.size} processes",
            hint="without torchrun",
        )


def _tell_movement(model: UnmixModel, initialise: str) -> None:
    """Report how far training moved the endmembers; those that move far leave the data."""
    import numpy as np

    from hsisr.unmixing.agreement import angles

    start, end = (x.double().numpy() for x in (model.network.start, model.network.endmembers))
    moved = np.degrees(angles(start, end).diagonal())
    shared.say(
        f"endmembers moved by {moved.mean():.2g} degrees from their start ({initialise}), "
        f"{moved.max():.2g} at most"
    )
    if moved.mean() > _FAR and initialise != "random":
        shared.note("that is far; to hold them: --set unmix.loss.anchor=0.1 --overwrite")
