"""The command line: each file parses one command, calls the library and shows the outcome.

Nothing else in hsisr prints, exits or reads the environment. Heavy modules are imported inside the
commands, so that `--help` and completion answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hsisr import __version__
from hsisr.cli import _shared as shared
from hsisr.cli import (
    ablate,
    benchmark,
    calibrate,
    compare_unmix,
    completion,
    demo,
    evaluate,
    evaluate_unmix,
    info,
    models,
    prepare,
    speed,
    synthesize,
    train_sr,
    train_unmix,
    unmix,
    upscale,
)
from hsisr.errors import Interrupted, UsageError

app = typer.Typer(
    name="hsisr",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    synthesize,
    prepare,
    train_unmix,
    train_sr,
    upscale,
    unmix,
    evaluate,
    evaluate_unmix,
    compare_unmix,
    benchmark,
    ablate,
    calibrate,
    info,
    speed,
    demo,
    completion,
):
    app.command(module.__name__.rpartition(".")[2].replace("_", "-"))(module.command)
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hsisr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Tell errors and warnings only.")
    ] = False,
    progress: Annotated[
        str | None,
        typer.Option(
            help="auto: a bar on a terminal, else a line per 5 %; json: an object per line; none.",
            autocompletion=lambda: list(shared.PROGRESS),
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sharpen hyperspectral scenes 2 to 8 times, and tell what they are made of."""
    del debug, version
    shared.choose_manner(quiet, progress)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code where no exception says more."""
    shared.remember(arguments)
    result = app(list(arguments), prog_name="hsisr", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _open_streams() -> None:
    """Let the null device stand in for standard streams that are closed.

    A result would be opened in their place otherwise, and what libraries say be written into it.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _require_place() -> None:
    """Raise `UsageError` if the working folder is gone: loading torch would end the process."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the folder that this shell is in was removed", hint="cd") from error


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error; a library may have wrapped it in one of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def main(arguments: Sequence[str]) -> int:
    """Run one command line and tell its errors on stderr in a few lines; returns the exit code."""
    # threads that spin while they wait would starve other processes; OpenMP reads this only once,
    # when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _open_streams()
    try:
        _require_place()
        code = invoke(arguments)
    except Exception as error:
        if not _interrupted(error):
            return shared.tell(error)
        code = 130
    except KeyboardInterrupt:
        code = 130
    return shared.tell(Interrupted("interrupted")) if code == 130 else code
