"""What the two training commands share: options to a recipe, and the loop that is shown."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hsisr.fit import Batches, Report, Task
    from hsisr.recipe import Training
    from hsisr.runtime import Runtime


def with_epochs(training: Training, epochs: int | None) -> Training:
    """The same training for another number of epochs, where one is given."""
    return training if epochs is None else replace(training, epochs=epochs)


def runtime_for(device: str, precision: str, threads: int | None, seed: int) -> Runtime:
    """Choose the machine's part and seed torch."""
    import torch

    from hsisr import runtime

    runtime.limit_threads(threads)
    torch.manual_seed(seed)
    return runtime.choose(device, precision)


def clear(folder: Path, *, overwrite: bool) -> None:
    """Remove an earlier training where asked to; otherwise it will be continued."""
    from hsisr.fit import METRICS, MODEL, STATE

    if overwrite:
        for name in (STATE, MODEL, METRICS):
            (folder / name).unlink(missing_ok=True)


def train(
    task: Task,
    weights: dict[str, float],
    training: Training,
    batches: Batches,
    folder: Path,
    *,
    identity: str,
    runtime: Runtime,
    minutes: float | None,
) -> dict[str, float]:
    """Train with progress shown; returns the best validation scores.

    `identity` says what the outcome depends on beside the task: data and seed. Ends early after
    `minutes` or by a signal, and tells the command that continues.
    """
    from hsisr.fit import METRICS, fit, read_history
    from hsisr.runtime import explained
    from hsisr.steps import total_loss

    reference = task.reference()
    reports = fit(
        task,
        lambda outcome: total_loss(outcome, weights),
        batches,
        training,
        folder,
        runtime,
        identity=f"{task.identity} {identity}",
    )
    hint = f"continue with: {shared.again(without='--overwrite')}"
    steps = training.epochs * training.steps
    with (
        explained("train on smaller batches, e.g. --set sr.training.batch=4"),
        closing(reports),
        shared.stoppable(hint) as stopper,
    ):
        shown = shared.progress(reports, steps, folder.name, done=lambda report: report.step)
        if _follow(shown, reference, stopper, minutes):
            shared.say(hint)
    if not (folder / METRICS).exists():
        raise Interrupted("stopped before the first validation", hint=hint)
    draw_progress(folder)
    history = read_history(folder)
    keys = [key for key in history[0] if key.startswith("validation_")]
    best = max(history, key=lambda row: task.merit(_scores(row, keys)))
    return _scores(best, keys)


def _scores(row: dict[str, float], keys: list[str]) -> dict[str, float]:
    return {key.removeprefix("validation_"): row[key] for key in keys}


def _follow(
    reports: Iterator[Report],
    reference: dict[str, float],
    stopper: shared.Stopper,
    minutes: float | None,
) -> bool:
    """Tell every validation; returns whether the training was stopped by the clock."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    for report in reports:
        if report.scores is not None:
            shared.say(_line(report, reference))
        stopper.check()
        if deadline is not None and time.monotonic() > deadline and report.step < report.steps:
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
        shared.say("note: no progress.png without matplotlib: pip install 'hsisr[plot]'")
        return
    from hsisr.fit import read_history

    rows = read_history(folder)
    keys = [key for key in rows[0] if key.startswith("validation_")]
    figure = Figure(figsize=(4 * (len(keys) + 1), 3), layout="constrained")
    for axis, key in zip(figure.subplots(1, len(keys) + 1), ["loss_total", *keys], strict=True):
        axis.plot([row["epoch"] for row in rows], [row[key] for row in rows], marker=".")
        axis.set(title=key.replace("_", " "), xlabel="epoch")
        axis.grid(alpha=0.3)
    figure.savefig(folder / "progress.png", dpi=120)
