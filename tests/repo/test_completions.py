from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

import pytest

from hsisr.cli.completion import SHELLS, script

FILES = {"bash": "hsisr.bash", "zsh": "_hsisr", "fish": "hsisr.fish"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_committed_scripts_are_what_the_command_prints(shell, root):
    maker = f"typer\n{version('typer')};"
    if maker not in (root / "completions" / "README.md").read_text():
        pytest.skip("the scripts were made by another version of typer")
    assert (root / "completions" / FILES[shell]).read_text() == script(shell) + "\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_committed_scripts_ask_hsisr(shell, root):
    text = (root / "completions" / FILES[shell]).read_text()
    assert "_HSISR_COMPLETE=complete_" in text
    assert "hsisr" in text.splitlines()[-1]


def test_bash_can_read_its_script(root):
    if not shutil.which("bash"):
        pytest.skip("no bash on this machine")
    subprocess.run(["bash", "-n", root / "completions" / "hsisr.bash"], check=True)


def test_zsh_is_told_in_the_first_line_what_to_complete(root):
    assert (root / "completions" / "_hsisr").read_text().startswith("#compdef hsisr\n")
