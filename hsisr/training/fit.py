"""The only training loop: a generator of reports.

The caller decides about progress, files and stopping. Closing the generator saves the state, and
the same call continues from it: batch k depends on the seed and k alone, so a resumed run ends
with the very weights of an uninterrupted one.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import torch
from torch import Tensor, nn

from hsisr.checkpoints.checkpoint import read_tensors, write_tensors
from hsisr.checkpoints.header import MODEL
from hsisr.errors import ModelError, OutputError
from hsisr.files import write_durably
from hsisr.recipe import Training
from hsisr.runtime import Runtime
from hsisr.tiling.journal import differences
from hsisr.training.distributed import ALONE, World
from hsisr.wording import listed
from hsisr_models.contract import Outcome

STATE = "state.safetensors"
METRICS = "metrics.csv"
_AFRESH = "start afresh with --overwrite"
Scores = dict[str, float]


class Task(Protocol):
    """What is being trained; see `steps`."""

    trainable: nn.Module
    identity: Mapping[str, Any]
    """Everything but the data that the outcome depends on, by name."""

    @property
    def outcome(self) -> Callable[..., Outcome]:
        """Run the networks on the parts of a batch."""

    def after_step(self) -> None:
        """Bring the weights back into their bounds."""

    def validate(self) -> Scores:
        """Scores of the present weights on the validation blocks."""

    def reference(self) -> Scores:
        """The scores to beat."""

    def merit(self, scores: Scores) -> float:
        """What the best weights are chosen by; higher is better."""

    def save(self, path: Path, scores: Scores) -> None:
        """Write the present weights as a model."""


class Batches(Protocol):
    """Where batches come from."""

    def draw(self, step: int) -> tuple[Tensor, ...]:
        """Batch number `step`, as the task takes it."""


Loss = Callable[[Outcome], tuple[Tensor, Scores]]


@dataclass(frozen=True)
class Work:
    """What a training consists of."""

    task: Task
    loss: Loss
    batches: Batches
    training: Training
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What the outcome depends on besides the task and the numbers: data, seed."""


@dataclass(frozen=True)
class Report:
    """Where the training stands after a step."""

    step: int
    steps: int
    epoch: int
    losses: Mapping[str, float]
    learning_rate: float
    scores: Mapping[str, float] | None = None
    """On the validation blocks, when this step ended with a validation."""
    best: bool = False
    """Whether these scores are the best so far; the weights were then kept."""


def fit(work: Work, folder: Path, runtime: Runtime, *, world: World = ALONE) -> Generator[Report]:
    """Train, continuing from `folder` where it holds a state, and report after every step.

    The best weights by validation are kept in `folder`/model.safetensors; every validation adds a
    row to metrics.csv. In a `world` of several processes each takes its share of every batch; only
    the first validates and writes, the others report no scores. Raises `ModelError` if the state in
    `folder` belongs to another training, `OutputError` if the processes find different states
    there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(work, folder, runtime, world)
    trainer.resume()
    trainer.agree()
    while trainer.step < trainer.steps:
        report = trainer.advance(*work.batches.draw(trainer.step))
        try:
            yield report
        except GeneratorExit:
            trainer.save_state()
            raise


class _Trainer:
    """The mutable state of a training: weights, their mean, the optimiser, the step."""

    def __init__(self, work: Work, folder: Path, runtime: Runtime, world: World) -> None:
        task, training = work.task, work.training
        self._task, self._loss, self._training = task, work.loss, training
        identity = {**task.identity, **work.identity, "training": asdict(training)}
        # as a state will tell it
        self._identity = json.loads(json.dumps(identity))
        self._folder, self._runtime, self._world = folder, runtime, world
        self.step, self.steps = 0, training.epochs * training.steps
        self._module = task.trainable.to(runtime.device)
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parameters = dict(self._module.named_parameters())
        self._buffers = dict(self._module.named_buffers())
        self._average = {k: v.detach().clone() for k, v in self._parameters.items()}
        self._optimiser = torch.optim.Adam(
            self._module.parameters(), lr=training.learning_rate, betas=training.betas
        )
        self._best: float | None = None
        self._rows: list[dict[str, Any]] = []

    def advance(self, *batch: Tensor) -> Report:
        """One step, and a validation where one is due."""
        rate = self._set_rate()
        losses = self._descend(batch)
        self._update_average()
        self.step += 1
        epoch, within = divmod(self.step, self._training.steps)
        due = within == 0 and (epoch == 1 or epoch % self._training.validate_every == 0)
        report = Report(self.step, self.steps, epoch, losses, rate)
        due = self._world.leads and (due or self.step == self.steps)
        return self._validated(report) if due else report

    def _set_rate(self) -> float:
        epoch = self.step // self._training.steps
        rate = self._training.learning_rate * 0.5 ** (epoch // self._training.halve_every)
        rate *= min(1.0, (self.step + 1) / self._training.warm_up)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _descend(self, batch: tuple[Tensor, ...]) -> Scores:
        self._module.train()
        self._optimiser.zero_grad()
        # a resumed run drops out what an uninterrupted one would have
        torch.manual_seed(crc32(f"{self._identity} {self.step}".encode()))
        share = [self._world.share(part).to(self._runtime.device) for part in batch]
        with self._runtime.precision():
            outcome = self._task.outcome(*share)
        total, losses = self._loss(self._world.whole(outcome, len(batch[0])))
        torch.autograd.backward(total)
        gradients = (weight.grad for weight in self._parameters.values())
        self._world.add_up(gradient for gradient in gradients if gradient is not None)
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._training.clip_norm)
        # one bad batch must not poison the weights; a zero step is still a step
        if bool(torch.isfinite(norm)):
            self._optimiser.step()
            self._task.after_step()
        return {"total": float(total.detach()), **losses}

    @torch.no_grad()
    def _update_average(self) -> None:
        # a young mean forgets its start faster
        decay = min(self._training.average, (1 + self.step) / (10 + self.step))
        for name, value in self._parameters.items():
            self._average[name].lerp_(value, 1 - decay)

    def _validated(self, report: Report) -> Report:
        with self._averaged():
            scores = self._task.validate()
            worth = merit(self._task, scores)
            best = self._best is None or worth > self._best
            if best:
                self._best = worth
                self._task.save(self._folder / MODEL, scores)
        self._rows.append(
            {"step": report.step, "epoch": report.epoch, "learning_rate": report.learning_rate}
            | {f"loss_{name}": value for name, value in report.losses.items()}
            | {f"validation_{name}": value for name, value in scores.items()}
        )
        self._write_rows()
        self.save_state()
        return replace(report, scores=scores, best=best)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within, the network has the mean of its weights and is in evaluation mode."""
        self._module.eval()
        with torch.no_grad():
            self._swap()
            try:
                yield
            finally:
                self._swap()

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._average[name] = self._average[name], parameter.data

    def _write_rows(self) -> None:
        text = io.StringIO()
        # rows from a resumed state have lost their order
        writer = csv.DictWriter(text, list(self._rows[-1]))
        writer.writeheader()
        writer.writerows(self._rows)
        write_durably(self._folder / METRICS, text.getvalue().encode())

    def save_state(self) -> None:
        """Write everything needed to continue exactly, by any number of processes."""
        if not self._world.leads:
            return
        tensors: dict[str, Tensor] = {f"weight.{k}": v for k, v in self._parameters.items()}
        tensors |= {f"average.{k}": v for k, v in self._average.items()}
        tensors |= {f"buffer.{k}": v for k, v in self._buffers.items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimiser.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value
        about = {
            "step": self.step,
            "best": self._best,
            "rows": self._rows,
            "training": self._identity,
        }
        write_tensors(self._folder / STATE, tensors, about)

    def resume(self) -> None:
        """Continue from the folder's state, if it has one."""
        path = self._folder / STATE
        if not path.exists():
            return
        tensors, about, _ = read_tensors(path)
        begun = about.get("training")
        if not isinstance(begun, dict):
            raise ModelError("is not a state that can be continued", where=path, hint=_AFRESH)
        if begun != self._identity:
            raise ModelError(
                f"was begun differently: {listed(differences(begun, self._identity))}",
                where=path,
                hint=f"repeat the options it was started with, or {_AFRESH}",
            )
        self.step, self._best, self._rows = about["step"], about["best"], about["rows"]
        try:
            self._restore(tensors)
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"belongs to another network: {error}", where=path) from error

    def agree(self) -> None:
        """Make sure that all processes begin alike."""
        latest, earliest = self._world.largest(self.step, -self.step)
        if latest != -earliest:
            raise OutputError(
                f"the processes find training states of steps {-earliest} and {latest} here",
                where=self._folder,
                hint="keep the run in a folder that all machines share",
            )
        # machines may differ in the last bits of what they initialise
        self._world.follow([*self._parameters.values(), *self._buffers.values()])

    @torch.no_grad()
    def _restore(self, tensors: dict[str, Tensor]) -> None:
        if {name.partition(".")[2] for name in tensors} != {*self._parameters, *self._buffers}:
            raise KeyError("other layers")
        for name, buffer in self._buffers.items():
            buffer.copy_(tensors[f"buffer.{name}"])
        keys = ("step", "exp_avg", "exp_avg_sq")
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[f"weight.{name}"])
            self._average[name].copy_(tensors[f"average.{name}"])
            if f"step.{name}" in tensors:
                moments = {key: tensors[f"{key}.{name}"] for key in keys}
                self._optimiser.state[parameter] = {
                    key: value if key == "step" else torch.empty_like(parameter).copy_(value)
                    for key, value in moments.items()
                }


def merit(task: Task, scores: Scores) -> float:
    """The task's merit, minus infinity where it is not a number."""
    found = task.merit(scores)
    return -math.inf if math.isnan(found) else found


def read_history(folder: Path) -> list[dict[str, float]]:
    """The rows of a training's metrics.csv."""
    with (folder / METRICS).open(newline="") as handle:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(handle)]
