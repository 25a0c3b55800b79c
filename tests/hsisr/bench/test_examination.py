"""A model is tested on the pixels that were stored, and its costs are its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from hsisr.bench.examination import estimate, examine, largest
from hsisr.data.patches import PatchSet, open_patches
from hsisr.evaluate import DEFAULT
from hsisr.runtime import Runtime
from tests.hsisr.made_up import prepared_run

SCALE = 2


@pytest.fixture
def patches(tmp_path: Path) -> PatchSet:
    prepared_run(tmp_path, bands=5, rows=56, cols=20, scale=SCALE, seed=0)
    return open_patches(tmp_path)


def test_scores_are_those_of_the_estimate_by_another_library(
    patches: PatchSet, cpu: Runtime
) -> None:
    found = examine("bicubic", patches, cpu, DEFAULT)
    bands = zip(largest(patches), estimate("bicubic", patches, cpu), strict=True)
    psnr = np.mean([peak_signal_noise_ratio(t, e, data_range=1) for t, e in bands])
    assert len(patches.blocks("test")) == 1
    assert found.measures["psnr"] == pytest.approx(psnr, rel=1e-5)
    assert found.facts["parameters"] == 0


def test_the_stored_pixels_are_what_is_sharpened(patches: PatchSet, cpu: Runtime) -> None:
    for entry in patches.manifest["blocks"]:
        if entry["split"] == "test":
            path = patches.folder / entry["low"]
            np.save(path, np.full_like(np.load(path), patches.peak / 2))
    assert estimate("bicubic", patches, cpu) == pytest.approx(0.5)
    assert largest(patches).shape == estimate("bicubic", patches, cpu).shape
    flat = examine("bicubic", patches, cpu, DEFAULT)
    error = (
        np.concatenate([high.ravel() for _, high in patches.blocks("test")]) / patches.peak - 0.5
    )
    assert flat.measures["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
