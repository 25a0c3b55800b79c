from __future__ import annotations

import numpy as np
import pytest
import spectral
from PIL import Image

from hsisr.cli._indian_pines import repaired


@pytest.mark.slow
def test_it_goes_from_a_scene_to_pictures_and_shows_every_command(hsisr, tmp_path):
    pytest.importorskip("tensorly", reason="the demo scene comes with tensorly")
    folder = tmp_path / "demo"
    ended = hsisr("demo", "-o", folder)
    assert ended.code == 0
    shown = [line.split()[2] for line in ended.err.splitlines() if line.startswith("$ hsisr ")]
    assert shown == ["info", "evaluate", "upscale", "unmix"]
    assert "bicubic" in ended.out
    assert spectral.open_image(str(folder / "indian_pines_x4.hdr")).shape == (580, 580, 200)
    with Image.open(folder / "before_after.png") as picture:
        width, height = picture.size
        assert width == 2 * height + 4
    assert hsisr("demo", "-o", folder).code == 5


def test_lost_carriage_returns_are_put_back():
    rng = np.random.default_rng(0)
    spectra = 1000 + np.abs(
        rng.uniform(1500, 4000, (4, 1)) + rng.normal(0, 300, (4, 120)).cumsum(1)
    )
    shares = rng.dirichlet(np.ones(4), 5000)
    true = (shares @ spectra + rng.normal(0, 15, (5000, 120))).astype(np.uint16)
    lost = true >> 8 == 13
    damaged = np.where(lost, true - 3 * 256, true).astype(np.uint16)
    assert lost.mean() > 0.05
    assert (true >> 8 == 10).mean() > 0.05
    assert np.mean(repaired(damaged) != true) < 0.001
