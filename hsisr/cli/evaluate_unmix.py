"""`hsisr evaluate-unmix`: the result of an unmixing scored against a truth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import InputError, UsageError

if TYPE_CHECKING:
    from hsisr.agreement import Agreement, Matrix
    from hsisr.cube import Cube

_MAPS, _SPECTRA = "_abundance", "_endmembers.csv"


def _conventions() -> list[str]:
    # to ask hsisr.agreement for them would import scipy
    return ["physical", "max", "l2"]


def command(
    estimate: Annotated[Path, typer.Argument(help="The abundances that `hsisr unmix` wrote.")],
    truth: Annotated[
        Path,
        typer.Option(
            help="True abundances, of any format; a MAT file may hold the endmembers too."
        ),
    ],
    spectra: Annotated[
        Path | None,
        typer.Option(help="Estimated endmembers, CSV. Default: SCENE_endmembers.csv beside."),
    ] = None,
    true_spectra: Annotated[
        Path | None,
        typer.Option(help="True endmembers, CSV or MAT. Default: with the true abundances."),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            help="What abundances of the truth refer to: physical, max or l2. Default: all three.",
            autocompletion=_conventions,
        ),
    ] = None,
    json: options.Json = False,
    var: options.Var = None,
    axes: options.Axes = None,
) -> None:
    """Score the result of an unmixing against a truth.

    Endmembers are matched once, by their spectra; abundances are compared as physical ones, and as
    those of endmembers scaled to a maximum (max) or to a length (l2) of 1.

    Example: hsisr evaluate-unmix scene_abundance.img --truth truth.mat --convention max
    """
    if convention not in (None, *_conventions()):
        raise UsageError(f"no convention '{convention}'", hint="physical, max or l2")
    chosen = [convention] if convention else _conventions()
    with (
        shared.open_scene(estimate, None, None) as found,
        shared.open_scene(truth, var, axes) as true,
    ):
        result = _compared(
            true,
            found,
            _spectra_of(true_spectra or truth, true.spec.bands),
            _spectra_of(spectra or _beside(estimate), found.spec.bands),
        )
    if json:
        shared.print_json(_record(result, chosen, estimate, truth))
    else:
        shared.print_lines(_table(result, chosen))


def _beside(abundances: Path) -> Path:
    """The table of endmembers that `hsisr unmix` writes with a file of abundances."""
    return abundances.with_name(abundances.stem.removesuffix(_MAPS) + _SPECTRA)


def _spectra_of(path: Path, count: int) -> Matrix:
    """`count` spectra from a table, a MAT file, or the table beside a file of abundances."""
    from hsisr.formats import mat5
    from hsisr.formats.envi.library import read_table

    if path.suffix.lower() == ".mat":
        return mat5.read_spectra(path, count)
    table = path if path.suffix.lower() == ".csv" else _beside(path)
    spectra = read_table(table)
    if len(spectra) != count:
        raise InputError(
            f"holds {len(spectra)} spectra, there are abundances of {count}", where=table
        )
    return spectra


def _compared(true: Cube, found: Cube, true_spectra: Matrix, spectra: Matrix) -> Agreement:
    from hsisr.agreement import Comparison
    from hsisr.evaluate import strips_of

    if true_spectra.shape[1] != spectra.shape[1]:
        raise InputError(
            f"spectra of {spectra.shape[1]} bands, the true ones have {true_spectra.shape[1]}",
            where=found.files[0],
        )
    comparison = Comparison(true_spectra, spectra)
    for window, block in strips_of(found, true.spec.rows, true.spec.cols):
        comparison.update(true.read(window), block)
    return comparison.result()


def _table(result: Agreement, conventions: list[str]) -> list[str]:
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
    return [
        *shared.table(headings, rows),
        "  SAD: spectral angle, mean over endmembers; RMSE: of abundances, over all pixels and "
        "endmembers",
    ]


def _record(
    result: Agreement, conventions: list[str], estimate: Path, truth: Path
) -> dict[str, Any]:
    return {
        "schema": "hsisr/evaluate-unmix/1",
        "estimate": str(estimate),
        "truth": str(truth),
        "matched": [None if match is None else match + 1 for match in result.matched],
        "sad_rad": result.angles,
        "mean_sad_rad": result.angle,
        "mean_sad_deg": math.degrees(result.angle),
        "rmse": {name: result.errors[name] for name in conventions},
        "pooled_rmse": {name: result.error(name) for name in conventions},
    }
