"""Bicubic interpolation scored on a protocol's test images, beside its published row."""

from __future__ import annotations

from collections.abc import Iterator

from hsisr.bench.scoring import Terms, score
from hsisr.data.patches import Peak
from hsisr.data.protocol import Dataset
from hsisr.model import load_sr
from hsisr.runtime import Runtime

BICUBIC = "bicubic"
_ROWS = 64
"""Of a strip: measures need many times its memory."""


def bicubic_scores(dataset: Dataset, peak: Peak, runtime: Runtime) -> Iterator[dict[str, float]]:
    """The measures of every test image, degraded and interpolated by itself.

    No more of a scene is held in memory than a strip. Raises `InputError`.
    """
    model, protocol = load_sr(BICUBIC, dataset.scale), dataset.protocol
    tile = _ROWS // dataset.scale
    for image in dataset.tests():
        terms = Terms(
            dataset.scale, protocol.operator, peak.value(), protocol.metrics, runtime, tile
        )
        yield score(image, model, terms)
