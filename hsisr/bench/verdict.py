"""What the differences in a comparison show, and what is within the scatter of the seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import sqrt
from statistics import fmean

from scipy.stats import t

from hsisr.bench import standings
from hsisr.bench.commutation import Commutation, commutation
from hsisr.bench.scoreboard import Entry, Table
from hsisr.bench.standings import Standing
from hsisr.bench.trial import Cell, Terms
from hsisr.checkpoints.checkpoint import load
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import open_patches

_ROUNDED = {"psnr": 0.005, "sam": 0.0005}
"""Differences that a table rounds to nothing, in dB and degrees."""
_SAID = {
    "nothing": "within one standard deviation of the seeds, which shows nothing",
    "higher": "higher by more than one standard deviation of the seeds",
    "lower": "lower by more than one standard deviation of the seeds",
}


def differences(title: str, rows: Sequence[Standing], pairs: Sequence[tuple[str, str]]) -> Table:
    """For each pair the first row minus the second, with conclusions in the notes."""
    named = {f"{one} − {other}": (one, other) for one, other in pairs}
    changes = standings.differences(rows, named)
    return Table(
        f"{title}: differences",
        [row.entry for row in changes],
        ["paired by the seed", *conclusions(changes)],
        differences=True,
    )


def conclusions(changes: Sequence[Standing]) -> list[str]:
    """What differences show and what they do not, in words.

    Within one standard deviation of the seeds, or rounded to nothing in the table, a difference
    shows nothing. Of those beyond it some are there by chance; how many is told, by Student's t of
    paired differences.
    """
    repeated = [row for row in changes if len(row.scores) > 1]
    if not repeated:
        return ["from one seed it cannot be told whether a difference is more than chance"]
    seeds = min(len(row.scores) for row in repeated)
    chance = 2 * t.sf(sqrt(seeds), seeds - 1)
    return [
        *(line for measure in _ROUNDED for line in _sorted(repeated, measure)),
        f"if nothing made a difference, {chance:.0%} of the rows would be beyond it by chance, "
        f"with {seeds} seeds",
    ]


def _sorted(changes: Sequence[Standing], measure: str) -> Iterator[str]:
    """Rows sorted by what they show of a measure: nothing, a higher value or a lower one.

    Nothing is said of a measure that was not taken.
    """
    kinds: dict[str, list[str]] = {kind: [] for kind in _SAID}
    for row in changes:
        mean, deviation = row.entry.mean(measure), row.entry.deviation(measure) or 0.0
        if mean is None:
            continue
        shows = abs(mean) > max(deviation, _ROUNDED[measure])
        kinds[("higher" if mean > 0 else "lower") if shows else "nothing"].append(row.name)
    for kind, names in kinds.items():
        if names:
            yield f"{measure.upper()} {_SAID[kind]}: {', '.join(names)}"


def validated(cells: Sequence[Cell], terms: Terms) -> list[str]:
    """Which variant is to be preferred, in words, where any has been trained.

    That is told by the validation blocks: whoever chooses by the test has no test left.
    """
    found: dict[str, list[float]] = {}
    for cell in cells:
        path = terms.place(cell) / MODEL
        if path.exists():
            found.setdefault(cell.variant.name, []).append(load(path).card.scores["psnr"])
    if not found:
        return []
    means = {name: fmean(scores) for name, scores in found.items()}
    first, *others = sorted(means, key=lambda name: -means[name])
    told = [f"{first} {means[first]:.2f} dB, the highest"]
    told += [f"{name} {means[name]:.2f}" for name in others]
    return [f"PSNR on the validation blocks, to choose by: {', '.join(told)}"]


def commutations(title: str, cells: Sequence[Cell], terms: Terms) -> Table:
    """How well the unmixing networks of trained cells commute with the degradation.

    The cells share a data set and a scale, and all of a seed share a network of each kind.
    """
    found: dict[str, dict[int, Commutation]] = {"trained": {}, "random": {}}
    for cell in cells:
        path = terms.place(cell) / MODEL
        known = found.get(cell.variant.unmixing)
        if known is not None and cell.seed not in known and path.exists():
            patches = open_patches(terms.home(cell.dataset, cell.scale))
            known[cell.seed] = commutation(load(path).unmixer(), patches, "test")
    rows = [
        Entry(f"{name} unmixing", _errors(some.values()), {}, list(some))
        for name, some in found.items()
    ]
    notes = [
        "error: mean of |pool(Enc(HR)) − Enc(LR)| over endmembers and pixels of the test blocks",
        "spread: mean of |Enc(LR) − its mean over pixels|, the error of maps that show nothing",
    ]
    return Table(f"{title}: commutation of unmixing and degradation", rows, notes)


def _errors(found: Collection[Commutation]) -> dict[str, list[float]]:
    return {
        "error": [one.error for one in found],
        "spread": [one.spread for one in found],
        "error / spread": [one.relative for one in found],
    }
