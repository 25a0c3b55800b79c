"""A training that is stopped and continued ends with the very bits of one that was not."""

from __future__ import annotations

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsisr import recipe as recipes
from hsisr.checkpoints.checkpoint import Checkpoint, load, read_tensors, write_tensors
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.errors import ModelError
from hsisr.recipe import Training
from hsisr.runtime import Runtime
from hsisr.training.fit import METRICS, STATE, Work, fit, read_history
from hsisr_models.contract import Outcome
from tests.hsisr.trials import STEPS, advance, ending, longer, reports, small

KINDS = ("unmix", "sr", "sr without unmixing")


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_after_any_step_changes_no_bit(
    kind: str, prepared: PatchSet, unmix: Checkpoint, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"unmix": unmix}
    whole = advance(reports(kind, prepared, tmp_path / "whole", **given), STEPS)
    assert [report.step for report in whole if report.scores] == [4, 8, 16, 20]
    assert len({report.learning_rate for report in whole}) == 5
    expected = ending(tmp_path / "whole")
    told = []
    for stop in range(1, STEPS):
        # stopped after every step so far; each time it begins with other weights to be replaced
        told += advance(reports(kind, prepared, tmp_path / "run", **given, seed=stop - 1), 1)
        shutil.copytree(tmp_path / "run", tmp_path / f"from{stop}")
        rest = advance(
            reports(kind, prepared, tmp_path / f"from{stop}", **given, seed=99), STEPS - stop
        )
        assert [report.losses for report in (*told, *rest)] == [r.losses for r in whole]
        assert ending(tmp_path / f"from{stop}") == expected, f"stopped after {stop}"


@pytest.mark.parametrize("stop", [1, 6, 7, 8, 15])
def test_stopping_once_changes_no_bit(prepared: PatchSet, tmp_path: Path, stop: int) -> None:
    kind = "sr without unmixing"
    for folder, pieces in (("whole", [STEPS]), ("parts", [stop, STEPS - stop])):
        for steps in pieces:
            advance(reports(kind, prepared, tmp_path / folder), steps)
    assert ending(tmp_path / "parts") == ending(tmp_path / "whole")


@pytest.mark.parametrize("name", ["cnnaeu", "aaenet"])
def test_chance_and_running_means_survive_a_stop(
    prepared: PatchSet, tmp_path: Path, name: str
) -> None:
    """Of networks that drop out at random and normalise batches."""
    schedule = ["epochs=3", "steps=4", "batch=2", "patch=5", "validate_every=2"]
    changes = [f"unmix.training.{number}" for number in schedule]
    recipe = recipes.load(name, ["unmix.endmembers=3", *changes])
    for folder, pieces in (("whole", [12]), ("parts", [3, 2, 7])):
        for seed, steps in enumerate(pieces):
            running = reports("unmix", prepared, tmp_path / folder, recipe=recipe, seed=seed)
            advance(running, steps)
    assert ending(tmp_path / "parts") == ending(tmp_path / "whole")
    tensors = load(tmp_path / "whole" / MODEL).tensors
    assert any(key.endswith(".variance") and (x != 1).any() for key, x in tensors.items())


def test_an_older_state_leads_to_the_same_end(
    prepared: PatchSet, unmix: Checkpoint, tmp_path: Path
) -> None:
    """As after a kill: the model and the record are newer than the state."""
    advance(reports("sr", prepared, tmp_path / "whole", unmix=unmix), STEPS)
    folder = tmp_path / "killed"
    advance(reports("sr", prepared, folder, unmix=unmix), 8)
    older = (folder / STATE).read_bytes()
    advance(reports("sr", prepared, folder, unmix=unmix), 9)
    (folder / STATE).write_bytes(older)
    advance(reports("sr", prepared, folder, unmix=unmix), STEPS - 8)
    assert ending(folder) == ending(tmp_path / "whole")


CHILD = """
import os, signal, sys
from pathlib import Path
from hsisr.data.patches import PatchSet, open_patches
from tests.hsisr.trials import reports
for report in reports("sr without unmixing", open_patches(Path(sys.argv[1])), Path(sys.argv[2])):
    if report.step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("step", [3, 11])
def test_a_killed_training_can_be_continued(prepared: PatchSet, tmp_path: Path, step: int) -> None:
    advance(reports("sr without unmixing", prepared, tmp_path / "whole"), STEPS)
    folder = tmp_path / "killed"
    child = subprocess.run(
        [sys.executable, "-c", CHILD, prepared.folder.parent, folder, str(step)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
    )
    assert child.returncode == -signal.SIGKILL
    assert (folder / STATE).exists() == (step > 4)
    last = [report.step for report in reports("sr without unmixing", prepared, folder)]
    assert last[0] == (1 if step < 4 else 9)
    assert ending(folder) == ending(tmp_path / "whole")


def test_a_finished_training_has_nothing_left_to_do(prepared: PatchSet, tmp_path: Path) -> None:
    advance(reports("unmix", prepared, tmp_path / "run"), STEPS)
    before = ending(tmp_path / "run")
    assert list(reports("unmix", prepared, tmp_path / "run")) == []
    assert ending(tmp_path / "run") == before


def test_the_best_weights_are_kept_and_every_validation_recorded(
    prepared: PatchSet, tmp_path: Path
) -> None:
    told = advance(reports("sr without unmixing", prepared, tmp_path / "run"), STEPS)
    validated = [report for report in told if report.scores]
    best = max(validated, key=lambda report: report.scores["psnr"])  # type: ignore[index]
    assert load(tmp_path / "run" / MODEL).card.scores == best.scores
    running, marks = float("-inf"), []
    for report in validated:
        assert report.scores is not None
        marks.append(report.scores["psnr"] > running)
        running = max(running, report.scores["psnr"])
    assert [report.best for report in validated] == marks
    rows = read_history(tmp_path / "run")
    assert [row["step"] for row in rows] == [4, 8, 16, 20]
    assert [row["validation_psnr"] for row in rows] == [r.scores["psnr"] for r in validated]  # type: ignore[index]
    assert [row["loss_total"] for row in rows] == [r.losses["total"] for r in validated]
    with (tmp_path / "run" / METRICS).open(newline="") as handle:
        header = next(csv.reader(handle))
    assert header[:3] == ["step", "epoch", "learning_rate"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"learning_rate": 1e-3}, "learning_rate 0.002, now 0.001"),
        ({"epochs": 6}, "epochs 5, now 6"),
        ({"batch": 3, "epochs": 6}, "batch 2, now 3; epochs 5, now 6"),
    ],
)
def test_the_state_of_a_training_with_other_numbers_is_refused(
    prepared: PatchSet, tmp_path: Path, change: dict[str, float], what: str
) -> None:
    advance(reports("unmix", prepared, tmp_path / "run"), 2)
    with pytest.raises(ModelError, match=what) as caught:
        next(reports("unmix", prepared, tmp_path / "run", recipe=longer(small(), **change)))
    assert "--overwrite" in str(caught.value.hint)


def test_the_state_of_another_network_is_refused(
    prepared: PatchSet, unmix: Checkpoint, tmp_path: Path
) -> None:
    folder, other = tmp_path / "run", small("default", "sr.numbers.width=12")
    advance(reports("sr", prepared, folder, unmix=unmix), 2)
    for again, what in (
        (reports("sr", prepared, folder, unmix=unmix, recipe=other), "width 8, now 12"),
        (reports("sr without unmixing", prepared, folder), f'unmixing "{unmix.sha256[:8]}.*null'),
    ):
        with pytest.raises(ModelError, match=what):
            next(again)
    tensors, about, _ = read_tensors(folder / STATE)
    write_tensors(folder / STATE, {f"{name}.0": x for name, x in tensors.items()}, about)
    with pytest.raises(ModelError, match="another network"):
        next(reports("sr", prepared, folder, unmix=unmix))
    shutil.copy(unmix.path, folder / STATE)
    with pytest.raises(ModelError, match="not a state"):
        next(reports("sr", prepared, folder, unmix=unmix))


def test_a_damaged_state_is_refused(prepared: PatchSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    advance(reports("unmix", prepared, folder), 2)
    state = bytearray((folder / STATE).read_bytes())
    state[-5] ^= 1
    (folder / STATE).write_bytes(state)
    with pytest.raises(ModelError, match="corrupt"):
        next(reports("unmix", prepared, folder))


def test_the_state_holds_what_was_promised(prepared: PatchSet, tmp_path: Path) -> None:
    advance(reports("unmix", prepared, tmp_path / "run"), 3)
    tensors, about, _ = read_tensors(tmp_path / "run" / STATE)
    kinds = {name.partition(".")[0] for name in tensors}
    assert kinds == {"weight", "average", "buffer", "step", "exp_avg", "exp_avg_sq"}
    assert about["step"] == 3


class Quadratic:
    """A task whose every number can be followed by hand: the distance of one weight to a goal."""

    identity: Mapping[str, Any] = MappingProxyType({"form": "quadratic"})

    def __init__(self) -> None:
        self.trainable: nn.Module = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.trainable.weight, 5.0)
        self.seen: list[float] = []
        self.after = 0

    @property
    def weight(self) -> float:
        return float(self.trainable.weight.detach())

    def outcome(self, low: Tensor, high: Tensor) -> Outcome:
        return Outcome(truth=high, estimate=self.trainable(low))

    def after_step(self) -> None:
        self.after += 1

    def validate(self) -> dict[str, float]:
        assert not self.trainable.training
        self.seen.append(self.weight)
        return {"weight": self.seen[-1]}

    def reference(self) -> dict[str, float]:
        return {}

    def merit(self, scores: dict[str, float]) -> float:
        return -abs(scores["weight"])

    def save(self, path: Path, scores: dict[str, float]) -> None:
        write_tensors(path, {"weight": self.trainable.weight.detach().clone()}, dict(scores))


class Ones:
    """Batches of ones; from a given step on, of something that is not finite."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.broken = broken

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        value = float("nan") if step in self.broken else 1.0
        return torch.full((1, 1), value), torch.zeros(1, 1)


def training(**numbers: Any) -> Training:
    plain = {
        "epochs": 4,
        "steps": 3,
        "batch": 1,
        "patch": 1,
        "learning_rate": 0.1,
        "betas": (0.9, 0.99),
        "warm_up": 1,
        "halve_every": 2,
        "clip_norm": 1e9,
        "average": 0.5,
        "validate_every": 1,
    }
    return Training(**plain | numbers)


def squared(outcome: Outcome) -> tuple[Tensor, dict[str, float]]:
    total = (outcome.estimate - outcome.truth).square().sum()
    return total, {"square": float(total.detach())}


def test_it_is_adam_with_a_warm_up_halvings_and_a_running_mean(
    cpu: Runtime, tmp_path: Path
) -> None:
    task, numbers = Quadratic(), training(warm_up=4, betas=(0.8, 0.95), clip_norm=3.0)
    told = list(fit(Work(task, squared, Ones(), numbers), tmp_path, cpu))
    weight = average = 5.0
    first = second = 0.0
    means = []
    for step in range(12):
        rate = 0.1 * 0.5 ** (step // 6) * min(1.0, (step + 1) / 4)
        gradient = 2 * weight
        gradient *= min(1.0, 3.0 / (abs(gradient) + 1e-6))
        first = 0.8 * first + 0.2 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        corrected = first / (1 - 0.8 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
        assert told[step].learning_rate == pytest.approx(rate)
        assert told[step].losses["total"] == pytest.approx(weight**2, rel=1e-5)
        weight -= rate * corrected[0] / (corrected[1] ** 0.5 + 1e-8)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        means += [average] if (step + 1) % 3 == 0 else []
    assert task.seen == pytest.approx(means, rel=1e-5)
    assert task.weight == pytest.approx(weight, rel=1e-5)
    assert task.after == 12


def test_without_a_mean_the_weights_themselves_are_validated(cpu: Runtime, tmp_path: Path) -> None:
    task = Quadratic()
    for report in fit(Work(task, squared, Ones(), training(average=0.0)), tmp_path, cpu):
        if report.scores:
            assert report.scores["weight"] == task.weight


def test_a_bad_batch_does_not_poison_the_weights(cpu: Runtime, tmp_path: Path) -> None:
    task = Quadratic()
    seen = []
    for report in fit(Work(task, squared, Ones(broken=(2, 5)), training()), tmp_path, cpu):
        seen.append(task.weight)
        assert (report.losses["total"] != report.losses["total"]) == (report.step in (3, 6))
    assert all(weight == weight for weight in seen)
    assert seen[1] == seen[2]
    assert seen[4] == seen[5]
    assert seen[-1] < seen[0]
    assert read_tensors(tmp_path / STATE)[1]["step"] == 12


@pytest.mark.parametrize(
    ("epochs", "every", "expected"), [(4, 1, [3, 6, 9, 12]), (5, 2, [3, 6, 12, 15]), (1, 9, [3])]
)
def test_validations_come_when_they_are_due(
    cpu: Runtime, tmp_path: Path, epochs: int, every: int, expected: list[int]
) -> None:
    numbers = training(epochs=epochs, validate_every=every)
    told = fit(Work(Quadratic(), squared, Ones(), numbers), tmp_path, cpu)
    assert [report.step for report in told if report.scores] == expected


class Mistaken(Quadratic):
    """Of which no number can be told in the first validation."""

    def merit(self, scores: dict[str, float]) -> float:
        return math.nan if len(self.seen) == 1 else super().merit(scores)


def test_a_first_validation_without_a_number_is_not_the_best_for_ever(
    cpu: Runtime, tmp_path: Path
) -> None:
    task = Mistaken()
    told = list(fit(Work(task, squared, Ones(), training()), tmp_path, cpu))
    assert [report.best for report in told if report.scores] == [True] * 4
    tensors, _, _ = read_tensors(tmp_path / MODEL)
    assert float(tensors["weight"]) == task.seen[-1]
