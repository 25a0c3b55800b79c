"""`hsisr compare-unmix`: every method of unmixing scored against a truth."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _truth
from hsisr.errors import UsageError, require_known

if TYPE_CHECKING:
    from hsisr.unmixing.comparison import Plan, Row
    from hsisr.unmixing.truth import Truth

    Rows = Mapping[tuple[str | None, str], Row]

_FOOT = (
    "  mean ± standard deviation over seeds; SAD: spectral angle, mean over endmembers; RMSE: of "
    "abundances"
)
_NEEDS_CLASSES = "mesma"
"""A solver that chooses among several spectra of a material; a scene gives one of each."""


def _solvers() -> list[str]:
    return [name for name in options.solvers() if name != _NEEDS_CLASSES]


def command(
    scene: options.Scene,
    truth: _truth.File,
    true_spectra: _truth.Spectra = None,
    unit: _truth.Unit = 1.0,
    endmembers: Annotated[
        int | None,
        typer.Option("-p", "--endmembers", min=1, help="Default: as many as are true."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable. Default: all.", autocompletion=options.methods),
    ] = None,
    abundances: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable. Default: all but mesma.", autocompletion=_solvers),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often each method is run.")] = 10,
    snr: Annotated[
        float | None,
        typer.Option(
            help="Add noise of so many dB to the scene, with every seed another.",
            callback=options.finite,
        ),
    ] = None,
    convention: _truth.Convention = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table in Markdown.")
    ] = False,
    var: options.Var = None,
    axes: options.Axes = None,
) -> None:
    """Score methods of unmixing against a truth, all by the same settings.

    Every method is run with several seeds; rows tell the mean and the standard deviation. Rows
    beside tell what the true endmembers score. No result is chosen by the truth.

    Example: hsisr compare-unmix scene.hdr --truth truth.mat --abundances fcls --abundances nnls
    """
    conventions = _truth.chosen(convention)
    if json and markdown:
        raise UsageError("both --json and --markdown", hint="leave one out")
    with ExitStack() as files:
        asked = _truth.Asked(truth, true_spectra, scene, unit, var, axes)
        known = asked.opened(asked.grid(scene), files)
        plan = _plan(endmembers or len(known.spectra), method, abundances, (seed, seeds), snr)
        rows = _compared(known, plan)
    if json:
        shared.print_json(_record(rows, plan, conventions, scene, truth))
        return
    lines = _table(rows, conventions)
    shared.print_lines(
        _markdown(lines) if markdown else [*shared.table(lines[0], lines[1:]), _FOOT]
    )


def _plan(
    count: int,
    methods: list[str] | None,
    abundances: list[str] | None,
    seeds: tuple[int, int],
    snr: float | None,
) -> Plan:
    from hsisr.unmixing.comparison import Plan

    known = list(options.methods()), _solvers()
    for chosen, names, what in zip(
        (methods, abundances), known, ("method", "abundances"), strict=True
    ):
        for name in chosen or []:
            require_known(what, name, names)
    first, many = seeds
    return Plan(
        count,
        methods or known[0],
        abundances or known[1],
        _truth.ORACLES,
        range(first, first + many),
        snr,
    )


def _compared(truth: Truth, plan: Plan) -> Rows:
    from hsisr.unmixing.comparison import compare

    total = len(plan.seeds) * len(plan.methods)
    with shared.stoppable() as stopper:
        steps = compare(truth, plan, lambda _: stopper.check())
        *_, rows = shared.progress(stopper.heeded(steps), total, "unmixing")
    return rows


def _table(rows: Rows, conventions: list[str]) -> list[list[str]]:
    """The headings, then the rows."""
    columns = {
        "SAD rad": "sad_rad",
        **{f"RMSE {name}": f"rmse_{name}" for name in conventions},
        "reconstruction": "reconstruction_rmse",
        "search s": "search_seconds",
    }
    lines = [
        [
            row.method or "true endmembers",
            row.solver,
            *(_cell(row, key) for key in columns.values()),
        ]
        for row in rows.values()
    ]
    return [["endmembers", "abundances", *columns], *lines]


def _cell(row: Row, measure: str) -> str:
    deviation = row.deviation(measure)
    if measure == "search_seconds":
        return f"{row.mean(measure):.1f}"
    if measure == "reconstruction_rmse":
        return f"{row.mean(measure):.4g}"
    spread = "" if deviation is None else f" ± {deviation:.4f}"
    return f"{row.mean(measure):.4f}{spread}"


def _markdown(lines: list[list[str]]) -> list[str]:
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return [f"| {' | '.join(row)} |" for row in rows]


def _record(
    rows: Rows, plan: Plan, conventions: list[str], scene: Path, truth: Path
) -> dict[str, Any]:
    return {
        "schema": "hsisr/compare-unmix/1",
        "scene": str(scene),
        "truth": str(truth),
        "endmembers": plan.count,
        "seeds": list(plan.seeds),
        "snr_db": plan.snr,
        "conventions": conventions,
        "rows": [
            {
                "method": row.method,
                "abundances": row.solver,
                **{
                    measure: {
                        "mean": row.mean(measure),
                        "sd": row.deviation(measure),
                        "values": [result[measure] for result in row.results],
                    }
                    for measure in row.results[0]
                },
            }
            for row in rows.values()
        ],
    }
