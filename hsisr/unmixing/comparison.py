"""Unmixing methods compared: the same settings, several seeds, judged by one truth.

The truth selects nothing: every seed of every method counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import numpy as np

from hsisr.cube import ArrayCube, Cube
from hsisr.unmixing.agreement import CONVENTIONS, Matrix
from hsisr.unmixing.classical import InScene
from hsisr.unmixing.mixtures import noisy
from hsisr.unmixing.truth import Score, Truth, solved

Measures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """Which methods are compared, and how."""

    count: int
    """Of endmembers."""
    methods: Sequence[str]
    solvers: Sequence[str]
    oracles: Sequence[str]
    """Solvers for the true endmembers."""
    seeds: Sequence[int]
    snr: float | None = None
    """In dB, of noise that is added to the scene, with every seed another one."""


@dataclass
class Row:
    """The scores of a method with a solver, one per seed."""

    method: str | None
    """None: the true endmembers."""
    solver: str
    results: list[Measures] = field(default_factory=list)

    def mean(self, measure: str) -> float:
        """Over the seeds."""
        return fmean(result[measure] for result in self.results)

    def deviation(self, measure: str) -> float | None:
        """The standard deviation over the seeds; None of one."""
        values = [result[measure] for result in self.results]
        return stdev(values) if len(values) > 1 else None


def compare(
    truth: Truth, plan: Plan, progress: Callable[[float], None]
) -> Iterator[Mapping[tuple[str | None, str], Row]]:
    """Yield all rows, by method and solver, whenever a method is done with a seed.

    `truth` has a scene. `progress` is given the share of a search that is done; what it raises ends
    the search. Raises `InputError` if no endmembers can be looked for in the scene.
    """
    named: list[tuple[str | None, str]] = [(None, name) for name in plan.oracles]
    named += [(method, name) for method in plan.methods for name in plan.solvers]
    rows = {key: Row(*key) for key in named}
    for seed in plan.seeds:
        seen = truth if plan.snr is None else _with_noise(truth, plan.snr, seed)
        assert seen.scene is not None
        if seen is not truth or seed == plan.seeds[0]:
            for name in plan.oracles:
                rows[None, name].results.append(measures(seen.oracle(name), 0.0))
        for method in plan.methods:
            started = time.perf_counter()
            spectra = found(seen.scene, method, plan.count, seed, progress)
            seconds = time.perf_counter() - started
            for name in plan.solvers:
                score = seen.score(spectra, solved(seen.scene, spectra, name))
                rows[method, name].results.append(measures(score, seconds))
            yield rows


def found(
    scene: Cube, method: str, count: int, seed: int, progress: Callable[[float], None]
) -> Matrix:
    """Endmembers (p, B) of a scene, 0 in bands that are marked bad.

    Raises `UsageError` or `InputError` if there cannot be as many.
    """
    source = InScene(method, count, seed)
    source.require_fit(scene.spec)
    return source.extracted(source.sample(scene, count), count, progress).astype(np.float64)


def measures(score: Score, seconds: float) -> Measures:
    """A score as numbers by name."""
    result = score.agreement
    kinds = {"rmse": result.error, "mean_rmse": result.mean_error, "sre_db": result.ratio}
    return {
        "sad_rad": result.angle,
        **{f"{kind}_{name}": of(name) for kind, of in kinds.items() for name in CONVENTIONS},
        "reconstruction_rmse": np.nan if score.residual is None else score.residual,
        "search_seconds": seconds,
    }


def _with_noise(truth: Truth, snr: float, seed: int) -> Truth:
    scene = truth.scene
    assert scene is not None
    block = scene.read(scene.spec.window).astype(np.float64)
    noise = noisy(np.nan_to_num(block), snr, np.random.default_rng(seed))
    seen = np.where(np.isfinite(block), noise, np.nan).astype(np.float32)
    return replace(truth, scene=ArrayCube(seen, scene.files[0], scene.spec.spectrum))
