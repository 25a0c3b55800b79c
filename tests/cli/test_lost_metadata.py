"""What the format of a result cannot say of the scene is told."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

SHARPEN = ("upscale", "--model", "bicubic", "--scale", "2")


def _scene(path, crs="EPSG:32633", shear=0):
    pixels = np.random.default_rng(0).integers(1, 9000, (8, 20, 24)).astype("i2")
    place = {"crs": crs, "transform": Affine(30, shear, 400000, 0, -30, 4e6)}
    shape = {"count": 8, "height": 20, "width": 24, "dtype": "int16"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as file:
        file.write(pixels)
    return path


def test_a_place_on_the_map_that_envi_cannot_hold_is_told_of(hsisr, tmp_path):
    command, *options = SHARPEN
    # rows and columns that meet askew
    scene = _scene(tmp_path / "scene.tif", shear=8)
    ended = hsisr(command, scene, *options, "--format", "envi")
    assert ended.code == 0
    assert "scene_x2.img does not tell its place on the map; envi cannot" in ended.err
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        assert rasterio.open(tmp_path / "scene_x2.img").crs is None
    assert "does not tell" not in hsisr(command, scene, *options).err


def test_a_reference_system_that_envi_has_no_words_for_is_told_of(hsisr, tmp_path):
    command, *options = SHARPEN
    lost = hsisr(command, _scene(tmp_path / "a.tif", "EPSG:2154"), *options, "--format", "envi")
    assert lost.code == 0
    assert "a_x2.img does not tell its reference system; envi cannot" in lost.err
    kept = hsisr(command, _scene(tmp_path / "b.tif", "EPSG:25832"), *options, "--format", "envi")
    assert "does not tell" not in kept.err
    with rasterio.open(tmp_path / "b_x2.img") as file:
        assert file.crs.to_epsg() == 25832


@pytest.mark.parametrize("command", [SHARPEN, ("unmix", "--endmembers", "2")], ids=lambda c: c[0])
def test_an_array_alone_tells_nothing_of_the_scene(command, make_scene, hsisr, tmp_path):
    name, *options = command
    ended = hsisr(name, make_scene(), *options, "--format", "npy")
    assert ended.code == 0
    line = next(line for line in ended.err.splitlines() if "does not tell" in line)
    assert "its place on the map" in line
    # abundances have neither
    assert ("its wavelengths" in line) is (name == "upscale")
    assert ("which number means no data" in line) is (name == "upscale")
    kept = hsisr(name, make_scene(), *options, "--format", "hdf5")
    assert "does not tell" not in kept.err
