from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import spectral
from PIL import Image


@pytest.fixture
def unmixed(world, hsisr, tmp_path):
    """The folder of the world's scene, unmixed by its model."""
    assert hsisr("unmix", world.header, "--model", world.run, "-o", tmp_path).code == 0
    return tmp_path


def _maps(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_abundances_lie_on_the_simplex(unmixed):
    maps = _maps(unmixed / "scene_abundance.img")
    there = np.isfinite(maps).all(0)
    assert maps.shape == (3, 64, 48)
    assert maps[:, there].min() >= 0
    np.testing.assert_allclose(maps[:, there].sum(0), 1, atol=1e-5)


def test_pixels_without_data_have_no_abundances(unmixed):
    for name, bands in (("scene_abundance.img", 3), ("scene_rmse.img", 1)):
        holes = np.isnan(_maps(unmixed / name))
        assert holes[:, :3, :5].all()
        assert holes.sum() == bands * 3 * 5


def test_the_error_map_is_the_error_of_the_mixture(world, unmixed):
    maps, error = _maps(unmixed / "scene_abundance.img"), _maps(unmixed / "scene_rmse.img")[0]
    spectra = np.asarray(spectral.open_image(str(unmixed / "scene_endmembers.hdr")).spectra)
    scene = _maps(world.data) / 10_000
    mixture = np.einsum("phw,pb->bhw", maps, spectra)
    expected = np.sqrt(np.mean((mixture - scene) ** 2, 0))
    np.testing.assert_allclose(error[3:, 5:], expected[3:, 5:], atol=1e-5)


def test_maps_lie_where_the_scene_lies(world, unmixed):
    with rasterio.open(world.data) as scene, rasterio.open(unmixed / "scene_abundance.img") as maps:
        assert maps.bounds == scene.bounds
        assert maps.crs == scene.crs
        assert maps.descriptions == ("endmember 1", "endmember 2", "endmember 3")


def test_endmembers_are_a_spectral_library_and_a_table(world, unmixed):
    library = spectral.open_image(str(unmixed / "scene_endmembers.hdr"))
    scene = spectral.open_image(str(world.header))
    table = np.loadtxt(unmixed / "scene_endmembers.csv", delimiter=",", skiprows=1)
    assert library.names == ["endmember 1", "endmember 2", "endmember 3"]
    assert library.bands.centers == scene.bands.centers
    np.testing.assert_allclose(table[:, 0], scene.bands.centers)
    np.testing.assert_allclose(table[:, 1:].T, library.spectra, rtol=1e-6)


def test_the_picture_shows_every_map(unmixed):
    with Image.open(unmixed / "scene_abundance.png") as picture:
        assert picture.size == (4 * 48 + 3 * 4, 64)


def test_it_says_how_well_abundances_sum_to_one_and_what_comes_next(world, hsisr, tmp_path):
    said = hsisr("unmix", world.header, "--model", world.unmixer, "-o", tmp_path / "my.maps").err
    assert "abundances sum to one within" in said
    assert said.splitlines()[-1].startswith(f"Next: open {tmp_path / 'my.maps_abundance.img'}")
    record = json.loads((tmp_path / "my.maps_abundance.run.json").read_text())
    assert 0 <= record["worst_sum_error"] < 1e-5
    assert record["endmembers"] == 3
    assert (tmp_path / "my.maps_endmembers.sli").exists()


def test_a_super_resolution_model_unmixes_too(world, unmixed, hsisr, tmp_path):
    command = ("unmix", world.header, "--model", world.model, "-o", tmp_path / "other")
    assert hsisr(*command).code == 0
    maps = [_maps(tmp_path / f"{name}_abundance.img") for name in ("scene", "other")]
    np.testing.assert_array_equal(*maps)


def test_a_dry_run_writes_nothing(world, hsisr, tmp_path):
    ended = hsisr("unmix", world.header, "--model", world.run, "-o", tmp_path, "--dry-run")
    assert ended.code == 0
    assert not list(tmp_path.iterdir())


def test_older_results_are_kept_unless_told_otherwise(world, unmixed, hsisr):
    (unmixed / "scene_abundance.img").unlink()
    before = {path.name: path.read_bytes() for path in unmixed.iterdir()}
    assert hsisr("unmix", world.header, "--model", world.run, "-o", unmixed).code == 5
    assert {path.name: path.read_bytes() for path in unmixed.iterdir()} == before
    command = ("unmix", world.header, "--model", world.run, "-o", unmixed, "--overwrite")
    assert hsisr(*command).code == 0


def test_geotiff_maps_are_written_on_request(world, unmixed, hsisr):
    command = ("unmix", world.header, "--model", world.run, "-o", unmixed / "map.tif")
    assert hsisr(*command).code == 0
    for name in ("abundance", "rmse"):
        envi, tiff = (_maps(unmixed / file) for file in (f"scene_{name}.img", f"map_{name}.tif"))
        np.testing.assert_array_equal(tiff, envi)


def test_a_scene_that_is_no_map_is_unmixed_to_envi(world, hsisr, tmp_path):
    scene = np.fromfile(world.data, "<i2").reshape(64, 24, 48).transpose(0, 2, 1)
    np.save(tmp_path / "plain.npy", scene)
    assert hsisr("unmix", tmp_path / "plain.npy", "--model", world.run).code == 0
    assert (tmp_path / "plain_abundance.img").exists()
    assert (tmp_path / "plain_endmembers.csv").exists()
