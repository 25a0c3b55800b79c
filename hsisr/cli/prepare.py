"""`hsisr prepare`: scenes to training data."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import UsageError
from hsisr.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hsisr.cube import Cube
    from hsisr.data.cutting import Layout
    from hsisr.data.patches import PatchSet

    Prepare = Callable[[Sequence[Cube], Sequence[Cube]], Iterator[tuple[int, int]]]

_SPLIT, _GAP = "0.7,0.1,0.2", 2

Scenes = Annotated[
    list[Path],
    typer.Argument(
        help="Of one sensor; with --tokens, of any; with --protocol, the folder of its scenes."
    ),
]
Degradations = Annotated[
    list[str] | None,
    typer.Option(
        help="bicubic (as MATLAB's imresize, the default), area or gaussian. Repeatable with "
        "--tokens.",
        autocompletion=options.operators,
    ),
]
Tokens = Annotated[
    int,
    typer.Option(
        min=0,
        help="Store so many principal components instead of the bands, to train for any sensor. "
        "Scenes are not cut.",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="Cut, divide and degrade as published: one of hsisr's, or a .toml file.",
        autocompletion=options.protocols,
    ),
]
Validation = Annotated[
    list[Path] | None,
    typer.Option(help="With --tokens: a scene to validate with. Repeatable."),
]


def command(
    scenes: Scenes,
    output: Annotated[Path, typer.Option("-o", "--output", help="The run folder to make.")],
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, max=8, help="Scale factor.")] = 4,
    degradation: Degradations = None,
    split: Annotated[
        str | None,
        typer.Option(help=f"Shares of training, validation and test. Default: {_SPLIT}."),
    ] = None,
    gap: Annotated[
        int | None,
        typer.Option(min=0, help=f"Low-resolution pixels between splits. Default: {_GAP}."),
    ] = None,
    protocol: Protocol = None,
    tokens: Tokens = 0,
    validation: Validation = None,
    bands: options.Bands = None,
    var: options.Var = None,
    axes: options.Axes = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Cut scenes into training, validation and test blocks.

    The blocks do not touch, and each is stored in both resolutions: as it is, and degraded.

    Example: hsisr prepare scene.hdr --scale 4 -o runs/scene
    """
    from hsisr.data.cutting import Layout

    if protocol is not None:
        settled = (degradation, split, gap, tokens or None, validation, bands, var, axes)
        _require_unsettled(protocol, *settled)
        _require_new(output, [], overwrite=overwrite)
        _work(output, _published(protocol, scenes, scale, output), tokens)
        return
    shares, between = _shares(split or _SPLIT), _GAP if gap is None else gap
    layouts = [Layout(scale, name, shares, between) for name in degradation or ["bicubic"]]
    known = validation or []
    if tokens and not known:
        raise UsageError("--tokens needs scenes to validate with", hint="--validation SCENE")
    if not tokens and (known or len(layouts) > 1):
        raise UsageError("--validation and several --degradation need tokens", hint="--tokens 8")
    _require_new(output, [*scenes, *known], overwrite=overwrite)
    prepare = _tokens(output, layouts, tokens) if tokens else _blocks(output, layouts[0])
    with ExitStack() as stack:
        training, validating = (
            [stack.enter_context(shared.open_scene(path, var, axes, bands=bands)) for path in paths]
            for paths in (scenes, known)
        )
        _require_apart(training, validating)
        _work(output, prepare(training, validating), tokens)


def _require_apart(training: Sequence[Cube], validating: Sequence[Cube]) -> None:
    """Raise `UsageError` if a scene is to train and to validate: it would prove nothing."""
    seen, known = (
        {file.resolve() for cube in cubes for file in cube.files}
        for cubes in (training, validating)
    )
    if both := sorted(seen & known):
        raise UsageError(
            f"{both[0]} is named to train with and to validate with",
            hint="validate with a scene of another place",
        )


def _require_new(run: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    from hsisr.data.patches import MANIFEST
    from hsisr.files import require_new

    manifest = run / "data" / MANIFEST
    if manifest.exists():
        require_new([manifest], inputs, overwrite=overwrite)


def _work(run: Path, blocks: Iterator[tuple[int, int]], tokens: int) -> None:
    from hsisr.files import explained

    stopping = shared.stoppable(f"again: {shared.again()}")
    with explained(run), stopping as stopper:
        total = len(list(stopper.heeded(blocks)))
    _tell(run, total, tokens)


def _require_unsettled(protocol: str, *settled: object) -> None:
    if any(value is not None for value in settled):
        raise UsageError(
            f"protocol {protocol} settles how scenes are read, cut and degraded",
            hint="leave out all options but --scale, --output and --overwrite",
        )


def _published(
    name: str, paths: Sequence[Path], scale: int, run: Path
) -> Iterator[tuple[int, int]]:
    """The blocks of the one data set that a protocol finds at a path."""
    from hsisr.data.protocol import datasets, load

    protocol = load(name)
    if len(paths) > 1:
        raise UsageError(f"protocol {name} takes one folder", hint=f"--protocol {name} FOLDER")
    found = datasets(protocol, paths[0], scale, shared.note)
    if len(found) > 1:
        raise UsageError(
            f"{paths[0]} holds {len(found)} scenes, each a data set of its own",
            hint="name one of them",
        )
    return found[0].prepare(run)


def _blocks(run: Path, layout: Layout) -> Prepare:
    from hsisr.data.patches import prepare

    return lambda scenes, _: prepare(scenes, run, layout)


def _tokens(run: Path, layouts: Sequence[Layout], tokens: int) -> Prepare:
    from hsisr.data.tokens import Source, prepare_tokens

    def prepare(scenes: Sequence[Cube], known: Sequence[Cube]) -> Iterator[tuple[int, int]]:
        scale = layouts[0].scale
        sources = [Source.whole(cube, "train", scale) for cube in scenes]
        sources += [Source.whole(cube, "validation", scale) for cube in known]
        operators = [layout.operator for layout in layouts]
        return prepare_tokens(sources, run, scale=scale, operators=operators, tokens=tokens)

    return prepare


def _tell(run: Path, total: int, tokens: int) -> None:
    from hsisr.data.patches import open_patches
    from hsisr.data.tokens import open_tokens

    if tokens:
        known = open_tokens(run)
        shared.say(
            f"{counted(total, 'example')} of up to {counted(tokens, 'token')} in {known.folder}, "
            f"degraded x{known.scale} by {known.manifest['degradation']}"
        )
        shared.say(f"Next: hsisr train-sr {run} --recipe any")
        return
    patches = open_patches(run)
    shared.say(
        f"{counted(total, 'block')} of {counted(patches.bands, 'band')} in {patches.folder}, "
        f"degraded x{patches.scale} by {patches.manifest['degradation']}: {_sizes(patches)}"
    )
    shared.say(f"peak {patches.peak:g} ({patches.manifest['peak_is']}) is 1 to the networks")
    shared.say(f"Next: hsisr train-unmix {run}")


def _sizes(patches: PatchSet) -> str:
    from hsisr.data.cutting import SPLITS

    def pixels(split: str) -> int:
        return sum(high.shape[1] * high.shape[2] for _, high in patches.blocks(split))

    return ", ".join(f"{split} {counted(pixels(split), 'pixel')}" for split in SPLITS)


def _shares(text: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--split '{text}' should be three shares", hint="0.7,0.1,0.2") from None
    return first, second, third
