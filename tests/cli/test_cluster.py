"""A command that a Dask cluster shares gives the bytes of one process, or says why it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import environment

pytest.importorskip("distributed", reason="Dask is an extra")


def test_two_workers_write_the_bytes_of_one(world, hsisr, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    options = ["--model", world.run, "--tile", "16", "--precision", "fp32"]
    assert hsisr("upscale", world.header, *options, "-o", alone).code == 0
    # with relative paths, which the workers have to understand as well
    command = ["upscale", "scene.hdr", *options, "-o", shared, "--dask", "local:2"]
    ended = subprocess.run(
        [sys.executable, "-m", "hsisr", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=world.header.parent,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    names = {"scene_x2.img", "scene_x2.hdr", "scene_x2.png", "scene_x2.run.json"}
    assert {path.name for path in shared.iterdir()} == names
    for name in names - {"scene_x2.run.json"}:
        assert (shared / name).read_bytes() == (alone / name).read_bytes(), name


@pytest.mark.parametrize("address", ["local:two", "tcp://localhost:1"])
def test_a_cluster_that_is_not_there_is_explained(world, hsisr, tmp_path, address):
    ended = hsisr("upscale", world.header, "--scale", 2, "-o", tmp_path, "--dask", address)
    assert ended.code == 2
    assert address in ended.first
    assert "--dask local" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["upscale", "--scale", 2], ["unmix", "--endmembers", 3]])
def test_a_cluster_chooses_the_shares_itself(world, hsisr, tmp_path, command):
    name, *options = command
    shares = ("--dask", "local", "--shard", "1/2")
    ended = hsisr(name, world.header, *options, *shares, "-o", tmp_path)
    assert ended.code == 2
    assert "leave out --shard" in ended.err
    assert not list(tmp_path.iterdir())
