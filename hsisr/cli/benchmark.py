"""`hsisr benchmark`: networks trained and tested side by side under one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _trial_tables as tables
from hsisr.cli import _trials as trials
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.bench.trial import Variant

_UNMIXINGS = {"off": "none", "on": "trained"}


def command(
    data: trials.Data,
    networks: Annotated[
        str, typer.Option(metavar="A,B,...", help="Networks, each trained by its own recipe.")
    ],
    output: trials.Output,
    protocol: trials.ProtocolName = "scenes",
    unmix: Annotated[
        str, typer.Option(metavar="on,off", help="Train with or without unmixing, or both.")
    ] = "off",
    scale: trials.Scales = "4",
    seeds: trials.Seeds = 3,
    minutes: trials.Minutes = None,
    epochs: trials.Epochs = None,
    models: Annotated[
        str, typer.Option(metavar="A,B,...", help="Models that are tested beside, as any-x4.")
    ] = "",
    settings: options.Settings = None,
    device: options.OneDevice = "auto",
    precision: options.Precision = "auto",
    threads: trials.Threads = trials.THREADS,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train networks side by side within one budget, test each once, and write the tables.

    The same command continues what was stopped; several of them at once share the work. Under a
    published protocol all networks train on patches of its size, unless sr.training.patch is set.

    Example: hsisr benchmark --data scenes --networks sspsr,unmixing_sr --minutes 10 -o compared
    """
    from hsisr import runtime
    from hsisr.bench.budget import Budget
    from hsisr.bench.trial import Terms
    from hsisr.data import protocol as protocols

    runtime.limit_threads(threads)
    budget = Budget(epochs, minutes)
    machine, chosen = runtime.choose(device, precision), protocols.load(protocol)
    terms = Terms(output, budget, machine, overwrite, chosen.metrics)
    numbers = [*trials.published_patch(chosen), *(settings or ())]
    variants = _variants(trials.listed(networks), trials.listed(unmix), numbers)
    trial = trials.Trial(
        trials.datasets(protocol, data, trials.scales(scale)),
        variants,
        range(seeds),
        ["bicubic", *trials.listed(models)],
        terms,
    )
    trials.rehearse(trial)
    if dry_run:
        return
    outcome = trials.conduct(trial)
    made = tables.build(trial, outcome, tables.notes(trial, chosen.name))
    tables.publish(trial, outcome, made, "hsisr/benchmark/1" if json else None)
    outcome.require_whole()


def _variants(
    networks: Sequence[str], unmixings: Sequence[str], settings: Sequence[str]
) -> list[Variant]:
    from hsisr.bench.trial import Variant, own_recipe

    unknown = [name for name in unmixings if name not in _UNMIXINGS]
    if unknown or not unmixings:
        raise UsageError(f"--unmix '{','.join(unmixings)}'", hint="on, off or on,off")
    if not networks:
        raise UsageError("no --networks given", hint="--networks sspsr,unmixing_sr")
    return [
        Variant(
            network if choice == "off" else network + trials.ON,
            own_recipe(network, settings),
            _UNMIXINGS[choice],
        )
        for network in networks
        for choice in sorted(unmixings)
    ]
