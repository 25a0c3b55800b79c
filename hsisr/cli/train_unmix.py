"""`hsisr train-unmix`: step I of the paper, the unmixing network on low-resolution data."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _training as training

_DEAD = 0.01
"""Mean abundance below which an endmember is as good as absent."""


def command(
    run: options.RunFolder,
    recipe: options.RecipeName = "default",
    endmembers: Annotated[
        int | None,
        typer.Option("-p", "--endmembers", min=2, help="Materials. Default: the recipe's."),
    ] = None,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    max_time: options.Minutes = None,
    device: options.Device = "auto",
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
    from hsisr.export import write_endmembers
    from hsisr.fit import MODEL
    from hsisr.model import load_unmix
    from hsisr.patches import open_patches
    from hsisr.sampler import Sampler
    from hsisr.steps import UnmixStep

    with training.together() as world:
        numbers = recipes.load(recipe, settings or ())
        count = endmembers or numbers.unmix.endmembers
        lasting = training.with_epochs(numbers.unmix.training, epochs)
        numbers = replace(numbers, unmix=replace(numbers.unmix, endmembers=count, training=lasting))
        patches, folder = open_patches(run), run / "unmix"
        runtime = training.runtime_for(device, precision, threads, seed)
        task = UnmixStep(patches, numbers, seed)
        shared.say(f"device     {runtime.description}")
        training.clear(folder, world, overwrite=overwrite)
        best = training.train(
            task,
            numbers.unmix.loss,
            lasting,
            Sampler(patches, patch=lasting.patch, batch=lasting.batch, seed=seed),
            folder,
            identity=f"seed {seed} data {patches.digest}",
            runtime=runtime,
            world=world,
            minutes=max_time,
        )
    if best is None:
        return
    model = load_unmix(str(folder / MODEL))
    files = write_endmembers(folder / "endmembers", model.endmembers, patches.spectrum)
    shared.say(
        f"{count} endmembers in {files[0]}; reconstruction RMSE {best['rmse']:.4g} of the peak, "
        f"spectral angle {best['sam']:.3g} degrees on the validation blocks"
    )
    if best["rarest"] < _DEAD and count > 2:
        shared.say(
            f"note: the rarest endmember makes up {best['rarest']:.2%} of the validation blocks; "
            f"{count - 1} may do: --endmembers {count - 1} --overwrite"
        )
    shared.say(f"Next: hsisr train-sr {run}")
