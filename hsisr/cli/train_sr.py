"""`hsisr train-sr`: step II of the paper, super-resolution through the frozen unmixing network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _training as training
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.checkpoints.checkpoint import Checkpoint
    from hsisr.data.patches import PatchSet
    from hsisr.recipe import Recipe
    from hsisr.runtime import Runtime
    from hsisr.training.fit import Work

_TAKEN = ("", "data", "unmix")


def _unmixings() -> list[str]:
    return ["auto", "none", "random"]


def command(
    run: options.RunFolder,
    recipe: options.RecipeName = "default",
    unmix: Annotated[
        str,
        typer.Option(
            help="auto: the run's own; a model's path; none, the ablation; or random, its control: "
            "an unmixing network with random weights.",
            autocompletion=_unmixings,
        ),
    ] = "auto",
    network: options.Network = None,
    init: Annotated[
        str | None,
        typer.Option(help="On tokens: a model whose weights are taken over where they fit."),
    ] = None,
    name: Annotated[str, typer.Option(help="Folder of the result inside the run.")] = "sr",
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    max_time: options.Minutes = None,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train the super-resolution network on a prepared run.

    The same command continues a stopped training. Several GPUs share every batch, with the same
    result: torchrun --nproc-per-node 4 -m hsisr train-sr RUN

    Example: hsisr train-sr runs/scene
    """
    from hsisr import recipe as recipes
    from hsisr.data.patches import read_manifest

    with training.together() as world:
        numbers = recipes.load(recipe, settings or ())
        lasting = training.with_epochs(numbers.sr.training, epochs)
        chosen = replace(numbers.sr, training=lasting)
        if network not in (None, chosen.network):
            chosen = replace(
                chosen, network=network, numbers=_set_here(chosen.numbers, settings or ())
            )
        numbers, folder = replace(numbers, sr=chosen), _folder(run, name)
        runtime = training.runtime_for(device, precision, threads, seed)
        begin = _on_tokens if "tokens" in read_manifest(run) else _on_spectra
        begun = begin(run, numbers, seed, runtime, unmix, init)
        shared.say(f"device     {runtime.description}")
        training.clear(folder, world, overwrite=overwrite)
        best = training.train(begun.work, folder, runtime=runtime, world=world, minutes=max_time)
    if best is None:
        return
    reference = begun.work.task.reference()
    scores = (f"{key} {best[key]:.4g} (bicubic {reference[key]:.4g})" for key in best)
    shared.say(f"best on the validation blocks: {', '.join(scores)}")
    if best["psnr"] <= reference["psnr"]:
        shared.note("this model is no better than bicubic; train it longer or on more pixels")
    model = run if name == "sr" else folder
    truth = run if begun.has_test else "SCENE"
    shared.say(f"Next: hsisr evaluate {truth} --model {model}")
    shared.say(f"      hsisr upscale SCENE --scale {begun.scale} --model {model}")


@dataclass(frozen=True)
class _Begun:
    """A training, and facts for its closing message."""

    work: Work
    scale: int
    has_test: bool


def _on_spectra(
    run: Path, numbers: Recipe, seed: int, runtime: Runtime, unmix: str, init: str | None
) -> _Begun:
    """Train a network for the bands of the prepared scenes."""
    from hsisr.data.patches import open_patches
    from hsisr.training.fit import Work
    from hsisr.training.steps import SrStep, total_loss

    if init is not None:
        raise UsageError("--init needs tokens", hint="hsisr prepare SCENE ... --tokens 8")
    patches = open_patches(run)
    through = _unmixing(run, unmix, patches, numbers, seed)
    task = SrStep(patches, numbers, through, runtime.device, seed)
    batches = training.sampler(patches, numbers.sr.training, seed)
    loss = partial(total_loss, weights=task.loss)
    identity = {"seed": seed, "data": patches.digest}
    work = Work(task, loss, batches, numbers.sr.training, identity)
    return _Begun(work, patches.scale, has_test=True)


def _on_tokens(
    run: Path, numbers: Recipe, seed: int, runtime: Runtime, unmix: str, init: str | None
) -> _Begun:
    """Train a network for any sensor."""
    from hsisr.checkpoints.checkpoint import load
    from hsisr.data.token_sampler import TokenSampler
    from hsisr.data.tokens import open_tokens
    from hsisr.model import find
    from hsisr.training.fit import Work
    from hsisr.training.steps import total_loss
    from hsisr.training.token_step import TokenStep

    del runtime
    if unmix not in ("auto", "none"):
        raise UsageError("tokens cannot be unmixed by a model", hint="leave out --unmix")
    tokens, sampled = open_tokens(run), numbers.sr.training
    start = None if init is None else load(find(init, "sr"))
    task = TokenStep(tokens, numbers, start, seed)
    batches = TokenSampler(tokens, patch=sampled.patch, batch=sampled.batch, seed=seed)
    loss = partial(total_loss, weights=numbers.sr.loss)
    work = Work(task, loss, batches, sampled, {"seed": seed, "data": tokens.digest})
    return _Begun(work, tokens.scale, has_test=False)


def _set_here(numbers: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The numbers given by --set; those of the recipe belong to its own network."""
    asked = {setting.partition("=")[0].strip() for setting in settings}
    return {name: value for name, value in numbers.items() if f"sr.numbers.{name}" in asked}


def _folder(run: Path, name: str) -> Path:
    if name in _TAKEN or Path(name).name != name:
        raise UsageError(f"--name '{name}' cannot be used", hint="a plain name, e.g. --name wide")
    return run / name


def _unmixing(
    run: Path, choice: str, patches: PatchSet, numbers: Recipe, seed: int
) -> Checkpoint | None:
    from hsisr.model import load_unmix
    from hsisr.training.steps import untrained

    if choice == "none":
        return None
    if choice == "random":
        return untrained(patches, numbers, seed)
    return load_unmix(str(run) if choice == "auto" else choice).checkpoint
