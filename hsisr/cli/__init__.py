"""The command line: every file parses one command, calls the library and shows what it yields.

Nothing else in hsisr prints, exits or reads the environment. Heavy modules are imported inside the
commands, so that `--help` and completion answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hsisr import __version__
from hsisr.cli import demo, evaluate, info, prepare, train_sr, train_unmix, unmix, upscale
from hsisr.errors import HsisrError

app = typer.Typer(
    name="hsisr",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (prepare, train_unmix, train_sr, upscale, unmix, evaluate, info, demo):
    name = command.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name)(command.command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hsisr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sharpen hyperspectral scenes 2 to 8 times, and tell what they are made of."""
    del debug, version


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. Errors are told on stderr in a few lines."""
    from hsisr.cli._shared import tell_bug, tell_error

    debug = "--debug" in arguments
    try:
        result = app(list(arguments), prog_name="hsisr", standalone_mode=False)
    except HsisrError as error:
        tell_error(error)
        if debug:
            raise
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        return _usage(error) or tell_bug(error, debug)
    return result if isinstance(result, int) else 0


def _usage(error: Exception) -> int:
    """Let typer show a mistake in the options; 0 if it is none."""
    show = getattr(error, "show", None)
    if show is None:
        return 0
    show()
    return int(getattr(error, "exit_code", 2))
