"""The options that several commands share, each defined once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def _formats() -> list[str]:
    from hsisr.formats import FORMATS

    return list(FORMATS)


def recipes() -> list[str]:
    """The recipes that come with hsisr."""
    from hsisr.recipe import names

    return names()


def protocols() -> list[str]:
    """The protocols that come with hsisr."""
    from hsisr.recipe import names

    return names("protocols")


def published_protocols() -> list[str]:
    """The protocols for particular scenes."""
    return [name for name in protocols() if name != "scenes"]


def networks() -> Iterator[str]:
    """The networks for super-resolution."""
    from hsisr_models.sr import SHELF

    return iter(SHELF)


def pretrained() -> list[str]:
    """The ids of the models that come with hsisr."""
    from hsisr.checkpoints.zoo import names

    return names()


def models() -> list[str]:
    """The names of models that are neither files nor run folders."""
    from hsisr.checkpoints.zoo import AUTO, BICUBIC

    return [AUTO, BICUBIC, *pretrained()]


def models_and_networks() -> list[str]:
    """The names that `hsisr speed` takes besides files and run folders."""
    from hsisr.checkpoints.zoo import BICUBIC

    return [*models(), *(name for name in networks() if name != BICUBIC)]


def methods() -> Iterator[str]:
    """The methods that find endmembers."""
    from hsisr_models.endmembers import SHELF

    return iter(SHELF)


def solvers() -> Iterator[str]:
    """The methods that compute abundances."""
    from hsisr_models.abundances import SHELF

    return iter(SHELF)


def operators() -> list[str]:
    """The names of the degradations."""
    # to ask hsisr_models.imaging for them would import torch
    return ["bicubic", "area", "gaussian"]


def finite(value: float | None) -> float | None:
    """The value of an option, which has to be finite; raises `typer.BadParameter`."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number.")
    return value


def _presets() -> Iterator[str]:
    from hsisr_models.metrics import PRESETS

    return iter(PRESETS)


Scene = Annotated[
    Path, typer.Argument(help="ENVI (either file of the pair), TIFF, MAT, HDF5 or NumPy file.")
]
Scenes = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENE...",
        help="Files as for `hsisr info`; folders, for every scene directly in them; patterns in "
        "quotes, like 'x/*.hdr'; @list.txt, a file with one of these per line.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(help="The folder that `hsisr prepare` wrote.")]
Var = Annotated[str | None, typer.Option("--var", help="Variable of a MAT or HDF5 file.")]
Axes = Annotated[
    str | None, typer.Option("--axes", help="Order of the stored axes, e.g. YXB or BYX.")
]
Bands = Annotated[
    str | None,
    typer.Option(
        metavar="BANDS",
        help="Take only these, counted from 1 or by wavelength: 1-50,60,100- or 450-900nm.",
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="ROW,COL,HEIGHT,WIDTH",
        help="Take only these pixels, counted from 0.",
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        "--bbox",
        metavar="XMIN,YMIN,XMAX,YMAX",
        help="Take only what covers this box, in map coordinates of the scene.",
    ),
]
Degradation = Annotated[
    str | None,
    typer.Option(
        help="bicubic (as MATLAB's imresize), area or gaussian. Default: that of the run, or "
        "bicubic.",
        autocompletion=operators,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Whose measures: sspsr (most of the field), mcnet or wald. Default: those of the "
        "run's protocol, or sspsr.",
        autocompletion=_presets,
    ),
]
Scale = Annotated[
    int | None, typer.Option("-s", "--scale", min=2, max=8, help="Default: the model's.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        help="envi, tiff, mat5, hdf5 or npy. Default: by the name of the output, else the input's.",
        autocompletion=_formats,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace older results.")]
Quicklook = Annotated[bool, typer.Option("--quicklook/--no-quicklook", help="Write a picture too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, or several: cuda:0,cuda:1.")]
OneDevice = Annotated[str, typer.Option(help="auto, cpu, cuda, or one of several: cuda:1.")]
Precision = Annotated[
    str, typer.Option(help="fp32, bf16, or auto: bf16 where the machine computes it natively.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor cores to use; all by default.")]
Tile = Annotated[
    int | None,
    typer.Option(min=1, help="Side of a square tile in input pixels. Default: the quickest shape."),
]
MaxMemory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory to use, e.g. 2G. Default: about 1.2G.")
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Share the work among the workers of a Dask cluster; local or local:N starts one.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="i/N",
        help="Do the i-th of N shares; start all N, the last one finishes the output.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's number.")]
Network = Annotated[
    str | None,
    typer.Option(help="Instead of the recipe's network.", autocompletion=networks),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="A recipe that comes with hsisr, or the path of a .toml file.",
        autocompletion=recipes,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a number of the recipe, e.g. sr.training.batch=16. Repeatable.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--max-time",
        min=0.0,
        metavar="MINUTES",
        help="Stop after so long; the same command continues.",
    ),
]
