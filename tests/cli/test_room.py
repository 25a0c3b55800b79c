"""Disks that are too small and folders that may not be written to."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys

import pytest

from hsisr.files import human_size
from tests.cli.conftest import environment

COMMANDS = (
    ("upscale", "--model", "bicubic", "--scale", "2"),
    ("unmix", "--endmembers", "3", "--method", "vca"),
)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a disk of its own for a test."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user cannot mount a disk")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_found_before_any_work(world, hsisr, mounted):
    disk = mounted("size=256k")
    ended = hsisr("upscale", world.header, "--model", "bicubic", "-o", disk)
    assert ended.code == 5
    # 589.8 kB of numbers, and the header
    assert "not enough disk: needs 590.5 kB" in ended.first
    assert "262.1 kB free" in ended.first
    assert "hint: write to another disk with -o" in ended.err
    assert not list(disk.iterdir())


@pytest.mark.parametrize("format_name", ["envi", "tiff"])
def test_a_rehearsal_tells_the_size_of_the_files(format_name, world, hsisr, tmp_path):
    # the tiles of a TIFF file have pixels beyond the scene at this scale
    options = ("--model", "bicubic", "--scale", 7, "--format", format_name, "-o", tmp_path)
    rehearsed = hsisr("upscale", world.header, *options, "--dry-run")
    assert hsisr("upscale", world.header, *options).code == 0
    files = [path for path in tmp_path.iterdir() if path.suffix not in (".json", ".png")]
    size = sum(path.stat().st_size for path in files)
    assert f"disk       {human_size(size)} needed" in rehearsed.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_rehearsal_tells_what_a_run_takes_and_then_that_the_disk_is_too_small(
    command, world, hsisr, mounted
):
    disk = mounted("size=24k")
    rehearsed = hsisr(*command, world.header, "-o", disk, "--dry-run")
    _require_forecast(rehearsed)
    ended = hsisr(*command, world.header, "-o", disk)
    assert (rehearsed.code, rehearsed.first) == (ended.code, ended.first)
    assert "not enough disk" in ended.first
    assert not list(disk.iterdir())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_rehearsal_tells_what_a_run_takes_and_then_what_is_in_its_way(
    command, world, hsisr, tmp_path
):
    assert hsisr(*command, world.header, "-o", tmp_path / "old.img").code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for output in ("old.img", "missing/new.img"):
        # whatever is there was made in another way
        options = ("--tile", 17, "-o", tmp_path / output)
        rehearsed = hsisr(*command, world.header, *options, "--dry-run")
        _require_forecast(rehearsed)
        ended = hsisr(*command, world.header, *options)
        assert (rehearsed.code, rehearsed.first) == (5, ended.first)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def _require_forecast(ended):
    told = [line.split()[0] for line in ended.err.splitlines()]
    assert {"device", "output", "tiles", "memory", "disk", "time"} <= set(told)
    assert told.index("time") < told.index("error:")


def test_a_disk_that_is_too_small_for_prepared_data_is_an_output_error(world, hsisr, mounted):
    disk = mounted("size=256k")
    ended = hsisr("prepare", world.header, "--scale", "2", "-o", disk / "run")
    assert ended.code == 5
    assert "not enough disk" in ended.first
    assert hsisr("train-unmix", disk / "run").code == 3


def test_a_disk_that_fills_during_a_training_is_an_output_error(run_copy, hsisr, mounted):
    disk = mounted("size=32k")
    (run_copy / "small").symlink_to(disk)
    command = ("train-sr", run_copy, "--unmix", "none", "--name", "small", "--epochs", "1")
    ended = hsisr(*command)
    assert ended.code == 5
    assert "not enough disk" in ended.first
    assert not [path for path in disk.iterdir() if path.stat().st_size == 0]


@pytest.mark.parametrize("command", ["upscale", "unmix"])
def test_a_limit_on_the_size_of_files_is_an_output_error(command, world, tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    output = tmp_path / "out.img"
    options = [world.header, "--model", world.run, "-o", output]
    ended = subprocess.run(
        [sys.executable, "-m", "hsisr", command, *options],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.returncode == 5, ended.stderr
    assert "not enough disk" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["upscale", "unmix"])
def test_a_folder_that_may_not_be_written_to_is_an_output_error(
    command, world, hsisr, mounted, tmp_path
):
    if os.geteuid():
        folder = tmp_path / "sealed"
        folder.mkdir(mode=0o555)
    else:
        folder = mounted("ro")
    ended = hsisr(command, world.header, "--model", world.run, "-o", folder)
    assert ended.code == 5
    assert "cannot write: " in ended.first
    assert not list(folder.iterdir())


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "<&- >&- 2>&-", "2> >(true)"])
@pytest.mark.parametrize(("scene", "code"), [("scene.hdr", 0), ("nothing.hdr", 3)])
def test_a_run_that_cannot_tell_anything_goes_on(streams, scene, code, world, tmp_path):
    command = [sys.executable, "-m", "hsisr", "upscale", world.header.with_name(scene)]
    command += ["--model", "bicubic", "--scale", "2", "--no-quicklook", "-o", tmp_path / "out.img"]
    line = f"exec {shlex.join(map(str, command))} {streams}"
    ended = subprocess.run(["bash", "-c", line], env=environment(), check=False)
    assert ended.returncode == code
    assert len(list(tmp_path.iterdir())) == (0 if code else 3)


def test_a_folder_that_is_gone_is_a_usage_error(world, tmp_path):
    command = [sys.executable, "-m", "hsisr", "info", str(world.header)]
    line = f"cd {tmp_path} && rmdir {tmp_path} && exec {shlex.join(command)}"
    ended = subprocess.run(
        ["bash", "-c", line], env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "error: the folder that this shell is in was removed" in ended.stderr
