"""`hsisr ablate`: what each part of the unmixing is worth to a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _trial_tables as tables
from hsisr.cli import _trials as trials
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.bench.ablation import Ablation
    from hsisr.bench.scoreboard import Table
    from hsisr.recipe import Recipe

_USUAL = "unmixing_sr"


def command(
    data: trials.Data,
    output: trials.Output,
    protocol: trials.ProtocolName = "scenes",
    network: Annotated[
        str | None,
        typer.Option(
            help="By its own recipe. Default: unmixing_sr.", autocompletion=options.networks
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Or: the network of a recipe, as of paper.", autocompletion=options.recipes
        ),
    ] = None,
    relation: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Kinds of the loss on abundances that are tried."),
    ] = "pool,nearest,hr,deconv",
    beta: Annotated[
        str, typer.Option(metavar="X,Y,...", help="Weights of it that are tried.")
    ] = "1e-3,0.02,0.2",
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Every kind with every weight, not only those around the recipe's."
        ),
    ] = False,
    scale: trials.Scales = "4",
    seeds: trials.Seeds = 3,
    minutes: trials.Minutes = None,
    epochs: trials.Epochs = None,
    settings: options.Settings = None,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: trials.Threads = trials.THREADS,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a network without unmixing, with each part of it, and with a control.

    The control is all of it through an unmixing network with random weights: what helps as much
    there is not unmixing. By --epochs all variants take the same steps on the same patches, by
    --minutes the same time. Under a published protocol patches are of its size, unless
    sr.training.patch is set. The same command continues what was stopped; several of them at once
    share the work.

    Example: hsisr ablate --data scenes --epochs 60 -o ablated
    """
    from hsisr import runtime
    from hsisr.bench.ablation import Ablation, Plan
    from hsisr.bench.budget import Budget
    from hsisr.bench.trial import Terms
    from hsisr.data import protocol as protocols

    runtime.limit_threads(threads)
    budget = Budget(epochs, minutes)
    machine, chosen = runtime.choose(device, precision), protocols.load(protocol)
    plan = Plan(trials.listed(relation), [_weight(text) for text in trials.listed(beta)], full)
    numbers = [*trials.published_patch(chosen), *(settings or ())]
    ablation = Ablation(_recipe(network, recipe, numbers), plan)
    trial = trials.Trial(
        trials.datasets(protocol, data, trials.scales(scale)),
        ablation.variants,
        range(seeds),
        ["bicubic"],
        Terms(output, budget, machine, overwrite, chosen.metrics),
    )
    trials.rehearse(trial)
    if dry_run:
        return
    outcome = trials.conduct(trial)
    what = f"network {ablation.recipe.sr.network} by the recipe {ablation.recipe.name}"
    notes = [*tables.notes(trial, chosen.name), what, *ablation.legend]
    made = list(_tables(ablation, trial, outcome, notes))
    tables.publish(trial, outcome, made, "hsisr/ablate/1" if json else None)
    outcome.require_whole()


def _recipe(network: str | None, recipe: str | None, settings: Sequence[str]) -> Recipe:
    from hsisr import recipe as recipes
    from hsisr.bench.trial import own_recipe

    if network and recipe:
        raise UsageError("both --network and --recipe", hint="leave one out")
    return recipes.load(recipe, settings) if recipe else own_recipe(network or _USUAL, settings)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--beta '{text}' is no number", hint="--beta 1e-3,0.02") from None


def _tables(
    ablation: Ablation, trial: trials.Trial, outcome: trials.Outcome, notes: Sequence[str]
) -> Iterator[Table]:
    """Scores and differences of each data set and of their mean, then how good the encoders are."""
    from hsisr.bench.verdict import commutations, differences, validated

    done = outcome.finished(trial.cells)
    cells = {
        tables.titled(*place): [c for c in done if (c.dataset, c.scale) == place]
        for place in trial.places
    }
    for title, rows, told in tables.ranked(trial, outcome):
        chosen = validated(cells.get(title, []), trial.terms)
        yield tables.table(trial, title, rows, [*notes, *chosen, *told])
        yield differences(title, rows, ablation.pairs)
    for title, some in cells.items():
        yield commutations(title, some, trial.terms)
