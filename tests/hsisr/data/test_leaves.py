"""Made-up scenes: repeatable, varied, and with edges and spectra as real scenes have them."""

from __future__ import annotations

import numpy as np
import pytest

from hsisr.data.leaves import _fractal, _radii, _shape, dead_leaves


def test_a_seed_is_a_scene() -> None:
    scene = dead_leaves(3, side=48, bands=6)
    assert scene.shape == (48, 48, 6)
    assert scene.dtype == np.float32
    np.testing.assert_array_equal(scene, dead_leaves(3, side=48, bands=6))
    assert np.abs(scene - dead_leaves(4, side=48, bands=6)).mean() > 50


@pytest.mark.parametrize("seed", range(4))
def test_values_are_positive_and_around_a_thousand(seed: int) -> None:
    scene = dead_leaves(seed, side=64, bands=12)
    assert scene.min() >= 1
    assert scene.mean() == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_axes_hold_nearly_all_variance(seed: int) -> None:
    """As in real scenes: bands are many, materials few, and brightness leads."""
    pixels = dead_leaves(seed, side=64, bands=40).reshape(-1, 40)
    variances = np.linalg.eigvalsh(np.cov(pixels.T))[::-1]
    assert variances[:8].sum() > 0.99 * variances.sum()
    assert 0.4 < variances[0] / variances.sum() < 0.999


@pytest.mark.parametrize("slope", [1.0, 1.6, 2.2])
def test_textures_fall_off_by_their_slope(slope: float) -> None:
    field = _fractal(np.random.default_rng(0), 256, slope)
    assert field.std() == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    used = (frequency > 0.02) & (frequency < 0.4)
    fitted = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert -fitted / 2 == pytest.approx(slope, abs=0.1)


def test_sizes_follow_a_power_law() -> None:
    """Half as many leaves for every doubling, to the power that was drawn."""
    for seed in range(4):
        power = np.random.default_rng(seed).uniform(2.2, 3.2)
        radii = _radii(np.random.default_rng(seed), 200_000, largest=400.0)
        assert 2.8 <= radii.min() <= radii.max() <= 400
        counts = [np.count_nonzero((radii > r) & (radii <= 2 * r)) for r in (4, 8)]
        assert counts[0] / counts[1] == pytest.approx(2 ** (power - 1), rel=0.05)


def test_shapes_have_the_area_of_their_kind() -> None:
    """In units of the radius: an ellipse has pi times its aspect, a rectangle 4 times."""
    line = np.linspace(-1.6, 1.6, 801, dtype=np.float32)
    pixel = (line[1] - line[0]) ** 2
    for seed in range(12):
        rng = np.random.default_rng(seed)
        kind, _ = rng.integers(4), rng.uniform(0, np.pi)
        aspect = rng.uniform(0.02, 0.08) if kind == 3 else rng.uniform(0.15, 1)
        found = _shape(np.random.default_rng(seed), line[:, None], line).sum() * pixel
        assert found == pytest.approx((np.pi if kind == 0 else 4) * aspect, rel=0.05)
