"""The worked example of CONTRIBUTING.md is put on the shelf of a copy, and trained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

RUN = """
import json, sys
from hsisr.cli import main
for command in json.loads(sys.argv[1]):
    code = main(command)
    if code:
        sys.exit(code)
"""


@pytest.fixture(scope="module")
def hsisr(root, tmp_path_factory):
    """Runs commands with the networks of a copy, the example among them."""
    models = tmp_path_factory.mktemp("copy") / "models"
    shutil.copytree(root / "models", models, ignore=shutil.ignore_patterns("__pycache__", "zoo"))
    text = (root / "CONTRIBUTING.md").read_text()
    name = re.search(r"`models/(hsisr_models/sr/\w+\.py)`:\n\n```python", text)[1]
    (models / name).write_text(re.search(r"```python\n(.*?)```", text, re.S)[1])

    def run(*commands):
        text = json.dumps([[str(part) for part in command] for command in commands])
        ended = subprocess.run(
            [sys.executable, "-c", RUN, text],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(models)])},
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_a_network_in_one_file_can_be_trained_and_used(hsisr, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scene.npy", rng.uniform(0.2, 0.8, (64, 40, 9)).astype(np.float32))
    run, outputs = tmp_path / "run", [tmp_path / "small.npy", tmp_path / "large.npy"]
    quick = ["--threads", "1", "--precision", "fp32"]
    numbers = ["--set", "sr.numbers.width=8", "--set", "sr.training.steps=3", "--epochs", "1"]
    trained = ["--network", "plain", "--name", "alone", "--unmix", "none", *numbers]
    model = ["--model", run / "alone"]
    upscale = ["upscale", tmp_path / "scene.npy", *model, *quick]
    table = hsisr(
        ["prepare", tmp_path / "scene.npy", "--scale", "2", "-o", run],
        ["train-sr", run, *trained, *quick],
        ["evaluate", run, *model, *quick],
        [*upscale, "-o", outputs[0], "--tile", "10"],
        [*upscale, "-o", outputs[1], "--tile", "100"],
    )
    assert str(run / "alone") in table
    assert np.load(outputs[0]).shape == (128, 80, 9)
    np.testing.assert_allclose(np.load(outputs[0]), np.load(outputs[1]), atol=1e-5)
