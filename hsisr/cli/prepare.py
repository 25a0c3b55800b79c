"""`hsisr prepare`: scenes to training data."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.patches import PatchSet


def command(
    scenes: Annotated[list[Path], typer.Argument(help="Scenes with the same bands.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run folder to make.")],
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, max=8, help="Scale factor.")] = 4,
    degradation: options.Degradation = "bicubic",
    split: Annotated[
        str, typer.Option(help="Shares of training, validation and test.")
    ] = "0.7,0.1,0.2",
    gap: Annotated[int, typer.Option(min=0, help="Low-resolution pixels between splits.")] = 2,
    var: options.Var = None,
    axes: options.Axes = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Cut scenes into training, validation and test blocks.

    The blocks do not touch, and each is stored in both resolutions: as it is, and degraded.

    Example: hsisr prepare scene.hdr --scale 4 -o runs/scene
    """
    from hsisr.files import explained, require_new
    from hsisr.patches import MANIFEST, Layout, open_patches, prepare

    layout = Layout(scale, degradation or "bicubic", _shares(split), gap)
    manifest = output / "data" / MANIFEST
    if manifest.exists():
        require_new([manifest], scenes, overwrite=overwrite)
    stopping = shared.stoppable(f"again: {shared.again()}")
    with ExitStack() as stack, explained(output), stopping as stopper:
        cubes = [stack.enter_context(shared.open_scene(path, var, axes)) for path in scenes]
        total = len(list(stopper.heeded(prepare(cubes, output, layout))))
    patches = open_patches(output)
    shared.say(
        f"{total} blocks of {patches.bands} bands in {manifest.parent}, degraded x{scale} by "
        f"{layout.operator}: {_sizes(patches)}"
    )
    shared.say(f"peak {patches.peak:g} ({patches.manifest['peak_is']}) is 1 to the networks")
    shared.say(f"Next: hsisr train-unmix {output}")


def _sizes(patches: PatchSet) -> str:
    from hsisr.patches import SPLITS

    def pixels(split: str) -> int:
        return sum(high.shape[1] * high.shape[2] for _, high in patches.blocks(split))

    return ", ".join(f"{split} {pixels(split):,} pixels" for split in SPLITS)


def _shares(text: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--split '{text}' should be three shares", hint="0.7,0.1,0.2") from None
    return first, second, third
