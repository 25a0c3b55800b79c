"""`hsisr train-sr`: step II of the paper, super-resolution through the frozen unmixing network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _training as training
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.checkpoint import Checkpoint

_TAKEN = ("", "data", "unmix")


def command(
    run: options.RunFolder,
    recipe: options.RecipeName = "default",
    unmix: Annotated[
        str,
        typer.Option(help="auto: the run's own; a model's path; or none, the ablation."),
    ] = "auto",
    network: options.Network = None,
    name: Annotated[str, typer.Option(help="Folder of the result inside the run.")] = "sr",
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    max_time: options.Minutes = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train the super-resolution network on a prepared run.

    The same command continues a stopped training.

    Example: hsisr train-sr runs/scene
    """
    from hsisr import recipe as recipes
    from hsisr.patches import open_patches
    from hsisr.steps import SrStep

    numbers = recipes.load(recipe, settings or ())
    lasting = training.with_epochs(numbers.sr.training, epochs)
    chosen = replace(numbers.sr, training=lasting)
    if network not in (None, chosen.network):
        chosen = replace(chosen, network=network, numbers=_set_here(chosen.numbers, settings or ()))
    numbers = replace(numbers, sr=chosen)
    patches, folder = open_patches(run), _folder(run, name)
    runtime = training.runtime_for(device, precision, threads, seed)
    task = SrStep(patches, numbers, _unmixing(run, unmix), runtime.device)
    shared.say(f"device     {runtime.description}")
    training.clear(folder, overwrite=overwrite)
    best = training.train(
        task,
        task.loss,
        lasting,
        run,
        folder,
        seed=seed,
        runtime=runtime,
        minutes=max_time,
    )
    reference = task.reference()
    shared.say(
        f"best on the validation blocks: PSNR {best['psnr']:.2f} dB (bicubic "
        f"{reference['psnr']:.2f}), spectral angle {best['sam']:.3f} degrees (bicubic "
        f"{reference['sam']:.3f})"
    )
    if best["psnr"] <= reference["psnr"]:
        shared.say("note: this model is no better than bicubic; train it longer or on more pixels")
    model = run if name == "sr" else folder
    shared.say(f"Next: hsisr evaluate {run} --model {model}")
    shared.say(f"      hsisr upscale SCENE --scale {patches.scale} --model {model}")


def _set_here(numbers: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The numbers given by --set: those of the recipe are of its own network."""
    asked = {setting.partition("=")[0].strip() for setting in settings}
    return {name: value for name, value in numbers.items() if f"sr.numbers.{name}" in asked}


def _folder(run: Path, name: str) -> Path:
    if name in _TAKEN or Path(name).name != name:
        raise UsageError(f"--name '{name}' cannot be used", hint="a plain name, e.g. --name wide")
    return run / name


def _unmixing(run: Path, choice: str) -> Checkpoint | None:
    from hsisr.model import load_unmix

    if choice == "none":
        return None
    return load_unmix(str(run) if choice == "auto" else choice).checkpoint
