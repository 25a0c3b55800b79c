"""The pretrained models on scenes of any number of bands, with all that real scenes have."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import spectral
from scipy.ndimage import gaussian_filter
from spectral.io import envi

from hsisr.checkpoints.checkpoint import load
from tests.cli.conftest import FILL, write_scene
from tests.hsisr.made_up import mixed_scene

ROWS, COLS = 26, 22
WEDGE = np.tril(np.ones((ROWS, COLS), bool), -16)
CONSTANT = 4321


def _scene(bands):
    """Smooth materials; the last band is marked as bad, the one before never changes."""
    rng = np.random.default_rng(bands)
    spectra = gaussian_filter(rng.uniform(0, 1, (3, bands + 8)), (0, 2))[:, :bands]
    fields = np.exp(2 * gaussian_filter(rng.normal(size=(3, ROWS, COLS)), (0, 1, 1)) / 0.3)
    values = np.einsum("pb,phw->bhw", spectra, fields / fields.sum(0))
    numbers = np.rint(1000 + 8000 * values).astype("<i2")
    if bands > 2:
        numbers[-1] = rng.integers(-30000, 30000, (ROWS, COLS))
        numbers[-2] = CONSTANT
    numbers[:, WEDGE] = FILL
    return numbers


def _write(folder, numbers):
    bands = len(numbers)
    good = [1] * (bands - 1) + [int(bands <= 2)]
    nanometres = np.linspace(400, 2400, bands).round(2)
    header = f"""ENVI
samples = {COLS}
lines = {ROWS}
bands = {bands}
header offset = 0
file type = ENVI Standard
data type = 2
interleave = bil
byte order = 0
data ignore value = {FILL}
map info = {{UTM, 1, 1, 500000, 4100000, 30, 30, 11, North, WGS-84, units=Meters}}
wavelength units = Nanometers
wavelength = {{{", ".join(map(str, nanometres))}}}
bbl = {{{", ".join(map(str, good))}}}
"""
    return write_scene(folder, numbers, header, "any")


def _read(header):
    return np.array(spectral.open_image(str(header)).open_memmap()).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("bands", "scale"),
    [
        *((bands, 2) for bands in (1, 2, 4, 13, 31, 48, 102, 128, 224, 285, 450)),
        *((bands, scale) for bands in (4, 31, 128) for scale in range(3, 9)),
    ],
)
def test_any_number_of_bands_is_sharpened(bands, scale, hsisr, tmp_path):
    scene = _write(tmp_path, _scene(bands))
    ended = hsisr("upscale", scene, "--scale", scale, "-o", tmp_path)
    assert ended.code == 0
    assert f"model      any-x{scale}" in ended.err
    sharp = tmp_path / f"any_x{scale}.hdr"
    values, about = _read(sharp), envi.read_envi_header(str(sharp))
    assert values.shape == (bands, scale * ROWS, scale * COLS)
    assert values.dtype == np.int16
    assert len(about["wavelength"]) == bands
    wedge = WEDGE.repeat(scale, 0).repeat(scale, 1)
    np.testing.assert_array_equal(values == FILL, np.broadcast_to(wedge, values.shape))
    with rasterio.open(tmp_path / f"any_x{scale}.img") as opened:
        assert opened.bounds == (500000, 4100000 - 30 * ROWS, 500000 + 30 * COLS, 4100000)


@pytest.mark.parametrize("bands", [13, 224])
def test_bad_and_constant_bands_are_interpolated(bands, hsisr, tmp_path):
    scene = _write(tmp_path, _scene(bands))
    for model, folder in (("auto", tmp_path / "model"), ("bicubic", tmp_path / "plain")):
        folder.mkdir()
        assert hsisr("upscale", scene, "-s", 2, "-m", model, "-o", folder).code == 0
    sharp, plain = (_read(tmp_path / name / "any_x2.hdr") for name in ("model", "plain"))
    np.testing.assert_array_equal(sharp[-2:], plain[-2:])
    wedge = WEDGE.repeat(2, 0).repeat(2, 1)
    assert (sharp[-2][~wedge] == CONSTANT).all()
    assert (sharp[:-2] != plain[:-2]).mean() > 0.5


@pytest.mark.parametrize("consistency", ["report", "enforce"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.int16(7), "exact: degraded (bicubic), the result is the scene"),
        (np.int16(-7), "exact: degraded (bicubic), the result is the scene"),
        (np.float32(0.1), "the scene, which does not vary and so has no range"),
        (np.float32(-0.1), "without PSNR, as no value is positive, SAM 0.00°: "),
    ],
)
def test_a_scene_that_does_not_vary_has_no_range(value, told, consistency, hsisr, tmp_path):
    np.save(tmp_path / "flat.npy", np.full((ROWS, COLS, 4), value))
    command = ("upscale", tmp_path / "flat.npy", "--scale", 2, "--consistency", consistency)
    ended = hsisr(*command, "-o", tmp_path)
    assert ended.code == 0
    (line,) = (line for line in ended.err.splitlines() if line.startswith("consistency "))
    assert told in line
    for word in ("nan", "inf ", "not consistent"):
        assert word not in ended.err
    np.testing.assert_allclose(np.load(tmp_path / "flat_x2.npy"), value, rtol=1e-6)
    record = json.loads((tmp_path / "flat_x2.run.json").read_text())["consistency"]
    assert record["worst"] == (0 if "exact" in told else None)


def test_a_result_of_which_nothing_can_be_compared_is_told_of(hsisr, tmp_path):
    # the degradation sees a hole from everywhere
    numbers = np.random.default_rng(0).uniform(1, 2, (ROWS, COLS, 4)).astype(np.float32)
    numbers[::3, ::3] = np.nan
    np.save(tmp_path / "holes.npy", numbers)
    ended = hsisr("upscale", tmp_path / "holes.npy", "--scale", 2, "-o", tmp_path)
    assert ended.code == 0
    assert "consistency unknown: " in ended.err
    assert "the result has no sample to compare with the scene" in ended.err


def test_a_single_band_is_told_of(hsisr, tmp_path):
    ended = hsisr("upscale", _write(tmp_path, _scene(1)), "--scale", 2, "-o", tmp_path)
    assert "sharpened as a grey image" in ended.err
    assert "1 of 1 axis" in ended.err


def test_without_a_scale_no_model_is_picked(hsisr, tmp_path):
    ended = hsisr("upscale", _write(tmp_path, _scene(4)), "-o", tmp_path)
    assert ended.code == 2
    assert "no --scale given" in ended.first


def test_an_adapted_model_is_used_only_where_it_is_better(hsisr, tmp_path):
    kept = tmp_path / "kept.safetensors"
    np.save(tmp_path / "scene.npy", mixed_scene(5, 160, 150).transpose(1, 2, 0))
    command = ("upscale", tmp_path / "scene.npy", "-s", 2, "-f", "envi", "--no-self-check")
    ended = hsisr(*command, "-o", tmp_path, "--adapt", 0, "--keep", kept)
    assert ended.code == 0
    record = json.loads((tmp_path / "scene_x2.run.json").read_text())
    verdict = record["adaptation"]
    assert verdict["steps"] > 0
    assert verdict["accepted"] == (min(verdict["selecting"], verdict["judging"]) >= 0.15)
    assert ("adapted    yes" in ended.err) == verdict["accepted"] == kept.exists()
    if kept.exists():
        assert record["model"]["sha256"] == load(kept).sha256
        again = tmp_path / "again"
        again.mkdir()
        assert hsisr(*command, "-m", kept, "-o", again).code == 0
        pixels = [folder / "scene_x2.img" for folder in (tmp_path, again)]
        assert pixels[0].read_bytes() == pixels[1].read_bytes()


def test_a_scene_too_small_to_adapt_to_is_sharpened_all_the_same(hsisr, tmp_path):
    scene = _write(tmp_path, _scene(4))
    ended = hsisr("upscale", scene, "--scale", 8, "-o", tmp_path, "--adapt", 0)
    assert ended.code == 0
    assert "adapted    no: the scene of 26 x 22 pixels is too small" in ended.err


def test_what_cannot_be_adapted_is_refused(world, hsisr, tmp_path):
    for model in ("bicubic", world.run):
        ended = hsisr("upscale", world.header, "-m", model, "-o", tmp_path, "--adapt", 1)
        assert ended.code == 2
        assert "cannot be adapted" in ended.first
    ended = hsisr("upscale", world.header, "-s", 2, "-o", tmp_path, "--keep", tmp_path / "x")
    assert ended.code == 2
    assert not list(tmp_path.iterdir())
