"""`hsisr completion`: the script that teaches a shell to complete the command."""

from __future__ import annotations

from typing import Annotated

import typer

from hsisr.errors import require_known

SHELLS = ("bash", "zsh", "fish")


def command(
    shell: Annotated[
        str, typer.Argument(help="bash, zsh or fish.", autocompletion=lambda: list(SHELLS))
    ],
) -> None:
    """Print the completion script of a shell.

    Example: hsisr completion bash > ~/.local/share/bash-completion/completions/hsisr
    """
    typer.echo(script(shell))


def script(shell: str) -> str:
    """The completion script of `shell`; raises `UsageError` for an unknown one."""
    from typer._completion_shared import get_completion_script

    require_known("completion for", shell, SHELLS)
    return get_completion_script(prog_name="hsisr", complete_var="_HSISR_COMPLETE", shell=shell)
