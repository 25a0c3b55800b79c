from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsisr import __version__
from hsisr.checkpoints import zoo
from hsisr.cli import _options, main
from hsisr.errors import ModelError
from tests.hsisr.pretrained import made_zoo

COMMANDS = (
    "prepare",
    "train-unmix",
    "train-sr",
    "upscale",
    "unmix",
    "evaluate",
    "evaluate-unmix",
    "info",
    "demo",
    "completion",
    "models",
)
LIGHT = """
import sys
from hsisr.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as done:  # how completion ends
    code = done.code
heavy = {"torch", "numpy", "scipy", "h5py", "tifffile", "spectral", "rich.console"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
sys.exit(code)
"""


def _light(arguments, **more):
    return subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more},
    )


def test_help_lists_every_command_in_one_line_each_and_loads_nothing_heavy():
    ended = _light(["--help"])
    assert ended.returncode == 0, ended.stderr
    for name in COMMANDS:
        line = next(line for line in ended.stdout.splitlines() if line.startswith(f"  {name} "))
        assert line.endswith(".")
        assert not line.endswith("...")


def test_help_of_a_command_loads_nothing_heavy():
    ended = _light(["upscale", "--help"])
    assert ended.returncode == 0, ended.stderr
    assert "Example: hsisr upscale" in ended.stdout


def test_listing_the_models_loads_nothing_heavy(tmp_path):
    made_zoo(tmp_path, 2, 3)
    ended = _light(["models", "list", "--zoo", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("tiny-x") == 2


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        ("hsisr up", ["upscale"]),
        ("hsisr train", ["train-unmix", "train-sr"]),
        ("hsisr upscale --attention s", ["surveyed"]),
        ("hsisr train-sr run --network unm", ["unmixing_sr"]),
        ("hsisr train-sr run --recipe def", ["default"]),
        ("hsisr completion z", ["zsh"]),
        ("hsisr models v", ["verify"]),
        ("hsisr evaluate scene --model b", ["bicubic"]),
        ("hsisr models info ", zoo.names()),
    ],
)
def test_tab_completes_and_loads_nothing_heavy(words, suggested):
    ended = _light(
        [],
        _HSISR_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert ended.stdout.split() == suggested, ended.stderr
    assert ended.returncode == 0, ended.stderr


def test_offered_degradations_are_those_there_are():
    from hsisr_models.imaging import OPERATORS

    assert tuple(_options.operators()) == OPERATORS


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "upscale" in capsys.readouterr().out


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hsisr {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["upscael"], "No such command 'upscael'", "hsisr --help"),
        (["upscale"], "Missing argument 'SCENE...'", "hsisr upscale --help"),
        (["upscale", "x", "--scael", "4"], "No such option: --scael", "hsisr upscale --help"),
        (["upscale", "x", "--scale", "nan"], "--scale", "hsisr upscale --help"),
        (["upscale", "x", "--scale", "9"], "--scale", "hsisr upscale --help"),
        (["upscale", "x", "--tile", "0"], "--tile", "hsisr upscale --help"),
        (["upscale", "x", "--threads", "0"], "--threads", "hsisr upscale --help"),
        (["completion", "tcsh"], "no completion for 'tcsh'", "one of bash, zsh, fish"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_two_lines(arguments, said, hint, capsys):
    assert main(arguments) == 2
    error, line = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert line == f"  hint: {hint}"


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path, capsys):
    assert main(["--debug", "info", str(tmp_path / "missing.img")]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "\nerror: " in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell, hsisr):
    script = hsisr("completion", shell).out
    assert "_HSISR_COMPLETE" in script
    assert not script.startswith("\n")


def test_a_reader_that_stops_reading_is_no_error_to_trace(world, spawned):
    process = spawned(["info", world.header])
    process.stdout.close()
    assert process.wait(60) in (0, 1)
    assert "Traceback" not in process.stderr.read()


def test_a_full_disk_behind_stdout_is_an_output_error(world):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "hsisr", "info", world.header],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert ended.returncode == 5
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "several"),
    [
        *((name, False) for name in ("train-unmix", "train-sr", "evaluate", "speed", "benchmark")),
        *((name, True) for name in ("upscale", "unmix")),
    ],
)
def test_help_tells_whether_a_command_takes_several_devices(command, several, hsisr):
    said = " ".join(hsisr(command, "--help").out.split())
    assert ("or several: cuda:0,cuda:1." in said) == several
    assert ("or one of several: cuda:1." in said) != several


def test_what_a_library_makes_of_ctrl_c_is_an_interruption(monkeypatch, capsys):
    def stopped(arguments):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ModelError("is corrupt") from None

    monkeypatch.setattr("hsisr.cli.invoke", stopped)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (ImportError("x.so: failed to map"), "a library cannot be loaded: x.so: failed to map"),
    ],
)
def test_a_limit_of_the_machine_is_no_bug(error, said, monkeypatch, capsys):
    def limited(arguments):
        raise error

    monkeypatch.setattr("hsisr.cli.invoke", limited)
    assert main(["models"]) == 5
    assert capsys.readouterr().err.startswith(f"error: {said}\n  hint: allow more")
