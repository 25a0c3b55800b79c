"""`hsisr demo`: every command on a real scene, from raw data to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _shared as shared
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.picture import Image

_SCALE = 4
_ZOOM = 3


def command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder to make.", rich_help_panel=shared.OUTPUT)
    ] = Path("hsisr-demo"),
    threads: shared.Threads = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Train on Indian Pines (AVIRIS, 145 x 145 x 200), sharpen it, unmix it, score it, show it.

    The scene comes with the package tensorly: pip install 'hsisr[demo]'.
    """
    from hsisr.cli import evaluate, prepare, train_sr, train_unmix, unmix, upscale

    if output.exists() and not overwrite:
        raise UsageError("already exists", where=output, hint="add --overwrite, or choose another -o")
    output.mkdir(parents=True, exist_ok=True)
    scene, run = output / "indian_pines.img", output / "run"
    write_indian_pines(scene)
    shared.say(f"wrote {scene}: AVIRIS, June 1992, 20 m pixels, as ENVI with its wavelengths")

    header = scene.with_suffix(".hdr")
    _show(f"hsisr prepare {header} --scale {_SCALE} -o {run}")
    prepare.command([header], run, _SCALE, overwrite=True)
    _show(f"hsisr train-unmix {run} --recipe tiny")
    train_unmix.command(run, "tiny", threads=threads, overwrite=True)
    _show(f"hsisr train-sr {run} --recipe tiny")
    train_sr.command(run, "tiny", threads=threads, overwrite=True)
    _show(f"hsisr upscale {header} --model {run}")
    upscale.command(header, model=str(run), threads=threads, overwrite=True)
    _show(f"hsisr unmix {header} --model {run}")
    unmix.command(header, str(run), threads=threads, overwrite=True)
    _show(f"hsisr evaluate {run} --model {run}")
    evaluate.command(run, model=[str(run)], threads=threads)

    sharp = output / f"indian_pines_x{_SCALE}.img"
    picture = output / "before_after.png"
    _before_after(header, sharp, picture)
    shared.say("")
    shared.say(f"before and after  {picture}")
    shared.say(f"sharper scene     {sharp}")
    shared.say(f"abundance maps    {output / 'indian_pines_abundance.png'}")
    shared.say(f"Next: hsisr prepare YOUR_SCENE --scale {_SCALE} -o runs/yours")


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


def _show(line: str) -> None:
    shared.say("")
    shared.say(f"$ {line}")


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
