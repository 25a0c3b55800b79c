"""What differences show is said in words, and by the numbers of an independent test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from hsisr.bench.ablation import Ablation, Plan
from hsisr.bench.budget import Budget
from hsisr.bench.commutation import commutation
from hsisr.bench.standings import Standing
from hsisr.bench.trial import Cell, Terms
from hsisr.bench.verdict import commutations, conclusions, differences, validated
from hsisr.checkpoints.checkpoint import Checkpoint, save
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import PatchSet
from hsisr.runtime import Runtime
from hsisr.training.steps import untrained
from tests.hsisr.trials import small

VARIANTS = {one.name: one for one in Ablation(small(), Plan()).variants}


def row(name: str, *values: float) -> Standing:
    """The spectral angle falls by as much as PSNR rises."""
    scores = {seed: {"psnr": value, "sam": -value} for seed, value in enumerate(values)}
    return Standing(name, scores, {})


def test_differences_are_paired_by_the_seed() -> None:
    """The seeds differ by far more than the variants do."""
    ablation = Ablation(small(), Plan(["pool"], [1e-3]))
    off, both = [30.0, 35.0, 33.0], [30.5, 35.3, 33.4]
    rows = [row("bicubic", 29.0), row("off", *off), row("pool-0.001+mam", *both)]
    table = differences("scene", rows, ablation.pairs)
    (entry,) = table.entries
    assert entry.name == "pool-0.001+mam − off"
    assert entry.values("psnr") == pytest.approx([0.5, 0.3, 0.4])
    assert entry.deviation("psnr") == pytest.approx(0.1)
    assert table.notes[1:3] == [
        f"{measure} by more than one standard deviation of the seeds: {entry.name}"
        for measure in ("PSNR higher", "SAM lower")
    ]


def test_there_is_nothing_to_say_of_rows_that_are_not_there() -> None:
    table = differences("scene", [row("bicubic", 29.0)], [("mam", "off")])
    assert table.entries == []
    assert table.text()


def test_the_whole_is_held_against_its_control() -> None:
    ablation = Ablation(small(), Plan(["pool"], [1e-3]))
    rows = [row("off", 30.0), row("pool-0.001+mam", 30.5), row("random-pool-0.001+mam", 30.75)]
    found = {
        entry.name: entry.mean("psnr") for entry in differences("x", rows, ablation.pairs).entries
    }
    assert found == {
        "pool-0.001+mam − off": 0.5,
        "random-pool-0.001+mam − off": 0.75,
        "pool-0.001+mam − random-pool-0.001+mam": -0.25,
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.3, 0.1, 0.2), "higher by more than one standard deviation of the seeds"),
        ((-0.3, -0.1, -0.2), "lower by more than one standard deviation of the seeds"),
        ((0.3, -0.2, 0.1), "within one standard deviation of the seeds, which shows nothing"),
        ((0.002, 0.002, 0.002), "within one standard deviation of the seeds, which shows nothing"),
    ],
)
def test_what_a_difference_shows_is_said_in_words(values: tuple[float, ...], said: str) -> None:
    lines = conclusions([row("some", *values)])
    assert lines[0] == f"PSNR {said}: some"


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_how_often_chance_alone_goes_beyond_is_told(seeds: int) -> None:
    """By scipy's test of differences that lie exactly one standard deviation from zero."""
    values = np.arange(seeds, dtype=float)
    values += stdev(values) - values.mean()
    chance = ttest_1samp(values, 0).pvalue
    line = conclusions([row("some", *values)])[-1]
    assert f"{chance:.0%} of the rows" in line
    assert f"with {seeds} seeds" in line


def test_one_seed_shows_nothing() -> None:
    both = conclusions([row("some", 3.0), row("other", 3.0, 3.5)])
    assert both == conclusions([row("other", 3.0, 3.5)])
    assert "from one seed" in " ".join(conclusions([row("some", 3.0)]))


def test_a_variant_is_chosen_by_the_validation_blocks(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, tmp_path: Path
) -> None:
    terms = Terms(tmp_path, Budget(epochs=1), cpu)
    assert validated([], terms) == []
    cells = []
    for name, scores in {
        "off": (31.0, 33.0),
        "mam": (30.0, 36.0),
        "hr-0.001": (32.0, 32.5),
    }.items():
        for seed, psnr in enumerate(scores):
            cell = Cell("scene", 2, VARIANTS[name], seed)
            terms.place(cell).mkdir(parents=True)
            card = replace(unmix.card, scores={"psnr": psnr})
            save(terms.place(cell) / MODEL, card, {"unmixer": unmix.unmixer()})
            cells.append(cell)
    (line,) = validated(cells, terms)
    assert line.endswith("mam 33.00 dB, the highest, hr-0.001 32.25, off 32.00")


def test_the_networks_that_the_cells_were_trained_through_are_measured(
    prepared: PatchSet, unmix: Checkpoint, cpu: Runtime, tmp_path: Path
) -> None:
    terms = Terms(tmp_path, Budget(epochs=1), cpu)
    home = terms.home("scene", 2)
    home.mkdir()
    (home / "data").symlink_to(prepared.folder)
    found = {"trained": [unmix], "random": [untrained(prepared, small(), seed) for seed in (0, 1)]}
    cells = []
    for name, kind in (("off", "none"), ("mam", "trained"), ("random-pool-0.001+mam", "random")):
        for seed, network in enumerate(found.get(kind, [unmix])):
            cell = Cell("scene", 2, VARIANTS[name], seed)
            terms.place(cell).mkdir()
            save(terms.place(cell) / MODEL, network.card, {"unmixer": network.unmixer()})
            cells.append(cell)
    not_done = Cell("scene", 2, VARIANTS["mam"], 1)
    table = commutations("scene", [*cells, not_done], terms)
    for entry, networks in zip(table.entries, found.values(), strict=True):
        errors = [commutation(one.unmixer(), prepared, "test") for one in networks]
        assert entry.values("error") == pytest.approx([one.error for one in errors])
        assert entry.values("error / spread") == pytest.approx([one.relative for one in errors])
