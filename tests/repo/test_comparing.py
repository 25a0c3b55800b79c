"""The Python of docs/comparing.md makes of a scene what `hsisr upscale` makes of it."""

from __future__ import annotations

import re

import numpy as np

from hsisr.cli import main


def test_a_model_is_used_in_python_as_the_page_tells(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    # (bands, rows, columns), far from 1, so that the peak matters
    scene = rng.uniform(2000, 8000, (6, 64, 24)).astype(np.float32)
    np.save("scene.npy", scene)
    read, quick = ["scene.npy", "--axes", "BYX"], ["--threads", "1", "--precision", "fp32"]
    numbers = ["--set", "sr.numbers.width=8", "--set", "sr.training.steps=3", "--epochs", "1"]
    for command in (
        ["prepare", *read, "--scale", "2", "-o", "runs/scene"],
        ["train-sr", "runs/scene", "--unmix", "none", *numbers, *quick],
        ["upscale", *read, "--model", "runs/scene", "-o", "sharp.npy", *quick],
    ):
        assert main(["--quiet", *command]) == 0
    told: dict[str, object] = {}
    page = (root / "docs" / "comparing.md").read_text()
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], told)
    expected = np.load("sharp.npy").transpose(2, 0, 1)
    found = told["sharp"][0].numpy()
    assert found.shape == expected.shape == (6, 128, 48)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
