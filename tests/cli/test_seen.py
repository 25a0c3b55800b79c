"""A table tells which models beside have seen the data set that they are tested on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.hsisr.made_up import mixed_scene

QUICK = ("steps=2", "patch=4", "batch=2")
SETTINGS = [part for number in QUICK for part in ("--set", f"sr.training.{number}")]
MACHINE = ("--threads", "1", "--precision", "fp32", "--device", "cpu", "--epochs", "1")


@pytest.mark.parametrize(("split", "known"), [("0.4,0.2,0.4", True), ("0.7,0.1,0.2", False)])
def test_a_model_that_was_trained_on_other_parts_of_a_scene_is_told(split, known, hsisr, tmp_path):
    scene, run = tmp_path / "scene.npy", tmp_path / "run"
    np.save(scene, mixed_scene(5, 48, 16, 0).transpose(1, 2, 0))
    assert hsisr("prepare", scene, "-s", "2", "--split", split, "-o", run).code == 0
    network = ("--unmix", "none", "--set", "sr.numbers.width=8", "--set", "sr.numbers.depth=1")
    assert hsisr("train-sr", run, *network, *SETTINGS, *MACHINE).code == 0
    beside = ("--models", run, "--seeds", "1", "--json", "-o", tmp_path / "out")
    told = ("--data", scene, "-s", "2", "--networks", "rfsr", *beside, *SETTINGS, *MACHINE)
    ended = hsisr("benchmark", *told)
    assert ended.code == 0, ended.err
    (table,) = json.loads(ended.out)["tables"]
    line = f"{run} was trained or chosen with pixels of scene.npy"
    assert (line in table["notes"]) is known
