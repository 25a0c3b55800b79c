"""File names are data: they are neither markup nor commands to the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = [
    "two words",
    "[red] [-x]",
    "\x1b[31mred\x1b[0m",
    "new\nline",
    "100%s {0}",
    "scène 場景 🛰",
    "-dash",
    "a.b.c",
    "n" * 200,
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_works_and_is_shown_harmlessly(name, make_scene, hsisr, tmp_path):
    header = make_scene(name)
    assert hsisr("info", header).code == 0
    assert hsisr("upscale", header, "--model", "bicubic").code == 0
    assert (tmp_path / f"{name}_x2.img").stat().st_size == 4 * 147456
    assert (tmp_path / f"{name}_x2.png").exists()
    assert hsisr("evaluate", header, header, "--scale", "2").code == 0
    refused = hsisr("upscale", header, "--model", "bicubic", "--tta")
    assert refused.code == 5
    assert len(refused.err.splitlines()) == 2


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_of_a_run_folder_works(name, world, hsisr, tmp_path):
    assert hsisr("prepare", world.header, "--scale", "2", "-o", tmp_path / name).code == 0
    command = ("train-sr", tmp_path / name, "--unmix", "none", "--epochs", "1")
    assert hsisr(*command).code == 0
    assert hsisr("evaluate", tmp_path / name, "--model", tmp_path / name).code == 0


def test_a_name_that_is_no_text_works(make_scene, tmp_path):
    header = make_scene("plain")
    for path in (header, header.with_suffix(".img")):
        path.rename(os.fsdecode(bytes(tmp_path) + b"/caf\xe9" + path.suffix.encode()))
    command = [sys.executable, "-m", "hsisr", "info", bytes(tmp_path) + b"/caf\xe9.hdr"]
    python_path = os.pathsep.join(sys.path)
    ended = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": python_path}
    )
    assert ended.returncode == 0, ended.stderr
    assert b"caf\\udce9.img" in ended.stdout


def test_a_name_too_long_for_the_results_is_an_output_error(make_scene, hsisr, tmp_path):
    header = make_scene("n" * 250)
    before = sorted(tmp_path.iterdir())
    ended = hsisr("upscale", header, "--model", "bicubic")
    assert ended.code == 5
    assert sorted(tmp_path.iterdir()) == before


def test_a_scene_is_found_from_its_own_folder(make_scene, hsisr, tmp_path, monkeypatch):
    make_scene("-dash")
    monkeypatch.chdir(tmp_path)
    assert hsisr("upscale", "--model", "bicubic", "--", "-dash.hdr").code == 0
    assert Path("-dash_x2.img").exists()
