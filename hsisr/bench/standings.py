"""The rows of a table of results: means over seeds, over data sets, and of differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hsisr.bench.scoreboard import Entry
from hsisr.bench.trial import Result

Seed = int | None
"""None for what is not trained here."""


@dataclass(frozen=True)
class Standing:
    """The results of a variant."""

    name: str
    scores: Mapping[Seed, Mapping[str, float]]
    """The measures, by the seed."""
    facts: Mapping[str, float | None]

    @property
    def measures(self) -> dict[str, list[float]]:
        """The values of every measure, one per seed."""
        names = next(iter(self.scores.values()))
        return {name: [score[name] for score in self.scores.values()] for name in names}

    @property
    def entry(self) -> Entry:
        """The row of a table."""
        return Entry(self.name, self.measures, self.facts, list(self.scores))


def standings(results: Iterable[Result]) -> list[Standing]:
    """One row per variant of the results on one data set at one scale, in their order."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.variant, []).append(result)
    return [
        Standing(
            name,
            {result.seed: result.measures for result in some},
            _mean_of([result.facts for result in some]),
        )
        for name, some in found.items()
    ]


def averaged(tables: Sequence[Sequence[Standing]]) -> list[Standing]:
    """The mean over data sets, for every seed of a variant that is done on all of them."""
    rows = []
    for first in tables[0]:
        same = [row for table in tables for row in table if row.name == first.name]
        seeds = [seed for seed in first.scores if all(seed in row.scores for row in same)]
        if len(same) < len(tables) or not seeds:
            continue
        scores = {seed: _mean([row.scores[seed] for row in same]) for seed in seeds}
        rows.append(Standing(first.name, scores, _mean_of([row.facts for row in same])))
    return rows


def differences(rows: Sequence[Standing], pairs: Mapping[str, tuple[str, str]]) -> list[Standing]:
    """For each named pair the first row minus the second, for the seeds that both have."""
    by_name = {row.name: row for row in rows}
    found = [
        _difference(name, by_name[more], by_name[less])
        for name, (more, less) in pairs.items()
        if more in by_name and less in by_name
    ]
    return [row for row in found if row.scores]


def _difference(name: str, more: Standing, less: Standing) -> Standing:
    scores = {
        seed: {key: value - less.scores[seed][key] for key, value in score.items()}
        for seed, score in more.scores.items()
        if seed in less.scores
    }
    return Standing(name, scores, {})


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: fmean(score[key] for score in scores) for key in scores[0]}


def _mean_of(facts: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of what is known."""
    means: dict[str, float | None] = {}
    for key in facts[0]:
        known = [value for fact in facts if (value := fact.get(key)) is not None]
        means[key] = fmean(known) if known else None
    return means
