"""How a cell is trained: through which unmixing network, for how long, on what."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from hsisr.bench import records
from hsisr.bench.budget import lasting
from hsisr.bench.claims import once
from hsisr.bench.timed import seconds_per_step, train
from hsisr.bench.trial import RESULT, Cell, Terms
from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.checkpoint import Checkpoint
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.data.sampler import Sampler
from hsisr.files import write_json
from hsisr.recipe import Training
from hsisr.training.fit import STATE, Work
from hsisr.training.steps import SrStep, UnmixStep, total_loss, untrained


def unmixed(
    cell: Cell, patches: PatchSet, terms: Terms
) -> Generator[None, None, tuple[Checkpoint | None, float | None]]:
    """The unmixing network of a cell, the same for all that share data and seed, and its seconds.

    It is trained by its recipe, whatever the budget of the others.
    """
    recipe, seed = cell.variant.recipe, cell.seed
    if cell.variant.unmixing == "none":
        return None, None
    if cell.variant.unmixing == "random":
        return untrained(patches, recipe, seed), None
    folder, about = terms.unmixing(cell), terms.unmixed(cell, patches)

    def find() -> float | None:
        records.begin(folder, about)
        done = records.read(folder / RESULT)
        return None if done is None else float(done["seconds"])

    def make() -> Generator[float, None, float]:
        work = _unmixing(cell, patches)
        seconds = yield from train(work, folder, terms.runtime)
        write_json(folder / RESULT, {"seconds": seconds})
        (folder / STATE).unlink(missing_ok=True)
        return seconds

    seconds = yield from once(folder, find, make)
    return checkpoint.load(folder / MODEL), seconds


def _unmixing(cell: Cell, patches: PatchSet) -> Work:
    numbers, seed = cell.variant.recipe.unmix, cell.seed
    torch.manual_seed(seed)
    return Work(
        UnmixStep(patches, cell.variant.recipe, seed),
        partial(total_loss, weights=numbers.loss),
        Sampler(patches, patch=numbers.training.patch, batch=numbers.training.batch, seed=seed),
        numbers.training,
        _identity(cell, patches),
    )


def sharpening(
    cell: Cell, patches: PatchSet, unmix: Checkpoint | None, terms: Terms, training: Training
) -> Work:
    """What the training of a cell's own network consists of."""
    recipe, seed = cell.variant.recipe, cell.seed
    # the same weights to begin with, whatever was done before
    torch.manual_seed(seed)
    recipe = replace(recipe, sr=replace(recipe.sr, training=training))
    task = SrStep(patches, recipe, unmix, terms.runtime.device, seed)
    return Work(
        task,
        partial(total_loss, weights=task.loss),
        Sampler(patches, patch=training.patch, batch=training.batch, seed=seed),
        training,
        _identity(cell, patches),
    )


def _identity(cell: Cell, patches: PatchSet) -> dict[str, Any]:
    return {"seed": cell.seed, "data": patches.digest}


def planned(
    cell: Cell, patches: PatchSet, terms: Terms, make: Callable[[Training], Work]
) -> Generator[None, None, Training]:
    """The training that the budget gives to a variant, the same for all seeds.

    Where it is a time, some steps are timed by the process that comes first.
    """
    path, about = terms.plan(cell), terms.planned(cell.variant, patches)
    training = cell.variant.recipe.sr.training

    def find() -> int | None:
        plan = records.read(path)
        return plan["steps"] if plan and plan["about"] == about else None

    def measure() -> Generator[None, None, int]:
        seconds = None
        if terms.budget.minutes is not None:
            work, place = make(training), path.with_suffix(".timing")
            seconds = yield from seconds_per_step(work, place, terms.runtime)
        steps = terms.budget.steps(training, seconds or 0.0)
        write_json(path, {"steps": steps, "seconds_per_step": seconds, "about": about})
        return steps

    return lasting(training, (yield from once(path, find, measure)))
