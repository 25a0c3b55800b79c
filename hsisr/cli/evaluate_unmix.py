"""`hsisr evaluate-unmix`: the result of an unmixing scored against a truth."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.cli import _truth
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.unmixing.truth import Score

_ESTIMATE = "the estimate"


def command(
    estimate: Annotated[
        Path, typer.Argument(help="The abundances that `hsisr unmix` wrote, or any others.")
    ],
    truth: _truth.File,
    spectra: Annotated[
        Path | None,
        typer.Option(
            help="Estimated endmembers, CSV, .sli or MAT. Default: SCENE_endmembers.csv beside."
        ),
    ] = None,
    true_spectra: _truth.Spectra = None,
    scene: Annotated[
        Path | None,
        typer.Option(
            help="What was unmixed: for the error of the reconstruction, and for what the true "
            "endmembers would have scored. Default: the scene in the truth's MAT file, if any."
        ),
    ] = None,
    unit: _truth.Unit = 1.0,
    convention: _truth.Convention = None,
    json: options.Json = False,
    var: options.Var = None,
    axes: options.Axes = None,
) -> None:
    """Score the result of an unmixing against a truth.

    Endmembers are matched once, by their spectra; abundances are compared as physical ones, and as
    those of endmembers scaled to a maximum (max) or to a length (l2) of 1. Where the scene is at
    hand, rows beside tell what the true endmembers score, by FCLS and by NNLS.

    Example: hsisr evaluate-unmix scene_abundance.img --truth truth.mat --convention max
    """
    conventions = _truth.chosen(convention)
    asked = _truth.Asked(truth, true_spectra, scene, unit, var, axes)
    with ExitStack() as files:
        scores = _scores(asked, estimate, spectra, files)
    if json:
        shared.print_json(_record(scores, conventions, estimate, truth))
    else:
        shared.print_lines(_tables(scores, conventions))


def _scores(
    asked: _truth.Asked, estimate: Path, spectra: Path | None, files: ExitStack
) -> dict[str, Score]:
    """By name: of the estimate, then of the true endmembers where there is a scene."""
    from hsisr.errors import InputError
    from hsisr.formats import ReadOptions, open_cube
    from hsisr.unmixing.truth import open_maps

    grid = asked.grid(estimate)
    truth = asked.opened(grid, files)
    found = files.enter_context(open_maps(estimate, grid, ReadOptions()))
    endmembers = _truth.spectra_of(spectra, estimate, found.spec.bands)
    if endmembers.shape[1] != truth.spectra.shape[1]:
        raise InputError(
            f"spectra of {counted(endmembers.shape[1], 'band')}, "
            f"the true ones have {truth.spectra.shape[1]}",
            where=estimate,
        )
    beside = _truth.gain_beside(estimate)
    gain = files.enter_context(open_cube(beside)) if beside else None
    scores = {_ESTIMATE: truth.score(endmembers, truth.written(found, gain))}
    if truth.scene is not None:
        scores |= {_truth.oracle(name): truth.oracle(name) for name in _truth.ORACLES}
    return scores


def _tables(scores: dict[str, Score], conventions: list[str]) -> list[str]:
    return [
        *_endmembers(scores[_ESTIMATE], conventions),
        "",
        *_abundances(scores, conventions),
        "",
        *_residuals(scores),
        "  SAD: spectral angle, mean over endmembers; SRE: signal to reconstruction error",
        "  RMSE: over all pixels and endmembers; mean RMSE: the mean of the endmembers' own",
    ]


def _endmembers(score: Score, conventions: list[str]) -> list[str]:
    result = score.agreement
    headings = ["true endmember", "matched to", "SAD rad", "SAD deg"]
    headings += [f"RMSE {name}" for name in conventions]
    rows = [
        [
            str(index + 1),
            "none" if match is None else str(match + 1),
            f"{angle:.4f}",
            f"{math.degrees(angle):.2f}",
            *(f"{result.errors[name][index]:.4f}" for name in conventions),
        ]
        for index, (match, angle) in enumerate(zip(result.matched, result.angles, strict=True))
    ]
    overall = [f"{result.angle:.4f}", f"{math.degrees(result.angle):.2f}"]
    rows.append(["all", "", *overall, *(f"{result.error(name):.4f}" for name in conventions)])
    false = ", ".join(str(index + 1) for index in result.false)
    return [
        *shared.table(headings, rows),
        *([f"  found, but matched to nothing: {false}"] if false else []),
    ]


def _abundances(scores: dict[str, Score], conventions: list[str]) -> list[str]:
    rows = [
        [
            name,
            convention,
            f"{score.agreement.error(convention):.4f}",
            f"{score.agreement.mean_error(convention):.4f}",
            f"{score.agreement.ratio(convention):.2f}",
        ]
        for name, score in scores.items()
        for convention in conventions
    ]
    return shared.table(["abundances of", "convention", "RMSE", "mean RMSE", "SRE dB"], rows)


def _residuals(scores: dict[str, Score]) -> list[str]:
    """The reconstruction errors, where there is a scene."""
    rows = [
        [name, f"{score.residual:.6g}"]
        for name, score in scores.items()
        if score.residual is not None
    ]
    return [*shared.table(["reconstruction by", "RMSE"], rows), ""] if rows else []


def _record(
    scores: dict[str, Score], conventions: list[str], estimate: Path, truth: Path
) -> dict[str, Any]:
    score = scores[_ESTIMATE]
    result = score.agreement
    return {
        "schema": "hsisr/evaluate-unmix/2",
        "estimate": str(estimate),
        "truth": str(truth),
        "matched": [None if match is None else match + 1 for match in result.matched],
        "false": [index + 1 for index in result.false],
        "sad_rad": result.angles,
        "mean_sad_rad": result.angle,
        "mean_sad_deg": math.degrees(result.angle),
        "rmse": {name: result.errors[name] for name in conventions},
        **_truth.overall(score, conventions),
        "oracles": {
            name: _truth.overall(other, conventions)
            for name, other in scores.items()
            if name != _ESTIMATE
        },
    }
