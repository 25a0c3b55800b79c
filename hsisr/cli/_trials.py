"""What the commands share that train networks side by side: the work shown, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.errors import BatchError

if TYPE_CHECKING:
    from hsisr.contest import Event, Failed, Finished
    from hsisr.scoreboard import Table
    from hsisr.standings import Standing
    from hsisr.trial import Cell, Dataset, Result, Terms, Variant

THREADS = 2
"""Where none are asked for."""
ON = "+unmixing"
"""Behind the name of a variant that is trained through an unmixing network."""
_WHOLE = 1000
"""Into how many parts the progress of a cell is divided."""


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

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every data set at every scale."""
        return [(each.name, scale) for scale, some in self.datasets.items() for each in some]

    @property
    def cells(self) -> list[Cell]:
        """All cells, those of the first seed first, so that a table is soon complete."""
        from hsisr.trial import Cell

        return [
            Cell(dataset, scale, variant, seed)
            for seed in self.seeds
            for dataset, scale in self.places
            for variant in self.variants
        ]


@dataclass
class Outcome:
    """What a trial has come to so far."""

    results: list[Result] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def at(self, dataset: str, scale: int) -> list[Result]:
        """The results on one data set at one scale."""
        return [one for one in self.results if (one.dataset, one.scale) == (dataset, scale)]

    def require_whole(self) -> None:
        """Raise `BatchError` if a cell has failed."""
        if self.failed:
            hint = f"their errors are told above; try them again: {shared.again()}"
            raise BatchError(f"failed: {'; '.join(self.failed)}", hint=hint)


def conduct(trial: Trial) -> Outcome:
    """Prepare, train and test, with progress shown; a signal ends it after the present step.

    Raises what stands in the way of all cells; the errors of single ones are told and kept.
    """
    from hsisr import contest

    hint = f"continue with: {shared.again(without='--overwrite')}"
    outcome = Outcome()
    with shared.stoppable(hint) as stopper:
        contest.require_known(trial.variants, list(trial.datasets))
        for scale, datasets in trial.datasets.items():
            for dataset in datasets:
                _awaited(stopper, contest.prepare(dataset, scale, trial.terms))
        contest.require_buildable(trial.cells, trial.terms)
        if not trial.terms.overwrite:
            contest.require_same(trial.cells, trial.terms)
        for place in trial.places:
            for name in trial.references:
                steps = contest.compared(name, *place, trial.terms)
                outcome.results.append(_awaited(stopper, steps))
        _train(trial, outcome, stopper)
    return outcome


def _awaited(stopper: shared.Stopper, work: Any) -> Any:
    """What work comes to, unless a signal comes."""
    with closing(work):
        while True:
            stopper.check()
            try:
                next(work)
            except StopIteration as end:
                return end.value


def _train(trial: Trial, outcome: Outcome, stopper: shared.Stopper) -> None:
    from hsisr import contest

    found = [(cell, contest.kept(cell, trial.terms)) for cell in trial.cells]
    outcome.results += [result for _, result in found if result]
    left = [cell for cell, result in found if result is None]
    ended = len(found) - len(left)

    def done(event: Event) -> int:
        return int(_WHOLE * (ended + (event.share if isinstance(event, contest.Step) else 0)))

    with closing(contest.run(left, trial.terms)) as events:
        shown = shared.progress(events, _WHOLE * len(found), "cells", done, already=_WHOLE * ended)
        for event in stopper.heeded(shown):
            if isinstance(event, contest.Finished | contest.Failed):
                ended += 1
                shared.say(f"[{ended}/{len(found)}] {_told(event, outcome)}")


def _told(event: Finished | Failed, outcome: Outcome) -> str:
    """How a cell has ended, in a line; `outcome` takes it in."""
    from hsisr.contest import Failed

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
    )
    facts = result.facts
    return (
        f"{label}: {scores}, bicubic in brackets; {facts['steps']:.0f} steps in "
        f"{shared.duration(facts['train_seconds'] or 0)}"
    )


def tables(trial: Trial, outcome: Outcome, notes: Sequence[str]) -> list[Table]:
    """One per data set and scale, one per scale over all data sets; then those of differences."""
    from hsisr.standings import averaged, standings

    made = []
    for scale, datasets in trial.datasets.items():
        single = {each.name: _ordered(trial, outcome.at(each.name, scale)) for each in datasets}
        rows = {name: standings(results) for name, results in single.items()}
        if len(rows) > 1:
            rows[f"the mean of {len(rows)} data sets"] = averaged(list(rows.values()))
        for name, some in rows.items():
            made.append(_table(f"{name}, scale {scale}", some, notes))
            made += _differences(f"{name}, scale {scale}", some)
    return made


def _ordered(trial: Trial, results: Sequence[Result]) -> list[Result]:
    """Rows as they were asked for, whatever was done first."""
    order = [*trial.references, *(variant.name for variant in trial.variants)]
    return sorted(results, key=lambda one: (order.index(one.variant), one.seed or 0))


def _table(title: str, rows: Sequence[Standing], notes: Sequence[str]) -> Table:
    from hsisr.scoreboard import Entry, Table

    return Table(title, [Entry(row.name, row.measures, row.facts) for row in rows], notes)


def _differences(title: str, rows: Sequence[Standing]) -> list[Table]:
    """With unmixing minus without, where both were trained."""
    from hsisr.standings import difference

    by_name = {row.name: row for row in rows}
    pairs = [(row, by_name.get(f"{name}{ON}")) for name, row in by_name.items()]
    found = [difference(less.name, more, less) for less, more in pairs if more]
    changes = [row for row in found if row]
    note = "paired by the seed; mean and standard deviation of the differences"
    return [_table(f"{title}: with unmixing minus without", changes, [note])] if changes else []


def write(folder: Path, made: Sequence[Table]) -> list[Path]:
    """The tables as CSV, JSON, LaTeX and Markdown; returns the files."""
    from hsisr.files import write_durably, write_json

    texts = {
        "csv": "\n".join(f"# {table.title}\n{table.csv()}" for table in made),
        "tex": "\n".join(table.latex() for table in made),
        "md": "\n".join(table.markdown() for table in made),
    }
    files = {kind: folder / f"table.{kind}" for kind in (*texts, "json")}
    for kind, text in texts.items():
        write_durably(files[kind], text.encode())
    write_json(files["json"], [shared.finite(table.json_content()) for table in made])
    return list(files.values())
