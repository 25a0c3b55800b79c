"""Trainings that take a second: small recipes, both steps, and what they end with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from hsisr import recipe as recipes
from hsisr.checkpoints.checkpoint import Checkpoint, load, read_tensors
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.data.sampler import Sampler
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime
from hsisr.training.distributed import ALONE, World
from hsisr.training.fit import METRICS, STATE, Report, Work, fit
from hsisr.training.steps import SrStep, UnmixStep, total_loss

STEPS = 20
_SCHEDULE = (
    "epochs=5 steps=4 batch=2 patch=5 warm_up=3 halve_every=2 validate_every=2 learning_rate=2e-3"
)
_NUMBERS = "sr.numbers.width=8 sr.numbers.depth=1 unmix.numbers.width=8 unmix.numbers.depth=1"
# the default one takes seconds
_START = "unmix.initialise=vca"
CPU = Runtime(torch.device("cpu"), torch.float32)


def small(name: str = "default", *more: str) -> Recipe:
    """A recipe of 20 steps with three validations, a warm-up and two halvings among them."""
    schedule = [
        f"{part}.training.{number}" for part in ("sr", "unmix") for number in _SCHEDULE.split()
    ]
    return recipes.load(name, [*_NUMBERS.split(), _START, "unmix.endmembers=3", *schedule, *more])


def task_of(
    kind: str, prepared: PatchSet, recipe: Recipe, unmix: Checkpoint | None
) -> UnmixStep | SrStep:
    """A step as it is begun; `kind` is `unmix`, `sr` or `sr without unmixing`."""
    if kind == "unmix":
        return UnmixStep(prepared, recipe, seed=0)
    return SrStep(prepared, recipe, unmix if kind == "sr" else None, CPU.device)


def reports(
    kind: str,
    prepared: PatchSet,
    folder: Path,
    *,
    recipe: Recipe | None = None,
    unmix: Checkpoint | None = None,
    seed: int = 0,
    world: World = ALONE,
) -> Iterator[Report]:
    """The training of one step; the seed is that of the weights it begins with."""
    recipe = recipe or small()
    torch.manual_seed(seed)
    task = task_of(kind, prepared, recipe, unmix)
    weights = task.loss if isinstance(task, SrStep) else recipe.unmix.loss
    training = recipe.unmix.training if kind == "unmix" else recipe.sr.training
    batches = Sampler(prepared, patch=training.patch, batch=training.batch, seed=0)
    work = Work(task, partial(total_loss, weights=weights), batches, training)
    return fit(work, folder, CPU, world=world)


def advance(training: Iterator[Report], steps: int) -> list[Report]:
    """Take so many steps and stop."""
    with closing(training):  # type: ignore[type-var]
        return [next(training) for _ in range(steps)]


def ending(folder: Path) -> tuple[str, str, bytes]:
    """What a training ended with: state and model by their SHA-256, and the record.

    The state holds the weights, their mean, the moments of the optimiser, the learning rates and
    the best score.
    """
    return (
        read_tensors(folder / STATE)[2],
        load(folder / MODEL).sha256,
        (folder / METRICS).read_bytes(),
    )


def longer(recipe: Recipe, **numbers: float) -> Recipe:
    """The same with other numbers in the training of both steps."""
    return replace(
        recipe,
        sr=replace(recipe.sr, training=replace(recipe.sr.training, **numbers)),
        unmix=replace(recipe.unmix, training=replace(recipe.unmix.training, **numbers)),
    )
