"""What bicubic interpolation scores on the test images of a protocol, as others published it."""

from __future__ import annotations

from collections.abc import Iterator

from hsisr.cube import Cube
from hsisr.degraded import DegradedCube
from hsisr.evaluate import measure
from hsisr.model import SrModel, load_sr
from hsisr.patches import Peak
from hsisr.protocol import Dataset
from hsisr.run import gather_strips, run
from hsisr.runtime import Runtime
from hsisr.survey import survey

BICUBIC = "bicubic"
_ROWS = 64
"""Of a strip: measures need many times its memory."""


def bicubic_scores(dataset: Dataset, peak: Peak, runtime: Runtime) -> Iterator[dict[str, float]]:
    """The measures of every test image, degraded and interpolated by itself.

    No more of a scene is held in memory than a strip. Raises `InputError`.
    """
    model = load_sr(BICUBIC, dataset.scale)
    for image in dataset.tests():
        yield _score(image, model, dataset, peak.value(), runtime)


def _score(
    image: Cube, model: SrModel, dataset: Dataset, peak: float, runtime: Runtime
) -> dict[str, float]:
    protocol = dataset.protocol
    low = DegradedCube(image, dataset.scale, protocol.operator)
    seen = survey(low, model.tokens)
    windows = run(
        low, model.operation(seen, runtime), seen, tile=_ROWS // dataset.scale, runtime=runtime
    )
    strips = gather_strips(windows, image.spec.cols)
    return measure(image, strips, peak=peak, ratio=dataset.scale, preset=protocol.metrics)
