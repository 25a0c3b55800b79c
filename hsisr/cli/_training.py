"""What the two training commands share: their set-up, and the training loop with its reports."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hsisr.cli import _shared as shared
from hsisr.cli import _torchrun
from hsisr.errors import Interrupted, ModelError

if TYPE_CHECKING:
    from hsisr.data.patches import PatchSet
    from hsisr.data.sampler import Sampler
    from hsisr.recipe import Training
    from hsisr.runtime import Runtime
    from hsisr.training.distributed import World
    from hsisr.training.fit import Report, Task, Work


_ENDED = 143
"""Exit code of a process that ends silently because another one failed."""


@contextmanager
def together() -> Iterator[World]:
    """Join the processes that torchrun started, if it did; only the first of them prints.

    An error is reported once, by the process in which it occurs first.
    """
    from hsisr.training.distributed import ALONE, joined

    if not _torchrun.launched():
        yield ALONE
        return
    with joined() as world, _hushed(not world.leads):
        try:
            yield world
        except (Exception, KeyboardInterrupt) as error:
            if world.first_to_fail():
                raise
            raise typer.Exit(_ENDED) from error


@contextmanager
def _hushed(wanted: bool) -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stderr(nowhere) if wanted else nullcontext(),
    ):
        yield


def with_epochs(training: Training, epochs: int | None) -> Training:
    """The training for `epochs` instead of its own number, if that is given."""
    return training if epochs is None else replace(training, epochs=epochs)


def runtime_for(device: str, precision: str, threads: int | None, seed: int) -> Runtime:
    """Choose device, precision and threads, and seed torch.

    Processes that torchrun starts on one machine take a GPU each, or share its cores.
    """
    import torch

    from hsisr import runtime

    device, threads = _torchrun.placed(device, threads)
    runtime.limit_threads(threads)
    torch.manual_seed(seed)
    return runtime.choose(device, precision)


def sampler(patches: PatchSet, training: Training, seed: int) -> Sampler:
    """The sampler of a training; notes if patches have to be smaller than its recipe asks for."""
    from hsisr.data.sampler import Sampler

    found = Sampler(patches, patch=training.patch, batch=training.batch, seed=seed)
    if found.patch < training.patch:
        shared.note(
            f"patches of {found.patch} instead of {training.patch} low-resolution pixels: "
            "the smallest prepared block is no larger"
        )
    return found


def clear(folder: Path, world: World, *, overwrite: bool) -> None:
    """Remove an earlier training if `overwrite`; otherwise it will be continued."""
    from hsisr.checkpoints.header import MODEL
    from hsisr.training.fit import METRICS, STATE

    if overwrite and world.leads:
        for name in (STATE, MODEL, METRICS):
            (folder / name).unlink(missing_ok=True)
    world.wait()


def train(
    work: Work, folder: Path, *, runtime: Runtime, world: World, minutes: float | None
) -> dict[str, float] | None:
    """Train and show progress; returns the best validation scores, None in all but one process.

    Ends early after `minutes` or by a signal, with the command that continues.
    """
    from hsisr.runtime import explained
    from hsisr.training.fit import METRICS, fit

    reference = work.task.reference() if world.leads else {}
    reports = fit(work, folder, runtime, world=world)
    hint = f"continue with: {shared.again(without='--overwrite')}"
    steps = work.training.epochs * work.training.steps
    with (
        _together_to_the_end(world),
        explained("train on smaller batches, e.g. --set sr.training.batch=4"),
        closing(reports),
        # torchrun passes on a Ctrl-C that has come from the terminal already
        shared.stoppable(hint, patient=world.size > 1) as stopper,
    ):
        shown = shared.progress(reports, steps, folder.name, done=lambda report: report.step)
        if _follow(shown, reference, stopper, minutes, world):
            shared.say(hint)
    if not world.leads:
        return None
    if not (folder / METRICS).exists():
        raise Interrupted("stopped before the first validation", hint=hint)
    draw_progress(folder)
    return _best(work.task, folder)


def _best(task: Task, folder: Path) -> dict[str, float]:
    """The scores that the weights were chosen by; raises `ModelError` if none is a number."""
    from hsisr.training.fit import merit, read_history

    history = read_history(folder)
    keys = [key for key in history[0] if key.startswith("validation_")]
    best = max((_scores(row, keys) for row in history), key=partial(merit, task))
    if merit(task, best) == -math.inf:
        raise ModelError(
            "no validation came to a number: the training diverged, or the blocks hold no data",
            where=folder,
            hint="a lower training.learning_rate by --set, with --overwrite; or prepare scenes "
            "without such holes",
        )
    return best


def _scores(row: dict[str, float], keys: list[str]) -> dict[str, float]:
    return {key.removeprefix("validation_"): row[key] for key in keys}


@contextmanager
def _together_to_the_end(world: World) -> Iterator[None]:
    """Hold every process back until the state is saved: torchrun ends all when one ends."""
    try:
        yield
    except Interrupted:
        world.wait()
        raise
    world.wait()


def _follow(
    reports: Iterator[Report],
    reference: dict[str, float],
    stopper: shared.Stopper,
    minutes: float | None,
    world: World,
) -> bool:
    """Print every validation; returns whether the time limit ended the training.

    A signal to any process stops all of them after the same step, as does the first one's clock.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    for report in reports:
        if report.scores is not None:
            shared.say(_line(report, reference))
        late = world.leads and deadline is not None and time.monotonic() > deadline
        signal, over = world.largest(stopper.signal, late)
        stopper.heed(signal)
        if over and report.step < report.steps:
            shared.say(f"stopped by --max-time at step {report.step} of {report.steps}")
            return True
    return False


def _line(report: Report, reference: dict[str, float]) -> str:
    scores = "  ".join(
        f"{name} {value:.4g}" + (f" (bicubic {reference[name]:.4g})" if name in reference else "")
        for name, value in (report.scores or {}).items()
    )
    best = "  best" if report.best else ""
    return f"epoch {report.epoch:3d}  loss {report.losses['total']:.4g}  validation {scores}{best}"


def draw_progress(folder: Path) -> None:
    """Plot metrics.csv to progress.png, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        shared.note("no progress.png without matplotlib: pip install 'hsisr[plot]'")
        return
    from hsisr.training.fit import read_history

    rows = read_history(folder)
    keys = [key for key in rows[0] if key.startswith("validation_")]
    figure = Figure(figsize=(4 * (len(keys) + 1), 3), layout="constrained")
    for axis, key in zip(figure.subplots(1, len(keys) + 1), ["loss_total", *keys], strict=True):
        axis.plot([row["epoch"] for row in rows], [row[key] for row in rows], marker=".")
        axis.set(title=key.replace("_", " "), xlabel="epoch")
        axis.grid(alpha=0.3)
    figure.savefig(folder / "progress.png", dpi=120)
