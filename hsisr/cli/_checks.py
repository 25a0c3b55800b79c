"""Checks whose findings the user is told: of the scene, the model on it, and the result."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hsisr.cli._upscale_job import Job
    from hsisr.cube import Cube, CubeSpec
    from hsisr.scene.survey import Survey
    from hsisr.tiling.check import Agreement, SelfCheck
    from hsisr.tiling.operations import Operation
    from hsisr.window import Tile
    from hsisr_models.subspace import Subspace

_FEW = 0.001
"""Share of the pixels; fewer are single dead ones, not a border."""


def warn_of_noise(seen: Survey, spec: CubeSpec) -> None:
    """Warn of bands that are mostly noise, since unmixing weighs all bands alike."""
    from hsisr.scene.selection import stretches
    from hsisr.scene.spectra import good_bands

    good = good_bands(spec)
    noise = seen.noise & good
    if noise.any():
        shared.warn(
            f"there is hardly more than noise in {counted(noise.sum(), 'band')}, at "
            f"{stretches(noise, spec.spectrum)}, taken like the others; "
            f"better without: --bands {stretches(good & ~noise, spec.spectrum)}"
        )


def warn_of_blank(seen: Survey, spec: CubeSpec) -> None:
    """Warn of pixels that look like a border but are not declared as no data."""
    import numpy as np

    from hsisr.encoding import encode

    number, share = seen.blank
    if share < _FEW:
        return
    stored, _ = encode(np.full((spec.bands, 1, 1), number, np.float32), spec)
    fill = f"{stored[0].item():g}"
    shared.warn(
        f"{share:.1%} of the pixels looked at hold {fill} in all bands, which is taken for data; "
        f"if it means that there is none, let the file say so: in an ENVI header "
        f"'data ignore value = {fill}', in a TIFF gdal_edit.py -a_nodata {fill}"
    )


def tell_subspace(subspace: Subspace | None) -> None:
    """Say how much of the scene its subspace covers, for a model that works on one."""
    if subspace is None:
        return
    axes, bands = len(subspace.spread), len(subspace.mean)
    idle = int((subspace.axes == 0).all(1).sum())
    taken = f"{axes} of {counted(bands, 'axis', 'axes')}"
    shared.say(f"subspace   {taken}, {subspace.covered:.2%} of the variance")
    if not axes:
        shared.note("the scene does not vary; it is interpolated")
    elif bands == 1:
        shared.note("one band has no spectrum; it is sharpened as a grey image")
    elif idle:
        shared.note(f"{counted(idle, 'band')} only interpolated: bad, constant or noise")


def self_check(
    job: Job, operation: Operation, seen: Survey, stopper: shared.Stopper
) -> SelfCheck | None:
    """Compare the model with bicubic on the scene degraded once more, and report it.

    None where that is switched off, falls to another share, or the scene is too small.
    """
    from hsisr.tiling import check

    if not job.self_check or job.means.share.index > 1:
        return None
    blocks = stopper.heeded(check.sample(job.cube, job.model.scale))
    found = check.self_check(
        job.cube, blocks, operation, seen, operator=job.operator, runtime=job.means.machine
    )
    if found is None:
        shared.say("self-check none: the scene is too small to be degraded once more")
        return None
    shared.say(
        f"self-check {_in_words(found.model)}, bicubic {_in_words(found.bicubic)}, "
        f"on {counted(found.blocks, 'block')} degraded once more ({job.operator})"
    )
    if found.lost:
        shared.warn(
            "on this scene the model does worse than bicubic interpolation; "
            "--model bicubic is the safer choice"
        )
    return found


def consistency(job: Job) -> Agreement:
    """Degrade the written result, compare it with the scene, and report the difference."""
    from hsisr.tiling import check

    with checking(job.results.path, job.cube.spec, job.model.scale) as (output, tiles, extent):
        found = check.consistency(tiles, output, job.cube, operator=job.operator)
    shared.say(
        f"consistency {_in_words(found)}: degraded ({job.operator}), "
        f"{_deviation(found.worst)}{extent}"
    )
    if job.enforce and check.CONSISTENT < found.worst < math.inf:
        shared.note("samples rounded or clipped to the data type are not consistent any more")
    return found


@contextmanager
def checking(
    result: Path, spec: CubeSpec, scale: int
) -> Iterator[tuple[Cube, Iterator[Tile], str]]:
    """Open a written result of a scene, `scale` times finer, to compare them tile by tile.

    Yields the result, tiles of the scene with progress shown, and words for what these leave out.
    """
    from hsisr.formats import open_cube
    from hsisr.tiling.check import consistency_steps

    tiles, all_of_it = consistency_steps(spec, scale)
    extent = "" if all_of_it else f", in {counted(len(tiles), 'window')} spread over it"
    to_do = shared.again(without="--overwrite")
    unfinished = f"{result} is written, but not checked; go on with: {to_do}"
    with shared.stoppable(unfinished) as stopper, open_cube(result) as output:
        yield output, shared.progress(stopper.heeded(tiles), len(tiles), "checking"), extent


def _deviation(worst: float) -> str:
    """How far a degraded result is from its scene, in words."""
    if math.isnan(worst):
        return "the result has no sample to compare with the scene"
    if worst == 0:
        return "the result is the scene"
    if math.isinf(worst):
        return "the result differs from the scene, which does not vary and so has no range"
    return f"the result differs from the scene by at most {worst:.2g} of its range"


def _in_words(agreement: Agreement) -> str:
    if math.isnan(agreement.worst):
        return "unknown"
    if agreement.worst == 0:
        return "exact"
    if math.isnan(agreement.psnr):
        return f"without PSNR, as no value is positive, SAM {agreement.sam:.2f}°"
    return f"{agreement.psnr:.2f} dB, SAM {agreement.sam:.2f}°"
