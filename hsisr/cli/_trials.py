"""What the commands share that train networks side by side: the work shown, and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _shared as shared
from hsisr.errors import BatchError, UsageError

if TYPE_CHECKING:
    from hsisr.bench.budget import Budget
    from hsisr.bench.runner import Event, Failed, Finished
    from hsisr.bench.scoreboard import Table
    from hsisr.bench.standings import Standing
    from hsisr.bench.trial import Cell, Dataset, Result, Terms, Variant
    from hsisr.protocol import Protocol

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
        from hsisr.bench.trial import Cell

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
    from hsisr.bench import runner

    hint = f"continue with: {shared.again(without='--overwrite')}"
    outcome = Outcome()
    runner.require_known(trial.variants, list(trial.datasets))
    working = runner.at_work(trial.cells, trial.references, trial.terms)
    with shared.stoppable(hint) as stopper, working:
        for scale, datasets in trial.datasets.items():
            for dataset in datasets:
                _awaited(stopper, runner.prepare(dataset, scale, trial.terms))
        runner.require_buildable(trial.cells, trial.terms)
        runner.require_same(trial.cells, trial.terms)
        for place in trial.places:
            for name in trial.references:
                steps = runner.compared(name, *place, trial.terms)
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
    from hsisr.bench import runner

    found = [(cell, runner.kept(cell, trial.terms)) for cell in trial.cells]
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
    """How a cell has ended, in a line; `outcome` takes it in."""
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
    return (
        f"{label}: {scores}, bicubic in brackets; {facts['steps']:.0f} steps in "
        f"{shared.duration(facts['train_seconds'] or 0)}"
    )


def tables(trial: Trial, outcome: Outcome, notes: Sequence[str]) -> list[Table]:
    """One for each of `ranked`, and those of differences."""
    made = []
    for title, rows in ranked(trial, outcome):
        made.append(table(title, rows, notes))
        made += _differences(title, rows)
    return made


def ranked(trial: Trial, outcome: Outcome) -> Iterator[tuple[str, list[Standing]]]:
    """A title and rows for every data set at every scale, then for the mean over data sets."""
    from hsisr.bench.standings import averaged, standings

    for scale, datasets in trial.datasets.items():
        single = {each.name: _ordered(trial, outcome.at(each.name, scale)) for each in datasets}
        rows = {name: standings(results) for name, results in single.items()}
        if len(rows) > 1:
            rows[f"the mean of {len(rows)} data sets"] = averaged(list(rows.values()))
        yield from ((titled(name, scale), some) for name, some in rows.items())


def titled(dataset: str, scale: int) -> str:
    """What the tables of a data set at one scale are called."""
    return f"{dataset}, scale {scale}"


def _ordered(trial: Trial, results: Sequence[Result]) -> list[Result]:
    """Rows as they were asked for, whatever was done first."""
    order = [*trial.references, *(variant.name for variant in trial.variants)]
    return sorted(results, key=lambda one: (order.index(one.variant), one.seed or 0))


def table(
    title: str, rows: Sequence[Standing], notes: Sequence[str], *, differences: bool = False
) -> Table:
    """Rows as a table."""
    from hsisr.bench.scoreboard import Entry, Table

    entries = [Entry(row.name, row.measures, row.facts) for row in rows]
    return Table(title, entries, notes, differences=differences)


def _differences(title: str, rows: Sequence[Standing]) -> list[Table]:
    """With unmixing minus without, where both were trained."""
    from hsisr.bench.standings import difference

    by_name = {row.name: row for row in rows}
    pairs = [(row, by_name.get(f"{name}{ON}")) for name, row in by_name.items()]
    found = [difference(less.name, more, less) for less, more in pairs if more]
    changes = [row for row in found if row]
    if not changes:
        return []
    title = f"{title}: with unmixing minus without"
    note = "paired by the seed; mean and standard deviation of the differences"
    return [table(title, changes, [note], differences=True)]


def write(folder: Path, made: Sequence[Table]) -> list[Path]:
    """The tables as CSV, JSON, LaTeX and Markdown; returns the files."""
    from hsisr.bench.scoreboard import joined
    from hsisr.files import write_durably, write_json

    texts = {
        "csv": joined(made),
        "tex": "\n".join(table.latex() for table in made),
        "md": "\n".join(table.markdown() for table in made),
    }
    files = {kind: folder / f"table.{kind}" for kind in (*texts, "json")}
    for kind, text in texts.items():
        write_durably(files[kind], text.encode())
    write_json(files["json"], [shared.finite(table.json_content()) for table in made])
    return list(files.values())


def draw(trial: Trial, outcome: Outcome) -> list[Path]:
    """A figure per data set and scale, of the first seed's models; none without matplotlib."""
    try:
        from hsisr.bench import showcase
    except ImportError:
        shared.say("note: no figures without matplotlib: pip install 'hsisr[plot]'")
        return []
    from hsisr.bench.examination import estimates
    from hsisr.patches import open_patches

    files = []
    for dataset, scale in trial.places:
        home = trial.terms.home(dataset, scale)
        patches = open_patches(home)
        models = _models(trial, outcome.at(dataset, scale))
        truth, found = estimates(models, patches, trial.terms.runtime.exact)
        files.append(home.with_name(f"{home.name}.png"))
        showcase.draw(files[-1], truth, found, patches.spectrum)
    return files


def _models(trial: Trial, results: Sequence[Result]) -> dict[str, str]:
    """By the name of a row, the model of its first seed that is done."""
    from hsisr.bench.trial import Cell

    variants = {variant.name: variant for variant in trial.variants}
    models: dict[str, str] = {}
    for result in _ordered(trial, results):
        if result.seed is None:
            models[result.variant] = result.variant
        elif result.variant not in models:
            cell = Cell(result.dataset, result.scale, variants[result.variant], result.seed)
            models[result.variant] = str(trial.terms.place(cell))
    return models


def show(made: Sequence[Table], files: Sequence[Path], schema: str | None) -> None:
    """The tables on stdout, as JSON where its `schema` is given, and where their files are."""
    if schema:
        tables = [table.json_content() for table in made]
        shared.print_json({"schema": schema, "tables": tables})
    else:
        shared.print_lines(line for table in made for line in (*table.text(), ""))
    shared.say(f"tables in {', '.join(map(str, files))}")


def listed(text: str) -> list[str]:
    """What stands between the commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def scales(text: str) -> list[int]:
    """Scales between commas; raises `UsageError`."""
    parts = listed(text)
    if not parts or not all(part.isdecimal() and 2 <= int(part) <= 8 for part in parts):
        raise UsageError(f"--scale '{text}' should be from 2 to 8", hint="--scale 4, or 2,4,8")
    return [int(part) for part in parts]


def datasets(name: str, paths: Sequence[Path], scale: int) -> list[Dataset]:
    """What a protocol finds there at one scale; raises `UsageError` and `InputError`."""
    from hsisr import protocol

    chosen = protocol.load(name)
    found: list[Dataset] = [
        dataset for path in paths for dataset in protocol.datasets(chosen, path, scale, shared.note)
    ]
    names = [dataset.name for dataset in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two data sets called {', '.join(sorted(twice))}", hint="rename one")
    return found


def notes(protocol: Protocol, budget: Budget) -> list[str]:
    """What holds for all rows of a table, below it."""
    return [
        f"protocol {protocol.name}, metrics {protocol.metrics}; {budget}; mean ± standard "
        "deviation over seeds",
        "learning rates are halved after the same shares of the training as in the recipes, "
        "warm-ups take 5 % at most; 21 validations each, fewer of few steps, of which the best "
        "weights are tested once",
        "training without validations, on a CPU in the time of the processor; operations of "
        "convolutions and matrix products; memory that upscaling the test blocks adds",
    ]
