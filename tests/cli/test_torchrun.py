"""The training commands as torchrun starts them: the result of one process, and one voice."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from safetensors.torch import load_file
from torch import distributed
from torch.testing import assert_close

from tests.cli.conftest import environment, options_for

pytestmark = pytest.mark.skipif(
    not distributed.is_gloo_available(), reason="this torch cannot let processes on a CPU talk"
)
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture
def torchrun():
    """Starts two processes of a command, or of a script; none outlives the test."""
    started = []

    def start(*parts, script=None):
        rest = [script] if script else ["-m", "hsisr", parts[0], *options_for(parts[0]), *parts[1:]]
        process = subprocess.Popen(
            [sys.executable, *TORCHRUN, *map(str, rest)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


def _ended(process):
    """What was said by torchrun and by hsisr."""
    _, said = process.communicate(timeout=90)
    return process.returncode, said


def _untimed(said):
    """The lines that do not tell how long it will take."""
    return [line for line in said.splitlines() if not line.endswith(" left")]


def _numbers(step, **numbers):
    return [part for k, v in numbers.items() for part in ("--set", f"{step}.training.{k}={v}")]


def _once_there(path, process, do):
    """Do something to the second process when the first has written a file."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for child in psutil.Process(process.pid).children():
        if child.environ().get("RANK") == "1":
            do(child)


def _same(found, expected):
    for name in ("state", "model"):
        one, two = (load_file(folder / f"{name}.safetensors") for folder in (expected, found))
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert_close(two[key], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "more"), [("unmix", ["-p", "3"]), ("sr", [])], ids=["train-unmix", "train-sr"]
)
def test_two_processes_end_with_the_weights_of_one(step, more, run_copy, torchrun, hsisr, tmp_path):
    other = shutil.copytree(run_copy, tmp_path / "other")
    # Adam divides gradients by their size: where they are next to nothing, so is a weight's sign
    odd = _numbers(step, batch=3, patch=8, warm_up=2, learning_rate=1e-4)
    command = [f"train-{step}", *more, "--epochs", 5, *odd, "--overwrite"]
    code, said = _ended(torchrun(*command, other))
    assert code == 0, said
    alone = hsisr(*command, run_copy)
    _same(other / step, run_copy / step)
    # the second process says nothing; the first, what one alone says
    lines = _untimed(said.replace(str(other), str(run_copy)))
    assert [line for line in lines if "OMP_NUM" not in line and "*" not in line] == (
        _untimed(alone.err)
    )


def test_one_process_two_and_one_again_end_like_one(run_copy, torchrun, hsisr, tmp_path):
    """A signal to either process stops both after the same step, with the state saved."""
    # no longer and no faster: the last bits, which threads differ in too, would become 1e-5
    numbers = _numbers("unmix", batch=61, learning_rate=1e-4)
    command = ["train-unmix", "-p", 3, "--epochs", 10, *numbers]
    whole = shutil.copytree(run_copy, tmp_path / "whole")
    assert hsisr(*command, whole, "--overwrite").code == 0
    assert "at step 1 of 40" in hsisr(*command, run_copy, "--overwrite", "--max-time", "0").err
    process = torchrun(*command, run_copy)
    validated = run_copy / "unmix" / "metrics.csv"
    _once_there(validated, process, lambda second: second.send_signal(signal.SIGTERM))
    code, said = _ended(process)
    assert code
    assert said.count("error: ") == 1
    assert "error: interrupted" in said
    assert "hint: continue with: hsisr train-unmix" in said
    assert not list(run_copy.rglob("*.part"))
    stopped = hsisr(*command, run_copy, "--max-time", "0").err
    assert 5 < int(re.search(r"at step (\d+) of 40", stopped)[1]) < 40
    assert hsisr(*command, run_copy).code == 0
    _same(run_copy / "unmix", whole / "unmix")


def test_a_process_that_is_killed_does_not_leave_the_other_waiting(run_copy, torchrun):
    process = torchrun("train-sr", run_copy, "--epochs", 2000, "--name", "killed")
    state = run_copy / "killed" / "state.safetensors"
    _once_there(state, process, lambda second: second.kill())
    code, said = _ended(process)
    assert code
    assert "Signal 9 (SIGKILL)" in said
    # torchrun may end the other one before it can tell
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert errors in ([], ["error: another of the 2 processes ended"])


SCRIPT = """
import os, sys
from hsisr.cli import main
run = {runs}[int(os.environ["RANK"])]
sys.exit(main(["train-sr", run, "--name", "mine", *{options}]))
"""


def _on_folders_of_their_own(tmp_path, *runs):
    script = tmp_path / "script.py"
    script.write_text(
        SCRIPT.format(runs=[str(run) for run in runs], options=options_for("train-sr"))
    )
    return script


def test_an_error_of_one_process_ends_both_and_is_told_once(run_copy, torchrun, tmp_path):
    missing = tmp_path / "missing"
    code, said = _ended(torchrun(script=_on_folders_of_their_own(tmp_path, run_copy, missing)))
    assert code
    assert said.count("error: ") == 1
    assert f"error: {missing}" in said
    assert "hint: hsisr prepare" in said


def test_processes_that_find_different_states_are_refused(run_copy, torchrun, hsisr, tmp_path):
    other = shutil.copytree(run_copy, tmp_path / "other")
    hsisr("train-sr", run_copy, "--name", "mine", "--max-time", "0")
    code, said = _ended(torchrun(script=_on_folders_of_their_own(tmp_path, run_copy, other)))
    assert code
    assert said.count("error: ") == 1
    assert "the processes find training states of steps 0 and 1 here" in said
    assert "hint: keep the run in a folder that all machines share" in said
