"""`hsisr demo`: a real scene, from raw data to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import OutputError
from hsisr.window import Window

_SCALE = 4
_ENDMEMBERS = 5
_PART = Window(0, 40, 64, 64)
"""What is shown before and after."""
_ZOOM = 2


def command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")] = Path(
        "hsisr-demo"
    ),
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Sharpen and unmix a real scene and show it.

    Indian Pines (AVIRIS, 145 x 145 pixels, 200 bands) is looked at, degraded and restored for a
    score, and sharpened, by a pretrained model that never saw it; then taken apart into materials.
    The scene comes with the package tensorly: pip install 'hsisr[demo]'.
    """
    from hsisr.cli._indian_pines import write_indian_pines

    if output.exists() and not overwrite:
        raise OutputError("already exists", where=output, hint="add --overwrite, or another -o")
    output.mkdir(parents=True, exist_ok=True)
    scene = output / "indian_pines.img"
    count = write_indian_pines(scene)
    shared.say(f"wrote {scene}: AVIRIS, 12 June 1992, 20 m pixels")
    shared.say(f"put back {count:,} carriage returns that it lost when it was once copied as text")

    header = scene.with_suffix(".hdr")
    cores = [] if threads is None else ["--threads", str(threads)]
    anew = ["--overwrite"] if overwrite else []
    _run(context, "info", header)
    _run(context, "evaluate", header, "--scale", _SCALE, "--model", "auto", *cores)
    _run(context, "upscale", header, "--scale", _SCALE, *cores, *anew)
    _run(context, "unmix", header, "--endmembers", _ENDMEMBERS, *cores, *anew)

    sharp, picture = output / f"indian_pines_x{_SCALE}.img", output / "before_after.png"
    _before_after(header, sharp, picture)
    shared.say()
    shared.say(f"before and after  {picture}")
    shared.say(f"sharper scene     {sharp}")
    shared.say(f"abundance maps    {output / 'indian_pines_abundance.png'}")
    shared.say(f"Next: hsisr upscale YOUR_SCENE --scale {_SCALE}")


def _run(context: typer.Context, *parts: object) -> None:
    """Show a command line and run it."""
    arguments = [str(part) for part in parts]
    shared.say()
    shared.say(f"$ {shared.as_typed(arguments)}")
    shared.remember(arguments)
    code = context.find_root().command.main(arguments, prog_name="hsisr", standalone_mode=False)
    if code:
        raise typer.Exit(code)


def _before_after(before: Path, after: Path, picture: Path) -> None:
    """A part of the scene in true colour, as measured and sharpened."""
    import numpy as np

    from hsisr.formats import open_cube
    from hsisr.results.picture import enlarged, rgb_bands, row_of, stretched, write_png

    with open_cube(before) as cube:
        bands = list(rgb_bands(cube.spec))
        coarse = cube.read(_PART)[bands]
    with open_cube(after) as cube:
        fine = cube.read(_PART.zoomed(_SCALE))[bands]
    darkest = coarse.min((1, 2), keepdims=True)
    # the eye sees square roots
    old, new = (np.sqrt(np.maximum(values - darkest, 0)) for values in (coarse, fine))
    shown = enlarged(stretched(old), _SCALE * _ZOOM), enlarged(stretched(new, like=old), _ZOOM)
    write_png(picture, row_of(shown))
