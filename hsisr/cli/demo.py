"""`hsisr demo`: every command on a real scene, from raw data to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.picture import Image

_SCALE = 4
_ZOOM = 3


def command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")] = Path(
        "hsisr-demo"
    ),
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Run everything on a real scene and show it.

    Trains on Indian Pines (AVIRIS, 145 x 145 pixels, 200 bands), sharpens, unmixes and scores it.
    The scene comes with the package tensorly: pip install 'hsisr[demo]'.
    """
    if output.exists() and not overwrite:
        raise UsageError("already exists", where=output, hint="add --overwrite, or another -o")
    output.mkdir(parents=True, exist_ok=True)
    scene, run = output / "indian_pines.img", output / "run"
    write_indian_pines(scene)
    shared.say(f"wrote {scene}: AVIRIS, June 1992, 20 m pixels, as ENVI with its wavelengths")

    header, tiny = scene.with_suffix(".hdr"), ["--recipe", "tiny"]
    cores = [] if threads is None else ["--threads", str(threads)]
    _run(context, "prepare", header, "--scale", _SCALE, "-o", run, "--overwrite")
    _run(context, "train-unmix", run, *tiny, *cores, "--overwrite")
    _run(context, "train-sr", run, *tiny, *cores, "--overwrite")
    _run(context, "evaluate", run, "--model", run, *cores)
    _run(context, "upscale", header, "--model", run, *cores, "--overwrite")
    _run(context, "unmix", header, "--model", run, *cores, "--overwrite")

    sharp, picture = output / f"indian_pines_x{_SCALE}.img", output / "before_after.png"
    _before_after(header, sharp, picture)
    shared.say()
    shared.say(f"before and after  {picture}")
    shared.say(f"sharper scene     {sharp}")
    shared.say(f"abundance maps    {output / 'indian_pines_abundance.png'}")
    shared.say(f"Next: hsisr prepare YOUR_SCENE --scale {_SCALE} -o runs/yours")


def _run(context: typer.Context, *parts: object) -> None:
    """Show a command line and run it."""
    arguments = [str(part) for part in parts]
    shared.say()
    shared.say(f"$ {shared.as_typed(arguments)}")
    shared.remember(arguments)
    code = context.find_root().command.main(arguments, prog_name="hsisr", standalone_mode=False)
    if code:
        raise typer.Exit(code)


def write_indian_pines(path: Path) -> None:
    """Write the Indian Pines scene of tensorly as ENVI; raises `UsageError` without tensorly."""
    try:
        from tensorly.datasets import load_indian_pines
    except ImportError:
        raise UsageError(
            "the demo scene comes with the package tensorly", hint="pip install 'hsisr[demo]'"
        ) from None
    import numpy as np

    from hsisr.cube import CubeSpec, Spectrum
    from hsisr.formats import create_cube

    data = load_indian_pines()
    block = np.ascontiguousarray(np.asarray(data["tensor"], np.float32).transpose(2, 0, 1))
    bands, rows, cols = block.shape
    spec = CubeSpec(
        bands,
        rows,
        cols,
        np.dtype(np.uint16),
        spectrum=Spectrum(tuple(float(centre) for centre in data["ticks"][1])),
        description="Indian Pines, AVIRIS, 1992-06-12, 200 bands without water absorption",
        interleave="bil",
    )
    with create_cube(path, spec, "envi") as writer:
        writer.write(spec.window, block)


def _before_after(before: Path, after: Path, picture: Path) -> None:
    """The scene as it was and sharpened, and a detail of both."""
    from hsisr.formats import open_cube
    from hsisr.picture import enlarged, overview, rgb_bands, row_of, stretched, write_png

    with open_cube(before) as cube:
        bands = rgb_bands(cube.spec)
        coarse = overview(cube, bands)
    with open_cube(after) as cube:
        fine = overview(cube, bands, longest=1 << 20)
    old, new = stretched(coarse), stretched(fine, like=coarse)
    details = [
        _detail(enlarged(old, _SCALE), old.shape[0] * _SCALE),
        _detail(new, new.shape[0]),
    ]
    whole = [enlarged(old, _SCALE), new]
    write_png(picture, row_of([*whole, *details]))


def _detail(image: Image, height: int) -> Image:
    """The middle of a picture, enlarged to its height."""
    from hsisr.picture import enlarged

    side = height // _ZOOM
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return enlarged(image[top : top + side, left : left + side], _ZOOM)[:height]
