"""A stopped command ends within seconds, says how to go on, and leaves nothing half done."""

from __future__ import annotations

import json
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


def _scene(make_scene):
    """Large enough to be stopped in the midst of it; no two parts of it are the same."""
    numbers = np.random.default_rng(0).integers(0, 9000, (24, 120, 150), np.int16)
    return make_scene(numbers=numbers)


def _logged(folder):
    """Whether a tile was noted as done."""
    return any(log.stat().st_size for log in folder.glob("*.journal/*.log"))


@pytest.mark.parametrize(("number", "code"), STOPS)
@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["upscale", "--model", "bicubic", "--scale", "8", "--tile", "4"], "mine_x8.img"),
        (["unmix", "--endmembers", "3", "--method", "vca", "--tile", "8"], "mine_abundance.img"),
    ],
    ids=["upscale", "unmix"],
)
def test_a_stopped_run_is_continued_to_the_same_result(
    number, code, command, output, make_scene, spawned, hsisr, tmp_path
):
    name, *options = command
    header = _scene(make_scene)
    options += ["--threads", "1", "--precision", "fp32", "--no-quicklook"]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert hsisr(name, header, *options, "-o", whole).code == 0
    older = tmp_path / output
    older.write_text("older")
    process = spawned([name, header, *options, "--overwrite"])
    _wait_for(lambda: _logged(tmp_path), process)
    ended, said = _stopped(process, number)
    assert ended == code
    error, hint = said.splitlines()[-2:]
    assert error == "error: interrupted"
    assert hint.startswith(f"  hint: what is done is kept; go on with: hsisr {name} {header}")
    assert older.read_text() == "older"
    assert hsisr(name, *hint.partition(f"hsisr {name} ")[2].split()).code == 0
    assert older.read_bytes() == (whole / output).read_bytes()
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob("*.journal")]


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_search_for_endmembers_stops_at_once_and_leaves_nothing(
    number, code, make_scene, spawned, tmp_path
):
    header = _scene(make_scene)
    before = sorted(tmp_path.iterdir())
    process = spawned(["unmix", header, "--endmembers", "8", "--threads", "1"])
    said = iter(process.stderr.readline, "")
    next(line for line in said if line.startswith("looking for 8 endmembers "))
    ended, rest = _stopped(process, number)
    assert ended == code
    assert rest.startswith("error: interrupted\n")
    assert sorted(tmp_path.iterdir()) == before


def test_an_impatient_user_is_heard_at_once_and_loses_nothing_written(
    make_scene, spawned, hsisr, tmp_path
):
    header = _scene(make_scene)
    command = ["upscale", header, "--model", "bicubic", "--scale", "8", "--tile", "150"]
    before = sorted(tmp_path.iterdir())
    process = spawned(command)
    _wait_for((tmp_path / "mine_x8.img.part").exists, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    ended, said = _stopped(process, signal.SIGINT)
    assert ended == 130
    assert "error: interrupted" in said
    # not one tile was done, so there was nothing to keep
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (["upscale", "--model", "bicubic", "--scale", "8"], "mine_x8"),
        (
            [*("unmix", "-p", "3", "--method", "vca"), *("--scale", "4", "--sr-model", "bicubic")],
            "mine_x4_abundance",
        ),
    ],
    ids=["upscale", "unmix"],
)
def test_a_run_that_is_killed_while_its_result_is_checked_is_continued(
    command, result, make_scene, spawned, hsisr, tmp_path
):
    name, *options = command
    command = [name, _scene(make_scene), *options, "--precision", "fp32", "--threads", "1"]
    process = spawned(command)
    _wait_for((tmp_path / f"{result}.run.json").exists, process)
    process.kill()
    process.communicate()
    # by the folder, in which the result is no scene
    command[1] = tmp_path
    assert hsisr(*command).code == 0
    record = json.loads((tmp_path / f"{result}.run.json").read_text())
    assert record["consistency"]["worst"] > 0
    assert (tmp_path / f"{result}.png").exists()
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob("*.journal")]
