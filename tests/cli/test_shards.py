"""Shares of one run, as processes at once or one after the other, give the bytes of one process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from torch import distributed

from tests.cli.conftest import environment

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
UPSCALE = ["upscale", "--model", "bicubic", "--scale", "4", "--tile", "8"]
UNMIX = ["unmix", "--endmembers", "3", "--method", "vca", "--tile", "8"]
TILED = [*UPSCALE, "--format", "tiff"]
COMMANDS = pytest.mark.parametrize(
    "command", [UPSCALE, TILED, UNMIX], ids=["upscale", "tiled TIFF", "unmix"]
)
# so many tiles that a share can be stopped in the midst of it
SLOW = ["upscale", "--model", "bicubic", "--scale", "8", "--tile", "2"]


@pytest.fixture
def scene(make_scene):
    """One of which no two parts are the same."""
    return make_scene(numbers=np.random.default_rng(0).integers(1, 9000, (24, 90, 70), np.int16))


@pytest.fixture
def single(scene, hsisr, tmp_path):
    """What one process makes of the scene."""

    def made(command):
        folder = tmp_path / "single"
        folder.mkdir()
        assert hsisr(*line(command, scene), "-o", folder).code == 0
        return results(folder)

    return made


def line(command, scene):
    """A command on a scene, as the tests here give it."""
    name, *options = command
    return [name, scene, *options, "--threads", "1", "--precision", "fp32", "--no-quicklook"]


def results(folder):
    """What a run made, but for the record, which tells how long it took."""
    paths = (path for path in folder.iterdir() if not path.name.endswith(".run.json"))
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def shares(tmp_path):
    """A folder for what shares write."""
    folder = tmp_path / "shares"
    folder.mkdir()
    return folder


def begun(parts, folder, spawned):
    """A share that has noted tiles as done, and is at work."""
    process = spawned(parts)
    deadline = time.monotonic() + 60
    while not any(log.stat().st_size for log in folder.glob("*.journal/*.log")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def ended(process):
    """Whether a share ended well, and if it says that others are at work."""
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return "the last one finishes" in said


@pytest.mark.parametrize("command", [UPSCALE, TILED], ids=["upscale", "tiled TIFF"])
def test_shares_at_once_give_the_bytes_of_one_process(command, scene, single, shares, spawned):
    parts = [*line(command, scene), "-o", shares]
    started = [spawned([*parts, "--shard", f"{i}/3"]) for i in (1, 2, 3)]
    assert sorted(ended(process) for process in started) == [False, True, True]
    assert results(shares) == single(command)
    assert len(list(shares.glob("*.run.json"))) == 1


@COMMANDS
@pytest.mark.parametrize("order", ["12", "21", "312"])
def test_shares_one_after_the_other_give_the_bytes_of_one_process(
    command, order, scene, single, shares, hsisr
):
    parts = [*line(command, scene), "-o", shares]
    for number, index in enumerate(order, start=1):
        share = hsisr(*parts, "--shard", f"{index}/{len(order)}")
        assert share.code == 0, share.err
        waits = f"share {index} of {len(order)} is done; the last one finishes" in share.err
        assert waits == (number < len(order))
    assert results(shares) == single(command)


def test_more_shares_than_rows_of_tiles_give_the_same(scene, single, shares, hsisr):
    parts = [*line(["upscale", "--model", "bicubic", "--tile", "45"], scene), "-o", shares]
    for index in range(1, 5):
        assert hsisr(*parts, "--shard", f"{index}/4").code == 0
    assert results(shares) == single(["upscale", "--model", "bicubic", "--tile", "45"])


def test_a_killed_share_is_repeated(scene, single, shares, spawned, hsisr):
    parts = [*line(SLOW, scene), "-o", shares]
    process = begun([*parts, "--shard", "2/2"], shares, spawned)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert hsisr(*parts, "--shard", "1/2").code == 0
    assert not list(shares.glob("*.img"))
    again = hsisr(*parts, "--shard", "2/2")
    assert again.code == 0
    assert "wrote" in again.err
    assert results(shares) == single(SLOW)


@pytest.mark.parametrize("then", [["1/3", "3/3", "2/3"], [None]], ids=["three", "one"])
def test_another_number_of_shares_goes_on(then, scene, single, shares, hsisr):
    parts = [*line(UPSCALE, scene), "-o", shares]
    assert hsisr(*parts, "--shard", "2/2").code == 0
    for share in then:
        last = hsisr(*parts, *(["--shard", share] if share else []))
        assert last.code == 0, last.err
    assert "wrote" in last.err
    assert results(shares) == single(UPSCALE)


def test_a_share_of_another_run_is_refused_with_the_difference(scene, single, shares, hsisr):
    parts = [*line(UPSCALE, scene), "-o", shares]
    assert hsisr(*parts, "--shard", "1/2").code == 0
    other = hsisr(*parts, "--tile", "16", "--shard", "2/2")
    assert other.code == 5
    assert "begun differently: tile 8, now 16" in other.first
    assert hsisr(*parts, "--shard", "2/2").code == 0
    assert results(shares) == single(UPSCALE)


def test_a_run_alone_is_refused_while_shares_are_at_work(scene, single, shares, spawned, hsisr):
    parts = [*line(SLOW, scene), "-o", shares]
    first = begun([*parts, "--shard", "1/2"], shares, spawned)
    first.send_signal(signal.SIGSTOP)
    alone, same = hsisr(*parts), hsisr(*parts, "--shard", "1/2")
    first.send_signal(signal.SIGCONT)
    for refused in (alone, same):
        assert refused.code == 5
        assert "another run is writing this" in refused.first
    assert ended(first)
    assert hsisr(*parts, "--shard", "2/2").code == 0
    assert results(shares) == single(SLOW)


@pytest.mark.skipif(not distributed.is_available(), reason="this torch has no torchrun")
def test_torchrun_shares_the_work(scene, single, shares):
    parts = map(str, [*line(UNMIX, scene), "-o", shares])
    run = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", "hsisr", *parts],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("the last one finishes") == 1
    assert results(shares) == single(UNMIX)


@pytest.mark.parametrize("share", ["0/3", "4/3", "x"])
def test_what_is_no_share_is_a_usage_error(share, scene, shares, hsisr):
    refused = hsisr(*line(UPSCALE, scene), "-o", shares, "--shard", share)
    assert refused.code == 2
    assert "hint: --shard 1/4" in refused.err
    assert not list(shares.iterdir())


@pytest.mark.parametrize("format_name", ["hdf5", "mat5"])
def test_a_format_that_cannot_be_shared_is_a_usage_error(format_name, scene, shares, hsisr):
    parts = [*line(UPSCALE, scene), "-o", shares, "--shard", "1/2"]
    refused = hsisr(*parts, "--format", format_name)
    assert refused.code == 2
    assert "several processes cannot write one file of this format" in refused.first
    assert "hint: --format envi" in refused.err
    assert not list(shares.iterdir())


@pytest.mark.parametrize("option", [["--adapt", "1"], ["--attention", "dynamic"]])
def test_what_cannot_be_shared_is_a_usage_error(option, scene, shares, hsisr):
    command = ["upscale", scene, "--model", "any-x2", "-o", shares, "--shard", "1/2", *option]
    refused = hsisr(*command)
    assert refused.code == 2
    assert "--shard goes neither" in refused.first
    assert not list(shares.iterdir())
