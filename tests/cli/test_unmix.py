from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import spectral
from scipy.optimize import linear_sum_assignment, nnls


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


def test_a_format_that_the_name_of_the_output_tells_is_written(world, unmixed, hsisr, tmp_path):
    output = tmp_path / "maps.npy"
    ended = hsisr("unmix", world.header, "--model", world.run, "-o", output)
    maps = np.load(tmp_path / "maps_abundance.npy")
    np.testing.assert_array_equal(maps, _maps(unmixed / "scene_abundance.img").transpose(1, 2, 0))
    # programs for maps do not open it
    said = f"Next: hsisr info {tmp_path / 'maps_abundance.npy'}; for QGIS or ENVI, write --format "
    assert ended.err.splitlines()[-1].startswith(said)


@pytest.fixture
def blind(world, hsisr, tmp_path):
    """Unmixes the world's scene without a model; returns abundances, error, spectra, record."""

    def unmixed(*options, method="vca", name="blind"):
        where = ("--endmembers", 3, "--method", method, "-o", tmp_path / name, "--no-quicklook")
        command = ("unmix", world.header, *where, *options)
        assert hsisr(*command).code == 0
        maps = (_maps(tmp_path / f"{name}_{kind}.img") for kind in ("abundance", "rmse"))
        library = spectral.open_image(str(tmp_path / f"{name}_endmembers.hdr"))
        record = json.loads((tmp_path / f"{name}_abundance.run.json").read_text())
        return *maps, np.asarray(library.spectra, np.float64), record

    return unmixed


def _pixels(world):
    """The scene (bands, rows, cols) as an independent reader sees it."""
    return _maps(world.data).astype(np.float64) / 10_000


@pytest.mark.parametrize("method", ["auto", "vca"])
def test_without_a_model_the_materials_are_found(world, blind, method):
    maps, _, spectra, record = blind(method=method)
    unit, truth = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (spectra, world.spectra.astype(float))
    )
    angles = np.arccos(np.clip(unit @ truth.T, -1, 1))
    rows, order = linear_sum_assignment(angles)
    assert angles[rows, order].mean() < 0.05
    there = np.isfinite(maps).all(0)
    error = maps[rows][:, there] - world.abundances[order][:, there]
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert record["options"]["unmixing"] == {
        "source": {"method": method, "count": 3, "seed": 0},
        "solver": {"name": "sclsu", "numbers": {}},
    }
    assert record["model"] is None
    assert record["faults"] == []


def test_abundances_without_a_model_lie_on_the_simplex(blind):
    maps, error, _, record = blind()
    there = np.isfinite(maps).all(0)
    assert not there[:3, :5].any()
    assert there.sum() == there.size - 3 * 5
    assert (np.isfinite(error[0]) == there).all()
    assert maps[:, there].min() >= 0
    np.testing.assert_allclose(maps[:, there].sum(0), 1, atol=1e-6)
    assert record["worst_sum_error"] < 1e-6
    assert record["most_negative_abundance"] == 0
    np.testing.assert_allclose(record["mean_abundances"], maps[:, there].mean(1), atol=1e-5)


@pytest.mark.parametrize("solver", ["fcls", "nnls", "ls"])
def test_the_error_is_that_of_the_mixture_whatever_the_solver(world, blind, solver):
    maps, error, spectra, _ = blind("--abundances", solver)
    mixture = np.einsum("phw,pb->bhw", maps, spectra)
    expected = np.sqrt(np.mean((mixture - _pixels(world)) ** 2, 0))
    np.testing.assert_allclose(error[0][3:, 5:], expected[3:, 5:], atol=1e-6)


def test_scaled_shares_leave_the_error_of_nnls(world, blind):
    maps, error, spectra, _ = blind("--abundances", "sclsu")
    for row, col in ((3, 7), (40, 20), (63, 47)):
        weights, missed = nnls(spectra.T, _pixels(world)[:, row, col])
        np.testing.assert_allclose(maps[:, row, col], weights / weights.sum(), atol=1e-5)
        bands = spectra.shape[1]
        np.testing.assert_allclose(error[0, row, col], missed / bands**0.5, atol=1e-6)


@pytest.mark.parametrize("solver", ["fcls", "nnls", "scls", "sclsu", "ls"])
def test_without_a_model_tiles_are_the_whole_scene_bit_for_bit(blind, solver):
    whole, tiles = (
        blind("--abundances", solver, "--tile", side, name=f"t{side}") for side in (100, 17)
    )
    np.testing.assert_array_equal(tiles[0], whole[0])
    np.testing.assert_array_equal(tiles[1], whole[1])


def test_negative_abundances_are_told(world, hsisr, tmp_path):
    how = ("--endmembers", 5, "--method", "vca", "--abundances", "ls", "-o", tmp_path / "x")
    said = hsisr("unmix", world.header, *how).err
    maps = _maps(tmp_path / "x_abundance.img")
    record = json.loads((tmp_path / "x_abundance.run.json").read_text())
    assert record["most_negative_abundance"] == pytest.approx(np.nanmin(maps), rel=1e-5)
    assert record["most_negative_abundance"] < 0
    assert record["worst_sum_error"] == pytest.approx(np.nanmax(abs(maps.sum(0) - 1)), abs=1e-6)
    assert f"the lowest is {np.nanmin(maps):.2g}" in said


def test_bands_marked_bad_have_no_part(make_scene, hsisr, tmp_path, world):
    numbers = np.rint(np.einsum("pb,phw->bhw", world.spectra, world.abundances) * 10_000)
    broken = numbers.copy()
    broken[7] = np.random.default_rng(0).integers(-9000, 9000, numbers.shape[1:])
    marks = ", ".join("0" if band == 7 else "1" for band in range(len(numbers)))
    results = []
    for name, values in (("sound", numbers), ("broken", broken)):
        scene = make_scene(name, values.astype("<i2"), sensor_serial="17\nbbl = {" + marks + "}")
        command = ("unmix", scene, "-p", 3, "--method", "vca")
        assert hsisr(*command, "-o", tmp_path / f"{name}_out").code == 0
        results.append(
            [_maps(tmp_path / f"{name}_out_{kind}.img") for kind in ("abundance", "rmse")]
        )
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (("--endmembers", 3, "--method", "vac"), 2, "no method 'vac'"),
        (("--endmembers", 3, "--abundances", "fclsu"), 2, "no abundances 'fclsu'"),
        (("--endmembers", 25), 2, "25 endmembers cannot be told apart by 24 bands"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_refused(world, hsisr, tmp_path, options, code, what):
    ended = hsisr("unmix", world.header, "-o", tmp_path, *options)
    assert ended.code == code
    assert what in ended.first
    assert not list(tmp_path.iterdir())


def test_a_dry_run_without_a_model_writes_nothing(world, hsisr, tmp_path):
    ended = hsisr("unmix", world.header, "-p", 3, "-o", tmp_path, "--dry-run")
    assert ended.code == 0
    assert "3 endmembers by auto, abundances by sclsu" in ended.err
    assert not list(tmp_path.iterdir())
