"""Tables of what methods score: for the terminal, for papers, and for other programs.

All that is meant to be read shows the same rounded numbers; CSV and JSON hold every value in full.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import stdev
from typing import Any

from hsisr.bench import typeset
from hsisr.bench.typeset import Cell, Column
from hsisr_models.metrics import SHELF as METRICS

_DECIMALS = {"dB": 2, "°": 3, "%": 2}
"""Of a measure, by its unit; of any other:"""
_FINE = 4
_NONE = "–"


@dataclass(frozen=True)
class Entry:
    """The scores and costs of one method."""

    name: str
    measures: Mapping[str, Sequence[float]]
    """By the metric's name, one value per seed."""
    facts: Mapping[str, float | None]
    """What it costs: `parameters`, `operations` (floating-point operations per output pixel),
    `pixels_per_second`, `peak_memory` (bytes), `train_seconds`, `unmix_seconds` (the training of
    the unmixing network), `steps`; None if not known."""
    seeds: Sequence[int | None] = ()
    """That of each value, counted from 0; none of what is not trained."""

    def values(self, measure: str) -> list[float]:
        """One per seed; none where it was not measured."""
        return [float(value) for value in self.measures.get(measure, ())]

    def mean(self, measure: str) -> float | None:
        """Over the seeds; NaN if one of them is."""
        values = self.values(measure)
        return sum(values) / len(values) if values else None

    def deviation(self, measure: str) -> float | None:
        """The standard deviation over the seeds; None of one, or where it is not finite."""
        values = self.values(measure)
        known = len(values) > 1 and all(map(math.isfinite, values))
        return stdev(values) if known else None


@dataclass(frozen=True)
class _Fact:
    """How a fact is shown: in so many units, with so many significant digits."""

    label: str
    unit: str
    size: float
    digits: int = 3


_FACTS = {
    "parameters": _Fact("parameters", "M", 1e6),
    "operations": _Fact("operations", "MFLOP/pixel", 1e6),
    "pixels_per_second": _Fact("output", "kpixel/s", 1e3),
    "peak_memory": _Fact("memory", "MiB", 2**20),
    "train_seconds": _Fact("training", "min", 60),
    "unmix_seconds": _Fact("unmixing", "min", 60),
    "steps": _Fact("steps", "", 1, 0),
}


@dataclass(frozen=True)
class Table:
    """A table with a row per method: its scores, then its costs."""

    title: str
    entries: Sequence[Entry]
    notes: Sequence[str] = ()
    differences: bool = False
    """Whether these are differences of scores: shown with their sign, none of them the best."""
    repeats: int = 1
    """From how many seeds each method should have been trained; those from fewer are marked."""

    @cached_property
    def _measures(self) -> list[str]:
        return list(dict.fromkeys(name for entry in self.entries for name in entry.measures))

    @cached_property
    def _facts(self) -> list[str]:
        """Those that are known of any entry."""
        known = [entry.facts for entry in self.entries]
        return [name for name in _FACTS if any(facts.get(name) is not None for facts in known)]

    @cached_property
    def _columns(self) -> list[Column]:
        column = _difference if self.differences else _measured
        scores = [column(name, self.entries) for name in self._measures]
        return [*scores, *(_told(name, self.entries) for name in self._facts)]

    @cached_property
    def _names(self) -> list[str]:
        return [entry.name + self._short(entry) for entry in self.entries]

    def _short(self, entry: Entry) -> str:
        """The remark behind the name of a method that lacks seeds."""
        trained = sum(seed is not None for seed in entry.seeds)
        return f" ({trained} of {self.repeats} seeds)" if 0 < trained < self.repeats else ""

    def text(self) -> list[str]:
        """Lines for the terminal, in aligned columns."""
        return typeset.text(self.title, self._names, self._columns, self.notes)

    def markdown(self) -> str:
        """A table of GitHub's Markdown, the best of each measure in bold."""
        return typeset.markdown(self.title, self._names, self._columns, self.notes)

    def latex(self) -> str:
        """A `table` for the package booktabs, the best of each measure bold, the second underlined.

        Notes stand below it.
        """
        return typeset.latex(self.title, self._names, self._columns, self.notes)

    def csv(self) -> str:
        """One line per method and seed, in full; empty where nothing is known.

        Seeds are counted from 0, and empty of what is not trained. What a method costs is repeated
        in each of its lines.
        """
        return _csv(["name", "seed", *self._measures, *self._facts], self.records())

    def records(self) -> Iterator[dict[str, Any]]:
        """The lines of the CSV."""
        for entry in self.entries:
            scores = {name: entry.values(name) for name in self._measures}
            facts = {name: entry.facts.get(name) for name in self._facts}
            for i in range(max([1, *map(len, scores.values())])):
                known = {name: values[i] for name, values in scores.items() if i < len(values)}
                seed = entry.seeds[i] if i < len(entry.seeds) else None
                yield {"name": entry.name, "seed": seed, **known, **facts}

    def json_content(self) -> dict[str, Any]:
        """Everything in full, ready for JSON: None stands for a number that is not finite."""
        return {
            "title": self.title,
            "entries": [_record(entry) for entry in self.entries],
            "notes": list(self.notes),
        }


def joined(tables: Sequence[Table]) -> str:
    """Several tables as one CSV, their titles in its first column."""
    lines = [{"table": table.title, **line} for table in tables for line in table.records()]
    return _csv(list(dict.fromkeys(key for line in lines for key in line)), lines)


def _csv(columns: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _measured(name: str, entries: Sequence[Entry]) -> Column:
    """The column of a measure; without a best if it is on no shelf."""
    heading, decimals, higher = _shown(name)
    ranks = _ranks([entry.mean(name) for entry in entries], decimals, higher)
    cells = [
        _score(entry, name, f"z.{decimals}f", rank)
        for entry, rank in zip(entries, ranks, strict=True)
    ]
    return Column(heading, cells)


def _difference(name: str, entries: Sequence[Entry]) -> Column:
    heading, decimals, _ = _shown(name)
    return Column(heading, [_score(entry, name, f"+z.{decimals}f") for entry in entries])


def _shown(name: str) -> tuple[str, int, bool | None]:
    """How a measure is headed, with how many decimals it is shown, and whether more is better.

    One that is on no shelf has no unit, and neither more nor less of it is better.
    """
    if name not in METRICS:
        return name, _FINE, None
    metric = METRICS[name]
    arrow = "↑" if metric.HIGHER_IS_BETTER else "↓"
    decimals = _DECIMALS.get(metric.UNIT, _FINE)
    return _heading(metric.LABEL, metric.UNIT, arrow), decimals, metric.HIGHER_IS_BETTER


def _ranks(means: Sequence[float | None], decimals: int, higher: bool | None) -> list[int | None]:
    """0 the best, 1 the second; what reads the same has the same rank, one alone has none."""
    rounded = [
        None if mean is None or math.isnan(mean) else round(mean, decimals) for mean in means
    ]
    known = [mean for mean in rounded if mean is not None]
    ranked = len(known) > 1 and higher is not None
    order = sorted(set(known), reverse=bool(higher))[:2] if ranked else []
    return [order.index(mean) if mean in order else None for mean in rounded]


def _score(entry: Entry, name: str, form: str, rank: int | None = None) -> Cell:
    """The mean and deviation; the `z` in `form` keeps zero from having a minus sign."""
    mean, deviation = entry.mean(name), entry.deviation(name)
    if mean is None:
        return Cell(_NONE)
    spread = "" if deviation is None else f" ± {deviation:{form.lstrip('+')}}"
    return Cell(_minus(f"{mean:{form}}"), spread, rank)


def _told(name: str, entries: Sequence[Entry]) -> Column:
    fact = _FACTS[name]
    cells = [Cell(_significant(entry.facts.get(name), fact)) for entry in entries]
    return Column(_heading(fact.label, fact.unit), cells)


def _significant(value: float | None, fact: _Fact) -> str:
    if value is None or not math.isfinite(value):
        return _NONE
    value /= fact.size
    decimals = fact.digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return _minus(f"{value:.{max(decimals, 0)}f}")


def _heading(label: str, unit: str, arrow: str = "") -> str:
    return " ".join(filter(None, (label, unit and f"[{unit}]", arrow)))


def _minus(number: str) -> str:
    """The number with a minus sign instead of a hyphen."""
    return number.replace("-", "−")


def _record(entry: Entry) -> dict[str, Any]:
    measures = {
        name: {
            "mean": _finite(entry.mean(name)),
            "sd": entry.deviation(name),
            "values": [_finite(value) for value in entry.values(name)],
        }
        for name in entry.measures
    }
    facts = {name: _finite(value) for name, value in entry.facts.items()}
    return {
        "name": entry.name,
        "seeds": list(entry.seeds),
        "measures": measures,
        "facts": facts,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
