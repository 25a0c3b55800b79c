"""Tables and figures of the outcome, for the commands that train networks side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.cli import _trials as trials
from hsisr.errors import ModelError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.bench.scoreboard import Table
    from hsisr.bench.standings import Standing
    from hsisr.bench.trial import Result
    from hsisr.cube import Block
    from hsisr.data.patches import PatchSet
    from hsisr.runtime import Runtime


def build(trial: trials.Trial, outcome: trials.Outcome, notes: Sequence[str]) -> list[Table]:
    """All tables of a comparison: scores, each followed by what unmixing changes in them."""
    made = []
    for title, rows, told in ranked(trial, outcome):
        made.append(table(trial, title, rows, [*notes, *told]))
        made += _differences(trial, title, rows)
    return made


def ranked(
    trial: trials.Trial, outcome: trials.Outcome
) -> Iterator[tuple[str, list[Standing], list[str]]]:
    """Title, rows and notes of every table of scores: one per data set and scale.

    At each scale the mean over data sets follows, if there are several.
    """
    from hsisr.bench.standings import averaged, standings

    for scale, datasets in trial.datasets.items():
        single = {each.name: _ordered(trial, outcome.at(each.name, scale)) for each in datasets}
        rows = {name: standings(results) for name, results in single.items()}
        told = {name: list(_data(trial, name, scale)) for name in rows}
        if len(rows) > 1:
            mean = f"the mean of {len(rows)} data sets"
            told[mean] = [line for lines in told.values() for line in lines]
            rows[mean] = averaged(list(rows.values()))
        measures = _measures(trial, scale)
        for name, some in rows.items():
            yield titled(name, scale), some, [*told[name], *measures]


def _data(trial: trials.Trial, dataset: str, scale: int) -> Iterator[str]:
    """How a data set was degraded, what its values are divided by, and which models know it."""
    from hsisr.bench.scoring import seen
    from hsisr.data.patches import open_patches
    from hsisr.model import load_sr

    patches = open_patches(trial.terms.home(dataset, scale))
    operator, peak = patches.manifest["degradation"], patches.manifest["peak_is"]
    yield f"{dataset}: degradation {operator}; peak {patches.peak:.6g}, {peak}"
    for name in trial.compared(scale):
        # one that is gone since it was tested is still in the table
        with suppress(ModelError):
            yield from seen(load_sr(name, scale), patches.manifest)


def _measures(trial: trials.Trial, scale: int) -> list[str]:
    """The definitions of the measures."""
    from hsisr.evaluate import definitions

    return definitions(peak="the peak of the data", ratio=scale, preset=trial.terms.metrics)


def titled(dataset: str, scale: int) -> str:
    """The title of the table of a data set at one scale."""
    return f"{dataset}, scale {scale}"


def _ordered(trial: trials.Trial, results: Sequence[Result]) -> list[Result]:
    """Results in the order of the options, whichever was finished first."""
    order = [*trial.references, *(variant.name for variant in trial.variants)]
    return sorted(results, key=lambda one: (order.index(one.variant), one.seed or 0))


def table(
    trial: trials.Trial,
    title: str,
    rows: Sequence[Standing],
    notes: Sequence[str],
    *,
    differences: bool = False,
) -> Table:
    """Rows as a table."""
    from hsisr.bench.scoreboard import Table

    entries = [row.entry for row in rows]
    return Table(title, entries, notes, differences=differences, repeats=len(trial.seeds))


def _differences(trial: trials.Trial, title: str, rows: Sequence[Standing]) -> list[Table]:
    """With unmixing minus without, where both were trained."""
    from hsisr.bench.standings import differences

    changes = differences(rows, {row.name: (f"{row.name}{trials.ON}", row.name) for row in rows})
    if not changes:
        return []
    title = f"{title}: with unmixing minus without"
    note = "paired by the seed"
    if len(trial.seeds) > 1:
        note += "; mean ± standard deviation of the differences"
    return [table(trial, title, changes, [note], differences=True)]


def publish(
    trial: trials.Trial, outcome: trials.Outcome, made: Sequence[Table], schema: str | None
) -> None:
    """Show the tables, as JSON where its `schema` is given; then write them, and the figures.

    Another process that has come to the same end is waited for. Of a trial that was stopped, tables
    that say so are written, if anything is finished.
    """
    from hsisr.bench.claims import alone

    if outcome.stopped:
        _publish_unfinished(trial, outcome, made)
        return
    if schema:
        content = [table.json_content() for table in made]
        shared.print_json({"schema": schema, "tables": content})
    else:
        shared.print_lines(line for table in made for line in (*table.text(), ""))
    folder = trial.terms.folder
    with alone(folder / "tables"):
        shared.say(f"tables in {', '.join(map(str, _write(folder, made)))}")
        figures = _draw(trial, outcome)
    if figures:
        shared.say(f"figures in {', '.join(map(str, figures))}")


def _publish_unfinished(
    trial: trials.Trial, outcome: trials.Outcome, made: Sequence[Table]
) -> None:
    from hsisr.bench.claims import alone

    done, folder = len(outcome.finished(trial.cells)), trial.terms.folder
    if not done:
        return
    share = f"{done} of {counted(len(trial.cells), 'training')}"
    marked = [replace(table, title=f"{table.title} (unfinished: {share})") for table in made]
    with alone(folder / "tables"):
        files = _write(folder, marked)
    shared.say(f"unfinished tables, of {share}, in {', '.join(map(str, files))}")


def _write(folder: Path, made: Sequence[Table]) -> list[Path]:
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


def _draw(trial: trials.Trial, outcome: trials.Outcome) -> list[Path]:
    """A figure per data set and scale, of the first seed's models; none without matplotlib."""
    try:
        from hsisr.bench import showcase
    except ImportError:
        shared.note("no figures without matplotlib: pip install 'hsisr[plot]'")
        return []
    from hsisr.bench.examination import largest
    from hsisr.data.patches import open_patches

    files = []
    for dataset, scale in trial.places:
        home = trial.terms.home(dataset, scale)
        patches = open_patches(home)
        models = _models(trial, outcome.at(dataset, scale))
        found = dict(_estimates(models, patches, trial.terms.runtime.exact))
        if found:
            files.append(home.with_name(f"{home.name}.png"))
            showcase.draw(files[-1], largest(patches), found, patches.spectrum)
    return files


def _estimates(
    models: Mapping[str, str], patches: PatchSet, runtime: Runtime
) -> Iterator[tuple[str, Block]]:
    """The estimate of the largest test block by every model that still exists."""
    from hsisr.bench.examination import estimate

    for label, name in models.items():
        try:
            yield label, estimate(name, patches, runtime)
        except ModelError as error:
            shared.note(f"{label} is left out of the figure: {error}")


def _models(trial: trials.Trial, results: Sequence[Result]) -> dict[str, str]:
    """For each row the model of the first seed that is done."""
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


def notes(trial: trials.Trial, protocol: str) -> list[str]:
    """The notes below every table."""
    import torch

    terms, seeds, threads = trial.terms, len(trial.seeds), torch.get_num_threads()
    spread = f"{seeds} seeds, mean ± standard deviation over them" if seeds > 1 else "1 seed"
    return [
        f"protocol {protocol}, metrics {terms.metrics}; {terms.budget}; {spread}",
        f"trained on {terms.runtime.description}, tested in fp32, by "
        f"{counted(threads, 'thread')} of the processor",
        "learning rates are halved after the same shares of the training as in the recipes, "
        "warm-ups take 5 % at most; 21 validations each, fewer of few steps, of which the best "
        "weights are tested once",
        "training without validations; output of the model on the low-resolution test blocks, once "
        "it is set; on a CPU both in the time of the processor, divided by the threads",
        "operations of convolutions and matrix products; memory that a model and its upscaling of "
        "the largest test block add",
    ]
