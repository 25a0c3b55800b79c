"""A stopped command ends within seconds, says how to go on, and leaves nothing half done."""

from __future__ import annotations

import signal
import time

import numpy as np
import psutil
import pytest

STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def _wait_for(happened, process):
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _stopped(process, number):
    """Send a signal; returns the exit code and stderr once the process and its children ended."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert not any(child.is_running() for child in family)
    assert "Traceback" not in said
    return process.returncode, said


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_stopped_training_continues(number, code, run_copy, spawned, hsisr):
    state = run_copy / "sr" / "state.safetensors"
    options = ["--epochs", "40", "--threads", "1", "--precision", "fp32", "--overwrite"]
    numbers = [f"sr.{name}" for name in ("numbers.width=8", "numbers.depth=1", "training.steps=4")]
    settings = [part for number in numbers for part in ("--set", number)]
    state.unlink()
    process = spawned(["train-sr", run_copy, *options, *settings])
    _wait_for(state.exists, process)
    ended, said = _stopped(process, number)
    assert ended == code
    error, hint = said.splitlines()[-2:]
    assert error == "error: interrupted"
    assert hint.startswith(f"  hint: continue with: hsisr train-sr {run_copy} --epochs 40")
    assert "--overwrite" not in hint
    assert not list(run_copy.rglob("*.part"))

    continued = hsisr(*hint.partition("hsisr ")[2].split(), "--max-time", "0")
    stopped_at = continued.err.partition("stopped by --max-time at step ")[2].split()
    assert int(stopped_at[0]) > 4  # where the first state was saved


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_stopped_upscale_leaves_nothing_half_done(
    number, code, make_scene, spawned, hsisr, tmp_path
):
    header = make_scene(numbers=np.full((24, 200, 300), 3000, "<i2"))
    older = tmp_path / "mine_x8.img"
    older.write_text("older")
    before = sorted(tmp_path.iterdir())
    command = ["upscale", header, "--model", "bicubic", "--scale", "8", "--tile", "4"]
    process = spawned([*command, "--overwrite"])
    _wait_for((tmp_path / "mine_x8.img.part").exists, process)
    ended, said = _stopped(process, number)
    assert ended == code
    error, hint = said.splitlines()[-2:]
    assert error == "error: interrupted"
    assert hint.startswith("  hint: nothing was written; again: hsisr upscale ")
    assert sorted(tmp_path.iterdir()) == before
    assert older.read_text() == "older"


def test_an_impatient_user_is_heard_at_once(make_scene, spawned, tmp_path):
    header = make_scene(numbers=np.full((24, 200, 300), 3000, "<i2"))
    before = sorted(tmp_path.iterdir())
    process = spawned(["upscale", header, "--model", "bicubic", "--scale", "8", "--tile", "300"])
    _wait_for((tmp_path / "mine_x8.img.part").exists, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    ended, said = _stopped(process, signal.SIGINT)
    assert ended == 130
    assert "error: interrupted" in said
    assert sorted(tmp_path.iterdir()) == before
