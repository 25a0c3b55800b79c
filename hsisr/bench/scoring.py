"""A model scored on a truth, which is degraded, upscaled and compared with itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hsisr import evaluate
from hsisr.cube import Block, Cube
from hsisr.data.patches import scenes_seen
from hsisr.model import SrModel
from hsisr.runtime import Runtime
from hsisr.scene.degraded import DegradedCube
from hsisr.scene.survey import survey
from hsisr.tiling.run import gather_strips, run
from hsisr.window import Window

Strips = Iterator[tuple[Window, Block]]


@dataclass(frozen=True)
class Terms:
    """How a truth is degraded, upscaled and compared."""

    scale: int
    operator: str
    """Of the degradation."""
    peak: float
    """What values are divided by."""
    metrics: str
    """A preset of `evaluate`."""
    runtime: Runtime
    tile: int
    """Side in low-resolution pixels."""


def score(
    truth: Cube,
    model: SrModel,
    terms: Terms,
    shown: Callable[[Strips], Strips] = lambda strips: strips,
) -> dict[str, float]:
    """The measures of a model of that scale; no more is held in memory than a strip of tiles.

    Strips of the estimate pass through `shown`. Raises `ModelError` if the model does not fit.
    """
    low = DegradedCube(truth, terms.scale, terms.operator)
    model.require_fit(low.spec)
    seen = survey(low, model.tokens)
    operation = model.operation(seen, terms.runtime)
    windows = run(low, operation, seen, tile=terms.tile, runtime=terms.runtime)
    strips = shown(gather_strips(windows, low.spec.upscaled(terms.scale).cols))
    return evaluate.measure(truth, strips, peak=terms.peak, ratio=terms.scale, preset=terms.metrics)


def seen(model: SrModel, scored: Mapping[str, Any]) -> Iterator[str]:
    """A line to tell if a model may know pixels it is scored on, of the `scored` manifest."""
    card = model.checkpoint and model.checkpoint.card
    files = scenes_seen({**card.data, "scale": card.scale}, scored) if card else ()
    if files:
        yield f"{model.name} was trained or chosen with pixels of {', '.join(files)}"
