"""`hsisr synthesize`: made-up scenes to train with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared

if TYPE_CHECKING:
    from hsisr.leaves import Image


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")],
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 12,
    side: Annotated[int, typer.Option(min=16, help="Rows and columns of a scene.")] = 400,
    bands: Annotated[int, typer.Option(min=1, help="Bands of a scene.")] = 24,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make up scenes of overlapping things, for more variety in training.

    Their edges, sizes, textures and spectra are random, by the model of dead leaves.

    Example: hsisr synthesize -o leaves --count 12
    """
    from hsisr.files import explained, require_new, write_durably
    from hsisr.leaves import dead_leaves

    files = [output / f"leaves_{seed + index:03d}.npy" for index in range(count)]
    with explained(output):
        output.mkdir(parents=True, exist_ok=True)
    require_new(files, [], overwrite=overwrite)
    with shared.stoppable(f"again: {shared.again()}") as stopper:
        for index in shared.progress(stopper.heeded(range(count)), count, "making"):
            scene = dead_leaves(seed + index, side=side, bands=bands)
            write_durably(files[index], _encoded(scene))
    shared.say(f"{count} scenes of {side} x {side} pixels x {bands} bands in {output}")
    shared.say(f"Next: hsisr prepare {output}/*.npy ... --tokens 8 --validation SCENE -o RUN")


def _encoded(scene: Image) -> bytes:
    import numpy as np

    content = io.BytesIO()
    np.save(content, np.rint(scene).astype(np.uint16))
    return content.getvalue()
