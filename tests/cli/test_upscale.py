from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
import rasterio
import spectral
import torch
from PIL import Image
from safetensors import safe_open

from hsisr.checkpoints.checkpoint import load, save
from hsisr.files import human_size
from hsisr_models.imaging import degrade

FILL, FACTOR = -9999, 10_000


def _pixels(header):
    """The stored numbers (bands, rows, cols), as another library reads them."""
    image = spectral.open_image(str(header))
    return np.asarray(image.open_memmap(interleave="bsq"))


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def sharp(world, hsisr, tmp_path):
    """The folder of the world's scene, upscaled by its model."""
    assert hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path).code == 0
    return tmp_path


def test_the_scene_grows_and_its_corners_stay(world, sharp):
    with rasterio.open(world.data) as before, rasterio.open(sharp / "scene_x2.img") as after:
        assert (after.count, after.height, after.width) == (24, 128, 96)
        assert after.dtypes[0] == before.dtypes[0] == "int16"
        assert after.bounds == before.bounds
        assert after.crs == before.crs
        assert after.res == (15, 15)
        assert after.nodata == FILL


def test_the_header_keeps_everything_that_describes_the_bands(world, sharp):
    before = spectral.open_image(str(world.header))
    after = spectral.open_image(str(sharp / "scene_x2.hdr"))
    assert after.bands.centers == before.bands.centers
    assert after.bands.bandwidths == before.bands.bandwidths
    for key in ("sensor serial", "reflectance scale factor", "interleave", "description"):
        assert after.metadata[key] == before.metadata[key]


def test_data_are_missing_where_they_were_missing(sharp):
    missing = _pixels(sharp / "scene_x2.hdr") == FILL
    assert missing[:, :6, :10].all()
    assert missing.sum() == 24 * 6 * 10


def test_the_sharper_scene_degrades_to_the_one_it_came_from(world, sharp):
    before, after = _pixels(world.header), _pixels(sharp / "scene_x2.hdr")
    coarse = after.reshape(24, 64, 2, 48, 2).mean((2, 4))
    there = before != FILL
    error = np.sqrt(np.mean((coarse[there] - before[there]) ** 2.0))
    assert error < 0.02 * FACTOR
    assert not np.array_equal(coarse[there], before[there])


@pytest.mark.parametrize("tile", [5, 32, 1000])
def test_the_size_of_the_tiles_does_not_change_a_byte(tile, world, sharp, hsisr, tmp_path):
    output = tmp_path / "other.img"
    command = ("upscale", world.header, "--model", world.run, "-o", output, "--tile", tile)
    assert hsisr(*command).code == 0
    assert output.read_bytes() == (sharp / "scene_x2.img").read_bytes()


def test_the_record_says_what_was_made_from_what(world, sharp):
    record = json.loads((sharp / "scene_x2.run.json").read_text())
    with safe_open(world.model, "pt") as model:
        assert record["model"]["sha256"] == model.metadata()["sha256"]
    assert record["command"] == "upscale"
    assert record["scale"] == 2
    assert record["output"] == "scene_x2.img"
    assert [entry["file"] for entry in record["input"]] == ["scene.img", "scene.hdr"]
    assert record["input"][0]["bytes"] == world.data.stat().st_size
    assert record["seam"] is None
    assert record["tta"] is False
    assert record["uncertainty"] is None
    assert record["degradation"] == "bicubic"


def test_the_picture_has_a_pixel_for_every_pixel(sharp):
    with Image.open(sharp / "scene_x2.png") as picture:
        assert picture.size == (96, 128)
        assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
        assert len(picture.getcolors(1 << 20)) > 100


def test_without_quicklook_there_is_no_picture(world, hsisr, tmp_path):
    hsisr("upscale", world.header, "--model", "bicubic", "-o", tmp_path, "--no-quicklook")
    assert sorted(_content(tmp_path)) == ["scene_x2.hdr", "scene_x2.img", "scene_x2.run.json"]


def test_it_says_what_it_does_and_what_comes_next(world, hsisr, tmp_path):
    said = hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path).err
    output = tmp_path / "scene_x2.img"
    assert "device     cpu fp32" in said
    assert f"model      {world.run}: a model trained for scale 2" in said
    assert f"output     {output}  96 x 128 pixels x 24 bands int16, 589.8 kB" in said
    assert said.splitlines()[-1] == f"Next: open {output} in QGIS or ENVI, or: hsisr info {output}"


def test_netcdf_opens_in_qgis_with_what_envi_is_told(sharp, world, hsisr, tmp_path):
    output = tmp_path / "sharp.nc"
    ended = hsisr("upscale", world.header, "--model", world.run, "-o", output)
    said = f"Next: open {output} in QGIS, or: hsisr info {output}; for ENVI, write --format envi"
    assert ended.err.splitlines()[-1] == said
    if "netCDF" not in _drivers():
        pytest.skip("a rasterio without netCDF")
    with rasterio.open(sharp / "scene_x2.img") as envi, rasterio.open(output) as netcdf:
        assert (netcdf.transform, netcdf.crs) == (envi.transform, envi.crs)
        assert netcdf.nodata == envi.nodata
        np.testing.assert_array_equal(netcdf.read(), envi.read())


def _drivers():
    with rasterio.Env() as environment:
        return environment.drivers()


def test_the_default_output_lies_beside_the_scene(make_scene, hsisr, tmp_path):
    header = make_scene("a.b")
    assert hsisr("upscale", header, "--model", "bicubic", "--scale", "3").code == 0
    made = set(_content(tmp_path)) - {"a.b.img", "a.b.hdr"}
    assert made == {"a.b_x3.img", "a.b_x3.hdr", "a.b_x3.png", "a.b_x3.run.json"}


def test_a_dry_run_writes_nothing(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", world.run, "-o", tmp_path, "--dry-run")
    ended = hsisr(*command)
    assert ended.code == 0
    assert "96 x 128 pixels x 24 bands int16" in ended.err
    told = {line.split()[0]: line.split()[1:] for line in ended.err.splitlines()}
    side, count = int(told["tiles"][2]), int(told["tiles"][0])
    assert count == -(-64 // side) * -(-48 // side)
    needed = told["disk"][:3]
    assert {"memory", "time"} <= told.keys()
    assert ended.err.splitlines()[-1] == "nothing written (--dry-run)"
    assert not list(tmp_path.iterdir())
    assert hsisr(*command[:-1]).code == 0
    size = sum((tmp_path / name).stat().st_size for name in ("scene_x2.img", "scene_x2.hdr"))
    assert needed == [*human_size(size).split(), "needed,"]


def test_an_older_result_is_kept_unless_told_otherwise(world, sharp, hsisr):
    before = _content(sharp)
    command = ("upscale", world.header, "--model", "bicubic", "-o", sharp)
    refused = hsisr(*command)
    assert refused.code == 5
    assert "already exists" in refused.first
    assert "hint: add --overwrite" in refused.err
    assert _content(sharp) == before
    assert hsisr(*command, "--overwrite").code == 0
    assert _content(sharp)["scene_x2.img"] != before["scene_x2.img"]


def test_what_was_made_before_in_the_same_way_is_not_made_again(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", "bicubic", "--scale", 2, "-o", tmp_path)
    assert hsisr(*command).code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = hsisr(*command)
    assert again.code == 0
    assert "was made in this very way before" in again.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert hsisr(*command, "--tta").code == 5


def test_what_was_made_but_not_checked_is_checked_by_the_same_command(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", "bicubic", "--scale", 2, "-o", tmp_path)
    assert hsisr(*command).code == 0
    whole = _content(tmp_path)
    record = json.loads(whole["scene_x2.run.json"])
    # what a kill after the last tile leaves
    unchecked = {key: value for key, value in record.items() if key != "consistency"}
    (tmp_path / "scene_x2.run.json").write_text(json.dumps(unchecked))
    (tmp_path / "scene_x2.png").unlink()
    assert hsisr(*command, "--dry-run").code == 0
    assert not (tmp_path / "scene_x2.png").exists()
    again = hsisr(*command)
    assert again.code == 0
    assert _line(again.err, "consistency ")
    found = _content(tmp_path)
    assert json.loads(found.pop("scene_x2.run.json")) == record
    del whole["scene_x2.run.json"]
    assert found == whole


def test_a_dry_run_leaves_a_cut_publication_to_the_command_itself(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", "bicubic", "--scale", 2, "-o", tmp_path)
    assert hsisr(*command).code == 0
    whole = _content(tmp_path)
    # what a kill between the two files of the scene leaves
    header = tmp_path / "scene_x2.hdr"
    header.rename(tmp_path / "scene_x2.hdr.part")
    names = json.dumps(["scene_x2.img", "scene_x2.hdr"])
    (tmp_path / "scene_x2.hdr.commit.part").write_text(names)
    cut = _content(tmp_path)
    hsisr(*command, "--dry-run")
    assert _content(tmp_path) == cut
    assert hsisr(*command).code == 0
    assert _content(tmp_path) == whole


def test_what_was_made_before_has_to_be_there_as_a_whole(world, hsisr, tmp_path):
    made = ("--model", "bicubic", "--scale", 2, "--uncertainty", "-o", tmp_path)
    assert hsisr("upscale", world.header, *made).code == 0
    (tmp_path / "scene_x2_uncertainty.img").unlink()
    assert hsisr("upscale", world.header, *made).code == 5


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_input_is_never_the_output(link, make_scene, hsisr, tmp_path):
    header = make_scene()
    output = header.with_suffix(".img")
    if link is not None:
        output = tmp_path / "other.img"
        link(header.with_suffix(".img"), output)
    before = _content(tmp_path)
    ended = hsisr("upscale", header, "--model", "bicubic", "-o", output, "--overwrite")
    assert ended.code == 2
    assert "would replace the input" in ended.first
    assert _content(tmp_path) == before


def test_the_model_is_never_the_output(world, hsisr):
    command = ("upscale", world.header, "--model", world.run, "-o", world.model, "--overwrite")
    ended = hsisr(*command)
    assert ended.code == 2
    assert "would replace the input" in ended.first


def test_a_folder_that_does_not_exist_is_named(world, hsisr, tmp_path):
    output = tmp_path / "deep" / "scene.img"
    ended = hsisr("upscale", world.header, "--model", "bicubic", "-o", output)
    assert ended.code == 5
    assert f"hint: mkdir -p {tmp_path / 'deep'}" in ended.err


def test_dynamic_attention_reports_how_much_tiles_disagree(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", world.run, "-o", tmp_path, "--tile", "24")
    ended = hsisr(*command, "--attention", "dynamic")
    assert ended.code == 0
    assert "where they overlap they differ by" in ended.err
    seam = json.loads((tmp_path / "scene_x2.run.json").read_text())["seam"]
    assert 0 < seam["rms"] <= seam["worst"]


@pytest.mark.parametrize("ending", ["tif", "mat", "h5", "npy"])
def test_the_name_of_the_output_chooses_the_format(ending, world, sharp, hsisr, tmp_path):
    output = tmp_path / f"mine.{ending}"
    assert hsisr("upscale", world.header, "--model", world.run, "-o", output).code == 0
    facts = json.loads(hsisr("info", output, "--json").out)
    assert [facts[key] for key in ("bands", "rows", "cols")] == [24, 128, 96]
    assert facts["dtype"] == "int16"


def test_a_geotiff_has_the_pixels_and_the_map_of_the_envi_file(world, sharp, hsisr):
    command = (
        "upscale",
        world.header,
        "--model",
        world.run,
        "-o",
        sharp / "map",
        "--format",
        "tiff",
    )
    assert hsisr(*command).code == 0
    with rasterio.open(sharp / "map") as tiff, rasterio.open(world.data) as before:
        assert tiff.bounds == before.bounds
        assert tiff.crs.to_epsg() == 32611
        assert tiff.nodata == FILL
        np.testing.assert_array_equal(tiff.read(), _pixels(sharp / "scene_x2.hdr"))


def test_bicubic_needs_no_model(world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", "bicubic", "--scale", "4", "-o", tmp_path)
    assert hsisr(*command).code == 0
    assert json.loads((tmp_path / "scene_x4.run.json").read_text())["model"] is None
    assert _pixels(tmp_path / "scene_x4.hdr").shape == (24, 256, 192)


def test_equal_runs_give_equal_bytes(world, sharp, hsisr, tmp_path):
    hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path / "again.img")
    digests = {
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("again.img", "scene_x2.img")
    }
    assert len(digests) == 1


def _line(said, beginning):
    """The only line that begins so."""
    (line,) = (line for line in said.splitlines() if line.startswith(beginning))
    return line


def _missed(world, folder, operator):
    """By how much the degraded result misses the scene, where the hole is far, and its range."""
    before = _pixels(world.header)[:, 8:].astype(np.float64)
    after = _pixels(folder / "scene_x2.hdr").astype(np.float64)
    low = degrade(torch.from_numpy(after)[None], 2, operator)[0].numpy()[:, 8:]
    return np.abs(low - before), np.ptp(before)


def test_every_run_tells_how_consistent_its_result_is(world, hsisr, tmp_path):
    said = hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path).err
    found = json.loads((tmp_path / "scene_x2.run.json").read_text())["consistency"]
    missed, extent = _missed(world, tmp_path, "bicubic")
    assert found["enforced"] is False
    assert missed.max() / extent <= found["worst"] * 1.05
    line = _line(said, "consistency ")
    assert f"{found['psnr']:.2f} dB, SAM {found['sam']:.2f}°: degraded (bicubic)" in line
    assert f"by at most {found['worst']:.2g} of its range" in line


@pytest.mark.parametrize("operator", ["bicubic", "area", "gaussian"])
def test_an_enforced_result_degrades_to_the_scene(operator, world, hsisr, tmp_path):
    command = ("upscale", world.header, "--model", "bicubic", "-o", tmp_path)
    hsisr(*command, "--degradation", operator)
    before, _ = _missed(world, tmp_path, operator)
    enforced = (*command, "--degradation", operator, "--consistency", "enforce", "--overwrite")
    assert hsisr(*enforced).code == 0
    after, extent = _missed(world, tmp_path, operator)
    assert before.max() > 0.002 * extent
    assert after.max() <= 0.001 * extent
    record = json.loads((tmp_path / "scene_x2.run.json").read_text())
    assert record["degradation"] == operator
    assert record["consistency"]["enforced"] is True
    assert record["consistency"]["worst"] <= 0.001


def test_numbers_too_coarse_to_be_consistent_are_told_of(make_scene, hsisr, tmp_path):
    coarse = np.random.default_rng(0).integers(0, 9, (24, 20, 30)).astype("<i2")
    command = ("upscale", make_scene(numbers=coarse), "--model", "bicubic")
    ended = hsisr(*command, "--consistency", "enforce")
    assert ended.code == 0
    assert "rounded or clipped" in _line(ended.err, "note: samples ")
    record = json.loads((tmp_path / "mine_x2.run.json").read_text())
    assert 0.001 < record["consistency"]["worst"] < 0.1


def test_the_self_check_is_told_and_kept(world, hsisr, tmp_path):
    said = hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path).err
    found = json.loads((tmp_path / "scene_x2.run.json").read_text())["self_check"]
    line = _line(said, "self-check ")
    assert f"{found['model']['psnr']:.2f} dB, SAM {found['model']['sam']:.2f}°" in line
    assert f"bicubic {found['bicubic']['psnr']:.2f} dB" in line
    assert ("warning: " in said) == (found["model"]["psnr"] < found["bicubic"]["psnr"])
    assert found["blocks"] == 1


def test_a_model_that_loses_to_bicubic_is_warned_of(world, hsisr, tmp_path):
    found, model = load(world.model), tmp_path / "spoilt.safetensors"
    resolver = found.resolver()
    for weights in resolver.network.head.parameters():
        weights.add_(0.02)
    save(model, found.card, {"network": resolver.network, "unmixer": resolver.unmixer})
    ended = hsisr("upscale", world.header, "--model", model, "-o", tmp_path)
    assert ended.code == 0
    assert "worse than bicubic" in _line(ended.err, "warning: ")


def test_without_a_self_check_there_is_none(world, hsisr, tmp_path):
    for options in (("--model", world.run, "--no-self-check"), ("--model", "bicubic")):
        ended = hsisr("upscale", world.header, *options, "-o", tmp_path, "--overwrite")
        assert "self-check" not in ended.err
        assert json.loads((tmp_path / "scene_x2.run.json").read_text())["self_check"] is None


def test_a_scene_too_small_for_the_self_check_is_upscaled(make_scene, world, hsisr, tmp_path):
    header = make_scene(numbers=np.arange(24 * 5 * 6, dtype="<i2").reshape(24, 5, 6))
    ended = hsisr("upscale", header, "--model", world.run)
    assert ended.code == 0
    assert "too small" in _line(ended.err, "self-check ")


def test_the_uncertainty_is_a_map_beside_the_scene(world, sharp, hsisr, tmp_path):
    output = tmp_path / "mine.tif"
    command = ("upscale", world.header, "--model", world.run, "-o", output)
    assert hsisr(*command, "--uncertainty").code == 0
    with rasterio.open(output) as scene, rasterio.open(tmp_path / "mine_uncertainty.tif") as told:
        assert (told.count, told.dtypes[0]) == (1, "float32")
        assert told.shape == scene.shape
        assert told.bounds == scene.bounds
        assert told.crs == scene.crs
        spread, there = told.read(1), scene.read(1) != FILL
    np.testing.assert_array_equal(np.isfinite(spread), there)
    assert 0 < np.nanmean(spread) < 0.05  # of reflectance
    record = json.loads((tmp_path / "mine.run.json").read_text())
    assert (record["uncertainty"], record["tta"]) == ("mine_uncertainty.tif", True)


def test_an_older_uncertainty_is_kept_unless_told_otherwise(world, hsisr, tmp_path):
    older = tmp_path / "scene_x2_uncertainty.img"
    older.write_text("older")
    command = ("upscale", world.header, "--model", world.run, "-o", tmp_path, "--uncertainty")
    assert hsisr(*command).code == 5
    assert sorted(_content(tmp_path)) == [older.name]
    assert hsisr(*command, "--overwrite").code == 0
    assert _pixels(older.with_suffix(".hdr")).shape == (1, 128, 96)


def test_with_everything_asked_for_tiles_change_no_byte(world, hsisr, tmp_path):
    wishes = ("--tta", "--uncertainty", "--consistency", "enforce", "--no-quicklook")
    for name, tile in (("small", 20), ("large", 1000)):
        output = tmp_path / f"{name}.img"
        command = ("upscale", world.header, "--model", world.run, "-o", output, "--tile", tile)
        assert hsisr(*command, *wishes).code == 0
    content = _content(tmp_path)
    assert content["small.img"] == content["large.img"]
    assert content["small_uncertainty.img"] == content["large_uncertainty.img"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (("--consistency", "demand"), "no consistency 'demand'"),
        (("--degradation", "lanczos"), "no degradation 'lanczos'"),
        (("--consistency", "enforce", "--attention", "dynamic"), "cannot be consistent"),
    ],
)
def test_wishes_that_cannot_be_granted_are_refused(wish, said, world, hsisr, tmp_path):
    ended = hsisr("upscale", world.header, "--model", world.run, "-o", tmp_path, *wish)
    assert ended.code == 2
    assert said in ended.first
    assert not list(tmp_path.iterdir())
