"""The only place that turns pixels into numbers for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hsisr.cube import Block, Cube
from hsisr.errors import InputError, require_known
from hsisr.window import Window
from hsisr_models.metrics import PRESETS as PRESETS
from hsisr_models.metrics import SHELF as METRICS
from hsisr_models.metrics import Preset

DEFAULT = "sspsr"
_STRIP = 64


@dataclass(frozen=True)
class Row:
    """The measures of one estimate, averaged over the images it was measured on."""

    name: str
    values: Mapping[str, float]


def known_preset(name: str) -> Preset:
    """The measures that a user named; raises `UsageError` for an unknown name."""
    require_known("metrics", name, PRESETS)
    return PRESETS[name]


def measure(
    truth: Cube,
    strips: Iterable[tuple[Window, Block]],
    *,
    peak: float,
    ratio: int,
    preset: str = DEFAULT,
) -> dict[str, float]:
    """Score an estimate that comes in full-width strips, top to bottom, against `truth`.

    `peak` is the range of the data in physical units, `ratio` the scale factor. Values are divided
    by the peak first, so RMSE is in units of it. Pixels missing on either side do not count. The
    measures are those of the `preset`; raises `UsageError` for an unknown one.
    """
    chosen = known_preset(preset)
    meters = {
        name: METRICS[name].meter(peak=1.0, ratio=ratio, **settings)
        for name, settings in chosen.measures.items()
    }
    for window, block in strips:
        true = torch.from_numpy(truth.read(window) / np.float32(peak))
        estimate = torch.from_numpy(block / np.float32(peak))
        estimate = estimate.clamp(0, 1) if chosen.clipped else estimate
        for meter in meters.values():
            meter.update(true, estimate)
    return {name: meter.result() for name, meter in meters.items()}


def strips_of(cube: Cube, rows: int, cols: int) -> Iterator[tuple[Window, Block]]:
    """The pixels of a cube as strips, after checking that it has the size that is expected."""
    spec = cube.spec
    if (spec.rows, spec.cols) != (rows, cols):
        raise InputError(
            f"is {spec.rows} x {spec.cols} pixels, the truth is {rows} x {cols}",
            where=cube.files[0],
        )
    for row in range(0, rows, _STRIP):
        window = Window(row, 0, min(_STRIP, rows - row), cols)
        yield window, cube.read(window)


def largest(cube: Cube) -> float:
    """The largest value of a scene: the peak by which it is scored. Raises `InputError`."""
    spec = cube.spec
    peak = -np.inf
    for _, block in strips_of(cube, spec.rows, spec.cols):
        finite = block[np.isfinite(block)]
        peak = max(peak, float(finite.max(initial=-np.inf)))
    if not peak > 0:
        raise InputError("no pixel holds a positive value", where=cube.files[0])
    return peak


def average(name: str, scores: list[dict[str, float]]) -> Row:
    """One row from the scores of several images: the mean of each measure."""
    return Row(name, {key: float(np.mean([score[key] for score in scores])) for key in scores[0]})


def definitions(*, peak: str, ratio: int, preset: str = DEFAULT) -> list[str]:
    """What the preset is, then one line per column, saying exactly what is measured.

    `peak` says where the range is from. Raises `UsageError` for an unknown preset.
    """
    chosen = known_preset(preset)
    clipped = ", estimates then clipped to 0 ... 1" if chosen.clipped else ""
    return [
        f"metrics {preset}: {chosen.source}",
        f"values are divided by {peak}{clipped}",
        *(
            METRICS[name].definition(peak=1.0, ratio=ratio, **settings)
            for name, settings in chosen.measures.items()
        ),
    ]
