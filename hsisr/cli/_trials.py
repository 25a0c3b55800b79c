"""Options and progress of the commands that train networks side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _shared as shared
from hsisr.errors import BatchError, Interrupted, ModelError, UsageError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.bench.runner import Event, Failed, Finished
    from hsisr.bench.trial import Cell, Dataset, Result, Terms, Variant
    from hsisr.data.protocol import Protocol

THREADS = 2
"""Where none are asked for."""
ON = "+unmixing"
"""Behind the name of a variant that is trained through an unmixing network."""
_WHOLE = 1000
"""Into how many parts the progress of a cell is divided."""

Data = Annotated[
    list[Path],
    typer.Option(help="A folder of scenes as the protocol wants them, or a scene. Repeatable."),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The folder for all cells and the tables.")
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", help="Which pixels train and which test, and how.")
]
Scales = Annotated[
    str, typer.Option("-s", "--scale", metavar="N,M,...", help="Scale factors, from 2 to 8.")
]
Seeds = Annotated[int, typer.Option(min=1, help="How often every variant is trained.")]
Minutes = Annotated[
    float | None, typer.Option(help="Training time of every variant, in steps as measured.")
]
Epochs = Annotated[int | None, typer.Option(help="Or: epochs of every recipe.")]
Threads = Annotated[int, typer.Option(min=1, help="Processor cores to use.")]


@dataclass(frozen=True)
class Trial:
    """What is compared, and on what terms."""

    datasets: Mapping[int, Sequence[Dataset]]
    """By the scale."""
    variants: Sequence[Variant]
    seeds: Sequence[int]
    references: Sequence[str]
    """Models that are not trained here, `bicubic` first."""
    terms: Terms

    def compared(self, scale: int) -> list[str]:
        """The references at one scale: pretrained models only at their own."""
        from hsisr.checkpoints import zoo

        known = {entry.id: entry.scale for entry in zoo.entries() if entry.id in self.references}
        return [name for name in self.references if known.get(name, scale) == scale]

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every data set at every scale."""
        return [(each.name, scale) for scale, some in self.datasets.items() for each in some]

    @property
    def cells(self) -> list[Cell]:
        """All cells, those of the first seed first, so that a table is soon complete."""
        from hsisr.bench.trial import Cell

        return [
            Cell(dataset, scale, variant, seed)
            for seed in self.seeds
            for dataset, scale in self.places
            for variant in self.variants
        ]


@dataclass
class Outcome:
    """The results of a trial so far."""

    results: list[Result] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stopped: Interrupted | None = None
    """The signal that came before all was done."""

    def at(self, dataset: str, scale: int) -> list[Result]:
        """The results on one data set at one scale."""
        return [one for one in self.results if (one.dataset, one.scale) == (dataset, scale)]

    def finished(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that have a result."""
        done = {(one.dataset, one.scale, one.variant, one.seed) for one in self.results}
        return [
            cell
            for cell in cells
            if (cell.dataset, cell.scale, cell.variant.name, cell.seed) in done
        ]

    def require_whole(self) -> None:
        """Raise `Interrupted` if a signal came, `BatchError` if a cell has failed."""
        if self.stopped:
            raise self.stopped
        if self.failed:
            hint = f"their errors are told above; try them again: {shared.again()}"
            raise BatchError(f"failed: {'; '.join(self.failed)}", hint=hint)


def rehearse(trial: Trial) -> None:
    """Print what would be trained; raises `UsageError` or `ModelError` if that cannot be done."""
    from hsisr.bench import runner

    runner.require_sound(trial.variants, list(trial.datasets))
    _require_references(trial)
    count = len(trial.cells)
    names = ", ".join(one.name for one in trial.variants)
    shared.say(f"{counted(count, 'training')}: {names}")


def _require_references(trial: Trial) -> None:
    """Note at which scales a pretrained model is left out, as it was trained for another.

    Raises `ModelError` if that is all of them, or if there is no such model.
    """
    from hsisr.model import load_sr

    for name in trial.references:
        without = [scale for scale in trial.datasets if name not in trial.compared(scale)]
        where = ", ".join(map(str, without))
        if len(without) == len(trial.datasets):
            hint = "--models auto picks one by the scale"
            raise ModelError(f"'{name}' was trained for another scale, not {where}", hint=hint)
        if without:
            shared.note(f"{name} was trained for another scale than {where}, and is left out")
    for scale in trial.datasets:
        for name in trial.compared(scale):
            load_sr(name, scale)


def conduct(trial: Trial) -> Outcome:
    """Prepare, train and test, with progress shown; a signal ends it after the present step.

    An error that concerns all cells is raised; that of a single cell is reported and kept in the
    outcome, as is a signal that comes while cells are trained.
    """
    from hsisr.bench import runner

    hint = f"continue with: {shared.again(without='--overwrite')}"
    outcome = Outcome()
    working = runner.at_work(trial.cells, trial.references, trial.terms)
    with shared.stoppable(hint) as stopper, working:
        for scale, datasets in trial.datasets.items():
            for dataset in datasets:
                _awaited(stopper, runner.prepare(dataset, scale, trial.terms))
        runner.require_buildable(trial.cells, trial.terms)
        runner.require_same(trial.cells, trial.terms)
        for place in trial.places:
            for name in trial.compared(place[1]):
                steps = runner.compared(name, *place, trial.terms)
                outcome.results.append(_awaited(stopper, steps))
        try:
            _train(trial, outcome, stopper)
        except Interrupted as signal:
            outcome.stopped = signal
            # others may have finished what this process has not come to
            outcome.results = [one for one in outcome.results if one.seed is None]
            outcome.results += [result for _, result in _kept(trial) if result]
    return outcome


def _kept(trial: Trial) -> list[tuple[Cell, Result | None]]:
    from hsisr.bench import runner

    return list(zip(trial.cells, runner.kept(trial.cells, trial.terms), strict=True))


def _awaited(stopper: shared.Stopper, work: Any) -> Any:
    """The result of a generator, unless a signal comes first."""
    with closing(work):
        while True:
            stopper.check()
            try:
                next(work)
            except StopIteration as end:
                return end.value


def _train(trial: Trial, outcome: Outcome, stopper: shared.Stopper) -> None:
    from hsisr.bench import runner

    found = _kept(trial)
    outcome.results += [result for _, result in found if result]
    left = [cell for cell, result in found if result is None]
    ended = len(found) - len(left)

    def done(event: Event) -> int:
        return int(_WHOLE * (ended + (event.share if isinstance(event, runner.Step) else 0)))

    with closing(runner.run(left, trial.terms)) as events:
        shown = shared.progress(events, _WHOLE * len(found), "cells", done, already=_WHOLE * ended)
        for event in stopper.heeded(shown):
            if isinstance(event, runner.Finished | runner.Failed):
                ended += 1
                shared.say(f"[{ended}/{len(found)}] {_told(event, outcome)}")


def _told(event: Finished | Failed, outcome: Outcome) -> str:
    """How a cell ended, in one line; adds it to `outcome`."""
    from hsisr.bench.runner import Failed

    label = event.cell.label
    if isinstance(event, Failed):
        outcome.failed.append(label)
        return f"{label}: failed with exit code {shared.tell(event.error)}"
    result = event.result
    reference = outcome.at(result.dataset, result.scale)[0]
    outcome.results.append(result)
    scores = ", ".join(
        f"{name.upper()} {result.measures[name]:.3f} ({reference.measures[name]:.3f})"
        for name in ("psnr", "sam")
        if name in result.measures
    )
    facts = result.facts
    steps = facts["steps"] or 0
    return (
        f"{label}: {scores}, bicubic in brackets; {counted(steps, 'step')} in "
        f"{shared.duration(facts['train_seconds'] or 0)}"
    )


def listed(text: str) -> list[str]:
    """The items between commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def scales(text: str) -> list[int]:
    """Scales between commas; raises `UsageError`."""
    parts = listed(text)
    if not parts or not all(part.isdecimal() and 2 <= int(part) <= 8 for part in parts):
        raise UsageError(f"--scale '{text}' should be from 2 to 8", hint="--scale 4, or 2,4,8")
    return [int(part) for part in parts]


def published_patch(protocol: Protocol) -> list[str]:
    """The side of patches that a protocol publishes, as a setting of a recipe."""
    return [] if protocol.patch is None else [f"sr.training.patch={protocol.patch}"]


def datasets(name: str, paths: Sequence[Path], scales: Sequence[int]) -> dict[int, list[Dataset]]:
    """The data sets of a protocol at each scale; raises `UsageError` or `InputError`."""
    told: set[str] = set()

    def tell_once(note: str) -> None:
        if note not in told:
            told.add(note)
            shared.note(note)

    return {scale: _datasets(name, paths, scale, tell_once) for scale in scales}


def _datasets(
    name: str, paths: Sequence[Path], scale: int, tell: Callable[[str], None]
) -> list[Dataset]:
    from hsisr.data import protocol

    chosen = protocol.load(name)
    found: list[Dataset] = [
        dataset for path in paths for dataset in protocol.datasets(chosen, path, scale, tell)
    ]
    names = [dataset.name for dataset in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two data sets called {', '.join(sorted(twice))}", hint="rename one")
    return found
