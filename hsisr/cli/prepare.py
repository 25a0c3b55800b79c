"""`hsisr prepare`: scenes to training data."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from hsisr.cli import _shared as shared


def command(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes with the same bands.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run folder to make.")],
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, max=8, help="Scale factor.")] = 4,
    degradation: Annotated[
        str, typer.Option(help="bicubic, area or gaussian.", rich_help_panel=shared.INPUT)
    ] = "bicubic",
    split: Annotated[
        str, typer.Option(help="Shares of training, validation and test.", rich_help_panel=shared.INPUT)
    ] = "0.6,0.15,0.25",
    gap: Annotated[
        int,
        typer.Option(
            min=0, help="Low-resolution pixels between splits.", rich_help_panel=shared.INPUT
        ),
    ] = 2,
    var: shared.Var = None,
    axes: shared.Axes = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Cut scenes into disjoint training, validation and test blocks, and degrade them.

    Example: hsisr prepare scene.hdr --scale 4 -o runs/scene
    """
    from hsisr.files import require_new
    from hsisr.patches import MANIFEST, Layout, open_patches, prepare

    output.parent.mkdir(parents=True, exist_ok=True)
    (output / "data").mkdir(parents=True, exist_ok=True)
    require_new([output / "data" / MANIFEST], scenes, overwrite=overwrite)
    layout = Layout(scale, degradation, shared.parse_shares(split), gap)
    with ExitStack() as stack, shared.stoppable() as check:
        cubes = [stack.enter_context(shared.open_scene(path, var, axes)) for path in scenes]
        total = None
        for _, total in prepare(cubes, output, layout):
            check()
    patches = open_patches(output)
    sizes = {
        name: sum(high.shape[1] * high.shape[2] for _, high in patches.blocks(name))
        for name in ("train", "validation", "test")
    }
    shared.say(
        f"{total} blocks of {patches.bands} bands in {output / 'data'}, degraded x{scale} by "
        f"{degradation}: " + ", ".join(f"{name} {size:,} pixels" for name, size in sizes.items())
    )
    shared.say(f"peak {patches.peak:g} ({patches.manifest['peak_is']}) is 1 to the networks")
    shared.say(f"Next: hsisr train-unmix {output}")
