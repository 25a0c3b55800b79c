"""`hsisr benchmark`: networks trained and tested side by side under one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _trials as trials
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.trial import Dataset, Variant

_UNMIXINGS = {"off": "none", "on": "trained"}


def command(
    data: Annotated[
        list[Path],
        typer.Option(help="A folder of scenes as the protocol wants them, or a scene. Repeatable."),
    ],
    networks: Annotated[
        str, typer.Option(metavar="A,B,...", help="Networks, each trained by its own recipe.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder for all cells and the tables.")
    ],
    protocol: Annotated[
        str, typer.Option(help="Which pixels train and which test, and how.")
    ] = "scenes",
    unmix: Annotated[
        str, typer.Option(metavar="on,off", help="Train with or without unmixing, or both.")
    ] = "off",
    scale: Annotated[str, typer.Option("-s", "--scale", metavar="N,M,...")] = "4",
    seeds: Annotated[int, typer.Option(min=1, help="How often every network is trained.")] = 3,
    minutes: Annotated[
        float | None, typer.Option(help="Training time of every network, in steps as measured.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Or: epochs of every recipe.")] = None,
    models: Annotated[
        str, typer.Option(metavar="A,B,...", help="Models that are tested beside, as any-x4.")
    ] = "",
    settings: options.Settings = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = trials.THREADS,
    json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train networks side by side within one budget, test each once, and write the tables.

    The same command continues what was stopped; several of them at once share the work.

    Example: hsisr benchmark --data scenes --networks sspsr,unmixing_sr --minutes 10 -o compared
    """
    from hsisr import runtime
    from hsisr.budget import Budget
    from hsisr.trial import Terms

    runtime.limit_threads(threads)
    budget = Budget(epochs, minutes)
    terms = Terms(output, budget, runtime.choose(device, precision), overwrite)
    variants = _variants(_listed(networks), _listed(unmix), settings or ())
    scales = _scales(scale)
    trial = trials.Trial(
        {number: _datasets(protocol, data, number) for number in scales},
        variants,
        range(seeds),
        ["bicubic", *_listed(models)],
        terms,
    )
    outcome = trials.conduct(trial)
    made = trials.tables(trial, outcome, _notes(protocol, budget))
    files = trials.write(output, made)
    if json:
        shared.print_json(
            {"schema": "hsisr/benchmark/1", "tables": [table.json_content() for table in made]}
        )
    else:
        shared.print_lines(line for table in made for line in (*table.text(), ""))
    shared.say(f"tables in {', '.join(map(str, files))}")
    outcome.require_whole()


def _listed(text: str) -> list[str]:
    """What stands between the commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _scales(text: str) -> list[int]:
    parts = _listed(text)
    if not parts or not all(part.isdecimal() and 2 <= int(part) <= 8 for part in parts):
        raise UsageError(f"--scale '{text}' should be from 2 to 8", hint="--scale 4, or 2,4,8")
    return [int(part) for part in parts]


def _variants(
    networks: Sequence[str], unmixings: Sequence[str], settings: Sequence[str]
) -> list[Variant]:
    from hsisr.trial import Variant, own_recipe

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


def _datasets(name: str, paths: Sequence[Path], scale: int) -> list[Dataset]:
    from hsisr import protocol

    chosen = protocol.load(name)
    found: list[Dataset] = [
        dataset for path in paths for dataset in protocol.datasets(chosen, path, scale)
    ]
    names = [dataset.name for dataset in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two data sets called {', '.join(sorted(twice))}", hint="rename one")
    return found


def _notes(protocol: str, budget: object) -> list[str]:
    return [
        f"protocol {protocol}; {budget}; mean ± standard deviation over seeds",
        "learning rates are halved after the same shares of the training as in the recipes, "
        "warm-ups take 5 % at most; 21 validations each, of which the best weights are tested once",
    ]
