"""The worked example of CONTRIBUTING.md is put on the shelf of a copy, and trained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def hsisr(root, tmp_path_factory):
    """Runs commands with the networks of a copy, the example among them."""
    models = tmp_path_factory.mktemp("copy") / "models"
    shutil.copytree(root / "models", models, ignore=shutil.ignore_patterns("__pycache__", "zoo"))
    text = (root / "CONTRIBUTING.md").read_text()
    name = re.search(r"`models/(hsisr_models/sr/\w+\.py)`:\n\n```python", text)[1]
    (models / name).write_text(re.search(r"```python\n(.*?)```", text, re.S)[1])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "hsisr", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(models)])},
        )

    return run


def test_a_network_in_one_file_can_be_trained_and_used(hsisr, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scene.npy", rng.uniform(0.2, 0.8, (64, 40, 9)).astype(np.float32))
    run = tmp_path / "run"
    hsisr("prepare", tmp_path / "scene.npy", "--scale", "2", "-o", run)
    numbers = ["--set", "sr.numbers.width=8", "--set", "sr.training.steps=3", "--epochs", "1"]
    quick = ["--threads", "1", "--precision", "fp32"]
    trained = ["--network", "plain", "--unmix", "none", *numbers, *quick]
    hsisr("train-sr", run, "--name", "alone", *trained)
    table = hsisr("evaluate", run, "--model", run / "alone", *quick).stdout
    assert str(run / "alone") in table
    outputs = [tmp_path / f"{tile}.npy" for tile in (10, 100)]
    for output, tile in zip(outputs, (10, 100), strict=True):
        options = ["--model", run / "alone", "-o", output, "--tile", tile, *quick]
        hsisr("upscale", tmp_path / "scene.npy", *options)
    assert np.load(outputs[0]).shape == (128, 80, 9)
    np.testing.assert_allclose(np.load(outputs[0]), np.load(outputs[1]), atol=1e-5)
