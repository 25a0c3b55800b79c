"""`hsisr train-sr`: step II of the paper, super-resolution through the frozen unmixing network."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from hsisr.cli import _shared as shared
from hsisr.cli import _training as training


def command(
    run: shared.RunFolder,
    recipe: shared.RecipeName = "default",
    unmix: Annotated[
        str,
        typer.Option(
            help="auto: the run's own; a model's path; or none, the ablation.",
            rich_help_panel=shared.TRAINING,
        ),
    ] = "auto",
    network: Annotated[
        str | None,
        typer.Option(help="Instead of the recipe's network.", rich_help_panel=shared.TRAINING),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Folder of the result inside the run.", rich_help_panel=shared.OUTPUT)
    ] = "sr",
    epochs: Annotated[int | None, typer.Option(min=1, rich_help_panel=shared.TRAINING)] = None,
    settings: shared.Settings = None,
    seed: shared.Seed = 0,
    max_time: shared.Minutes = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    threads: shared.Threads = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Train the super-resolution network on a prepared run; the same command continues it.

    Example: hsisr train-sr runs/scene
    """
    from hsisr import recipe as recipes
    from hsisr.model import load_unmix
    from hsisr.patches import open_patches
    from hsisr.steps import SrStep

    numbers = recipes.load(recipe, settings or ())
    lasting = training.with_epochs(numbers.sr.training, epochs)
    chosen = replace(numbers.sr, training=lasting, network=network or numbers.sr.network)
    numbers = replace(numbers, sr=chosen)
    patches, folder = open_patches(run), run / name
    unmixing = None
    if unmix != "none":
        unmixing = load_unmix(str(run) if unmix == "auto" else unmix).checkpoint
    runtime = training.runtime_for(device, precision, threads, seed)
    shared.say(f"device     {runtime.description}")
    training.clear(folder, overwrite=overwrite)
    task = SrStep(patches, numbers, unmixing, runtime.device)
    best = training.train(
        task,
        task.loss,
        lasting,
        run,
        folder,
        seed=seed,
        runtime=runtime,
        minutes=max_time,
        again=f"hsisr train-sr {run}",
    )
    reference = task.reference()
    shared.say(
        f"best on the validation blocks: PSNR {best['psnr']:.2f} dB (bicubic "
        f"{reference['psnr']:.2f}), spectral angle {best['sam']:.3f} degrees (bicubic "
        f"{reference['sam']:.3f})"
    )
    model = run if name == "sr" else folder
    shared.say(f"Next: hsisr evaluate {run} --model {model}")
    shared.say(f"      hsisr upscale SCENE --scale {patches.scale} --model {model}")
