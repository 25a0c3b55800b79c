"""A border that the file does not declare as such is told of, as it is taken for data."""

from __future__ import annotations

import numpy as np
import pytest

COMMANDS = {"upscale": ("--model", "bicubic", "--scale", "2"), "unmix": ("--endmembers", "2")}
SAID = "hold -9999 in all bands, which is taken for data"


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry", "real"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_undeclared_border_is_warned_of_in_stored_numbers(command, dry_run, make_scene, hsisr):
    # its other numbers are divided by 10,000
    scene = make_scene(data_ignore_value=None)
    ended = hsisr(command, scene, *COMMANDS[command], *["--dry-run"] * dry_run)
    assert ended.code == 0
    assert SAID in ended.err
    assert "data ignore value = -9999" in ended.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_declared_border_is_not(command, make_scene, hsisr):
    ended = hsisr(command, make_scene(), *COMMANDS[command])
    assert ended.code == 0
    assert "taken for data" not in ended.err


def test_a_few_dead_pixels_are_no_border(make_scene, hsisr):
    numbers = np.random.default_rng(0).integers(1, 9000, (24, 64, 48)).astype("<i2")
    numbers[:, 5, 5] = 0
    ended = hsisr("upscale", make_scene(numbers=numbers), *COMMANDS["upscale"])
    assert "taken for data" not in ended.err
