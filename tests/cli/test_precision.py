"""Reduced precision, where nobody asked for it, is used as long as it does not show."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spectral
import torch

from hsisr.cli._tiles import Means, faithful
from hsisr.model import load_sr
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.journal import Journal, Share
from tests.cli.conftest import BANDS
from tests.hsisr.made_up import mixed_scene
from tests.hsisr.tiling.test_check import cube_of

SIDE = 40
PLAIN = {"data_type": "4", "data_ignore_value": None, "reflectance_scale_factor": None}


def _scene(dark):
    """Reflectance; of a `dark` one, much is so little that rounding turns its spectra."""
    values = mixed_scene(BANDS, SIDE, SIDE)
    values /= values.max()
    if dark:
        values[:, SIDE // 4 :] *= 0.003
    return values


def _read(header):
    image = np.array(spectral.open_image(str(header)).open_memmap(), np.float64)
    return image.reshape(-1, BANDS).T


def _apart(one, other):
    """In degrees, the mean over the pixels."""
    cosines = (one * other).sum(0) / np.linalg.norm(one, axis=0) / np.linalg.norm(other, axis=0)
    return np.degrees(np.arccos(cosines.clip(-1, 1))).mean()


@pytest.mark.parametrize("dark", [False, True])
def test_a_result_is_as_float32_gives_it(dark, tmp_path, hsisr, make_scene):
    scene = make_scene("reflectance", _scene(dark).astype("<f4"), **PLAIN)
    found, used = {}, {}
    for precision in ("fp32", "bf16", "auto"):
        output = tmp_path / f"{precision}.img"
        assert hsisr("upscale", scene, "-s", 2, "-o", output, "--precision", precision).code == 0
        found[precision] = _read(output.with_suffix(".hdr"))
        used[precision] = json.loads((tmp_path / f"{precision}.run.json").read_text())["precision"]
    assert (used["fp32"], used["bf16"]) == ("fp32", "bf16")
    assert (_apart(found["bf16"], found["fp32"]) > 0.05) == dark
    np.testing.assert_array_equal(found["auto"], found[used["auto"]])
    assert _apart(found["auto"], found["fp32"]) <= 0.05


@pytest.mark.parametrize("dark", [False, True])
def test_what_was_found_is_kept_for_a_run_that_goes_on(dark, tmp_path, capsys):
    cube, reduced = (
        cube_of(_scene(dark).astype(np.float32)),
        Runtime(torch.device("cpu"), torch.bfloat16),
    )
    model = load_sr("auto", 2)
    seen = survey(cube, model.tokens)
    operation = model.operation(seen, reduced)
    means = Means([reduced], False, 1, None, None, Share(), overwrite=False)
    chosen = []
    for _ in range(2):
        with Journal(tmp_path / "run.journal", {}, Share()) as journal:
            chosen.append(faithful(means, operation, seen, journal).machine)
        operation = None  # not asked again
    assert chosen == [reduced.exact if dark else reduced] * 2
    assert capsys.readouterr().err.count("--precision bf16 is faster") == 2 * dark
