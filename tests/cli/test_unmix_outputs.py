"""Everything that `hsisr unmix` writes opens in the programs that people use."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import spectral
from PIL import Image

from hsisr.results.palette import colours
from hsisr_models.imaging import degrade

NAMES = ["endmember 1", "endmember 2", "endmember 3"]
SCALARS = ("rmse", "sam", "gain")


@pytest.fixture
def unmixed(world, hsisr, tmp_path):
    """Unmixes the world's scene; returns what was said. Results are called `out...`."""

    def run(*options, output="out", code=0):
        how = ("-p", 3, "--method", "vca", "--abundances", "sclsu")
        ended = hsisr("unmix", world.header, *how, "-o", tmp_path / output, *options)
        assert ended.code == code
        return ended.err

    return run


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize(("kind", "ending"), [("envi", "img"), ("tiff", "tif")])
def test_gdal_opens_every_map_where_it_lies(world, unmixed, tmp_path, kind, ending):
    unmixed("--format", kind)
    with rasterio.open(world.data) as scene:
        place, size = (scene.crs, scene.transform), scene.shape
    names = {"abundance": NAMES, **{name: [name] for name in SCALARS}, "class": ["class"]}
    for name, bands in names.items():
        with rasterio.open(tmp_path / f"out_{name}.{ending}") as found:
            assert (found.crs, found.transform) == place
            assert found.shape == size
            assert list(found.descriptions) == bands
            values = found.read(masked=True)
        assert values.mask[:, :3, :5].all()
        assert values.mask.sum() == len(bands) * 3 * 5


def test_spectral_opens_every_map_and_the_endmembers(world, unmixed, tmp_path):
    unmixed()
    for name, bands in (("abundance", NAMES), *((name, [name]) for name in SCALARS)):
        found = spectral.open_image(str(tmp_path / f"out_{name}.hdr"))
        assert found.metadata["band names"] == bands
        values = np.asarray(found.open_memmap()).transpose(2, 0, 1)
        np.testing.assert_array_equal(values, read(tmp_path / f"out_{name}.img"))
    library = spectral.open_image(str(tmp_path / "out_endmembers.hdr"))
    scene = spectral.open_image(str(world.header))
    assert library.names == NAMES
    assert library.bands.centers == scene.bands.centers
    assert library.bands.bandwidths == scene.bands.bandwidths
    table = np.loadtxt(tmp_path / "out_endmembers.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(table[:, 1:].T, library.spectra, rtol=1e-6)


@pytest.mark.parametrize(("kind", "ending"), [("envi", "img"), ("tiff", "tif")])
def test_the_map_of_classes_shows_what_a_pixel_has_most_of(unmixed, tmp_path, kind, ending):
    unmixed("--format", kind)
    shares = read(tmp_path / f"out_abundance.{ending}")
    there = np.isfinite(shares).all(0)
    with rasterio.open(tmp_path / f"out_class.{ending}") as found:
        assert [found.colormap(1)[value][:3] for value in (1, 2, 3)] == colours(3)
        classes = found.read(1)
    np.testing.assert_array_equal(classes[there], shares.argmax(0)[there] + 1)
    assert not classes[~there].any()


def test_angle_and_gain_are_those_of_the_mixture(world, unmixed, tmp_path):
    unmixed()
    shares, gain, angle = (
        read(tmp_path / f"out_{name}.img") for name in ("abundance", "gain", "sam")
    )
    spectra = np.asarray(spectral.open_image(str(tmp_path / "out_endmembers.hdr")).spectra)
    pixels = read(world.data).astype(np.float64) / 10_000
    mixed = np.einsum("pij,pb->bij", (shares * gain).astype(np.float64), spectra)
    u, v = (values / np.linalg.norm(values, axis=0) for values in (mixed, pixels))
    expected = 2 * np.arctan2(np.linalg.norm(u - v, axis=0), np.linalg.norm(u + v, axis=0))
    there = np.isfinite(angle[0])
    np.testing.assert_allclose(angle[0][there], np.degrees(expected[there]), atol=1e-4)


def test_all_maps_are_the_same_whatever_the_tile(unmixed, tmp_path):
    unmixed("--tile", 100)
    unmixed("--tile", 17, output="tiles")
    for name in ("abundance", *SCALARS, "class"):
        whole, tiles = (read(tmp_path / f"{stem}_{name}.img") for stem in ("out", "tiles"))
        np.testing.assert_array_equal(tiles, whole)


def test_algebra_is_exact_in_any_precision_also_where_a_scene_is_black(
    world, make_scene, hsisr, tmp_path
):
    numbers = np.array(read(world.data))
    numbers[:, :9], numbers[:, 50:, 40:] = 0, 0
    scene = make_scene("dark", numbers, data_ignore_value=None)
    for precision in ("fp32", "bf16"):
        how = ("-p", 3, "--method", "vca", "--abundances", "sclsu", "--precision", precision)
        ended = hsisr("unmix", scene, *how, "-o", tmp_path / precision)
        assert ended.code == 0
        assert "bfloat16" not in ended.err
    for name in ("abundance", *SCALARS, "class"):
        one, other = (read(tmp_path / f"{kind}_{name}.img") for kind in ("fp32", "bf16"))
        np.testing.assert_array_equal(one, other)
    assert not read(tmp_path / "fp32_class.img")[0, :9].any()


def test_pictures_show_maps_and_spectra_in_one_palette(unmixed, tmp_path):
    unmixed()
    for name in ("abundance", "endmembers"):
        with Image.open(tmp_path / f"out_{name}.png") as picture:
            found = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
        assert set(colours(3)) <= found


def test_no_pictures_on_request(unmixed, tmp_path):
    unmixed("--no-quicklook")
    assert not list(tmp_path.glob("*.png"))


def test_without_matplotlib_there_are_maps_without_names(world, tmp_path):
    program = (
        "import sys; sys.modules['matplotlib'] = None; from hsisr.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    options = ("unmix", world.header, "-p", 3, "--method", "vca", "-o", tmp_path / "out")
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, options)], capture_output=True, text=True
    )
    assert ended.returncode == 0
    assert "pip install 'hsisr[plot]'" in ended.stderr
    with Image.open(tmp_path / "out_abundance.png") as picture:
        assert picture.size == (4 * 48 + 3 * 4, 64)
    assert not (tmp_path / "out_endmembers.png").exists()


@pytest.fixture
def sharper(unmixed, world, tmp_path):
    """The maps of the sharper scene, and the record."""

    def run(*options, output="out"):
        unmixed("--abundances", "fcls", "--scale", 2, *options, output=output)
        shares = read(tmp_path / f"{output}_x2_abundance.img")
        return shares, json.loads((tmp_path / f"{output}_x2_abundance.run.json").read_text())

    return run


def test_the_sharper_scene_is_unmixed_by_the_endmembers_of_the_scene(
    world, hsisr, sharper, tmp_path
):
    shares, _ = sharper("--sr-model", "bicubic")
    assert shares.shape == (3, 128, 96)
    command = ("upscale", world.header, "--model", "bicubic", "--scale", 2, "--format", "npy")
    assert hsisr(*command, "-o", tmp_path / "sharp.npy").code == 0
    library = np.asarray(spectral.open_image(str(tmp_path / "out_x2_endmembers.hdr")).spectra)
    sharp = np.load(tmp_path / "sharp.npy") / 10_000
    mixed = np.einsum("pij,pb->ijb", shares, library)
    there = np.isfinite(shares).all(0)
    assert (~there).sum() == 6 * 10
    error = np.sqrt(((mixed - sharp) ** 2).mean(2))
    # the sharper scene was rounded to ten thousandths
    np.testing.assert_allclose(
        error[there], read(tmp_path / "out_x2_rmse.img")[0][there], atol=1e-4
    )


def test_maps_of_the_sharper_scene_lie_where_the_scene_lies(world, sharper, tmp_path):
    sharper("--sr-model", world.model)
    for name in ("abundance", "rmse", "sam", "class"):
        with (
            rasterio.open(world.data) as scene,
            rasterio.open(tmp_path / f"out_x2_{name}.img") as found,
        ):
            assert found.bounds == scene.bounds
            assert found.crs == scene.crs
            assert found.res == (15, 15)
    assert not (tmp_path / "out_abundance.img").exists()
    assert not (tmp_path / "out_x2.img").exists()


def test_how_consistent_the_abundances_are_is_told(world, unmixed, sharper, tmp_path):
    import torch

    shares, record = sharper()
    unmixed("--abundances", "fcls", output="low")
    low = degrade(torch.from_numpy(shares)[None].double(), 2, "bicubic")[0].numpy()
    differences = np.abs(low - read(tmp_path / "low_abundance.img"))
    assert np.isfinite(differences).any(0).sum() > 2900
    assert record["consistency"]["degradation"] == "bicubic"
    assert record["consistency"]["mean"] == pytest.approx(np.nanmean(differences), rel=1e-3)
    assert record["consistency"]["worst"] == pytest.approx(np.nanmax(differences), rel=1e-3)
    assert record["consistency"]["mean"] < 0.02
    assert record["options"]["sharpened"] == {"model": "any-x2", "scale": 2}


def test_sharper_maps_are_the_same_whatever_the_tile(sharper):
    whole, tiles = (sharper("--tile", side, output=f"t{side}")[0] for side in (100, 17))
    np.testing.assert_array_equal(tiles, whole)


def test_a_scene_without_scaling_has_no_consistency(unmixed, tmp_path):
    unmixed()
    record = json.loads((tmp_path / "out_abundance.run.json").read_text())
    assert record["consistency"] is None


@pytest.mark.parametrize(
    "options",
    [
        ("-p", "auto"),
        ("--model", "RUN"),
        ("--library", "TABLE", "--abundances", "mesma"),
        ("-p", 3, "--scale", 2, "--sr-model", "bicubic", "--identify", "TABLE"),
    ],
    ids=str,
)
def test_maps_that_were_not_looked_at_are_by_the_same_command(world, hsisr, tmp_path, options):
    table, folder = tmp_path / "kinds.csv", tmp_path / "out"
    folder.mkdir()
    # in other units than the scene's
    spectra = np.concatenate([world.spectra, 0.8 * world.spectra[:1]]) * 10_000
    centres = spectral.open_image(str(world.header)).bands.centers
    lines = [
        ",".join([f"{name},{name[:3]}", *(f"{value:.9g}" for value in spectrum)])
        for name, spectrum in zip(("oak 1", "sand 1", "wet 1", "oak 2"), spectra, strict=True)
    ]
    table.write_text("\n".join([",".join(["name", "class", *map(str, centres)]), *lines]) + "\n")
    options = [{"RUN": world.run, "TABLE": table}.get(option, option) for option in options]
    command = ("unmix", world.header, *options, "-o", folder)
    assert hsisr(*command).code == 0
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (record,) = folder.glob("*.run.json")
    # what a kill after the last tile leaves
    written = json.loads(record.read_text())
    unfinished = {key: written[key] for key in list(written)[: list(written).index("consistency")]}
    record.write_text(json.dumps(unfinished))
    for picture in folder.glob("*.png"):
        picture.unlink()
    assert hsisr(*command, "--dry-run").code == 0
    assert json.loads(record.read_text()) == unfinished
    assert hsisr(*command).code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("-p", 3, "--sr-model", "any-x2"), "--sr-model without --scale"),
        (("-p", 3, "--scale", 3, "--sr-model", "any-x2"), "trained for scale 2, not 3"),
        (("--scale", 2, "--model", "RUN"), "a trained model unmixes the scene as it is"),
    ],
    ids=str,
)
def test_what_cannot_be_sharpened_so_is_refused(world, hsisr, tmp_path, options, what):
    options = [world.run if option == "RUN" else option for option in options]
    ended = hsisr("unmix", world.header, "-o", tmp_path, *options)
    assert ended.code in (2, 4)
    assert what in ended.first
    assert not list(tmp_path.iterdir())


def test_a_dry_run_forecasts_the_sharper_maps(unmixed, tmp_path):
    said = unmixed("--abundances", "fcls", "--scale", 4, "--dry-run")
    assert "192 x 256 pixels x 3 bands" in said
    assert "sharpened  any-x4" in said
    assert not list(tmp_path.iterdir())
