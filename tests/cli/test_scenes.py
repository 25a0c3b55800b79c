"""Many scenes in one command, and parts of scenes."""

from __future__ import annotations

import json
import re
import signal
import time

import numpy as np
import pytest
import rasterio
import spectral

from tests.cli.conftest import BANDS, FACTOR, WAVELENGTHS, hashes

QUICK = ("--model", "bicubic", "--scale", "2", "--no-quicklook")


def _tiff(path, rows=16, cols=12):
    numbers = np.arange(3 * rows * cols, dtype=np.uint8).reshape(3, rows, cols)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=rows, width=cols, dtype="uint8",
        transform=rasterio.Affine(30, 0, 5e5, 0, -30, 4.6e6), crs="EPSG:32633",
    ) as file:  # fmt: skip
        file.write(numbers)
    return path


@pytest.fixture
def folder(make_scene, tmp_path):
    """Two scenes in different formats, and what else lies around."""
    scenes = tmp_path / "my scenes"
    scenes.mkdir()
    for file in (header := make_scene("a")), header.with_suffix(".img"):
        file.rename(scenes / file.name)
    _tiff(scenes / "b.tif")
    (scenes / "notes.txt").write_text("sunny")
    (scenes / ".hidden.tif").write_bytes((scenes / "b.tif").read_bytes())
    (scenes / "c.tif.part").write_bytes((scenes / "b.tif").read_bytes())
    (scenes / "deeper").mkdir()
    _tiff(scenes / "deeper" / "d.tif")
    return scenes


def _statuses(ended):
    return [line for line in ended.err.splitlines() if re.match(r"\[\d+/\d+\] .*: ", line)]


def _scenes_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".img", ".tif"))


def test_a_folder_means_every_scene_directly_in_it_once(folder, hsisr, tmp_path):
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path / "out")
    assert ended.code == 0
    assert _scenes_in(tmp_path / "out") == ["a_x2.img", "b_x2.tif"]
    first, second = _statuses(ended)
    assert re.fullmatch(rf"\[1/2\] {re.escape(str(folder))}/a.img: done in [\d.]+ s", first)
    assert second.startswith(f"[2/2] {folder}/b.tif: done in ")
    assert ended.err.splitlines()[-1] == "2 of 2 scenes done"


@pytest.mark.parametrize(
    ("command", "made"),
    [(("upscale", *QUICK), "a_x2.img"), (("unmix", "--endmembers", "2"), "a_abundance.img")],
    ids=["upscale", "unmix"],
)
def test_an_output_that_ends_in_a_separator_is_a_folder_for_one_scene_too(
    command, made, folder, hsisr, tmp_path
):
    name, *options = command
    output = tmp_path / "new"
    assert hsisr(name, folder / "a.hdr", *options, "-o", f"{output}/", "--dry-run").code == 0
    assert not output.exists()
    assert hsisr(name, folder / "a.hdr", *options, "-o", f"{output}/").code == 0
    assert (output / made).exists()
    assert hsisr(name, folder / "a.hdr", *options, "-o", f"{tmp_path}/far/away/").code == 5


def test_results_of_other_runs_are_not_scenes_of_a_folder(folder, hsisr):
    assert hsisr("upscale", folder, *QUICK).code == 0
    assert hsisr("unmix", folder, "--endmembers", "2").code == 0
    assert len([*folder.glob("*.run.json")]) == 4
    again = hsisr("upscale", folder, *QUICK, "--overwrite")
    assert again.code == 0
    assert again.err.splitlines()[-1] == "2 of 2 scenes done"
    assert "left out" not in again.err


def test_every_scene_gives_what_it_gives_alone(world, folder, make_scene, hsisr, tmp_path):
    other = make_scene("other", np.roll(spectral.open_image(str(world.header)).open_memmap(
        interleave="bsq"), 7, axis=2))  # fmt: skip
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    model = ("--model", world.run, "--no-quicklook")
    for scene in (folder / "a.hdr", other):
        assert hsisr("upscale", scene, *model, "-o", alone).code == 0
    assert hsisr("upscale", folder / "a.hdr", other, *model, "-o", together).code == 0
    results = {name: sha for name, sha in hashes(alone).items() if "json" not in name}
    assert len(results) == 4
    assert results == {n: sha for n, sha in hashes(together).items() if "json" not in n}


def test_one_failure_does_not_stop_the_others(folder, hsisr, tmp_path):
    broken = folder / "a1.tif"
    broken.write_bytes(b"II*\0 and nothing more")
    scenes = (folder / "a.hdr", broken, folder / "missing.img", folder / "b.tif")
    ended = hsisr("upscale", *scenes, *QUICK, "-o", tmp_path)
    assert ended.code == 6
    assert _scenes_in(tmp_path) == ["a_x2.img", "b_x2.tif"]
    assert [line.split(": ")[-1] for line in _statuses(ended)][1:3] == [
        "failed with exit code 3"
    ] * 2
    assert f"error: {folder / 'missing.img'}: no such file" in ended.err
    error, hint = ended.err.splitlines()[-2:]
    assert error == f"error: 2 of 4 scenes done; failed: {broken}, {folder / 'missing.img'}"
    assert "repeat the command with these alone" in hint


def test_what_cannot_be_read_in_a_folder_is_left_out_and_told(folder, hsisr, tmp_path):
    (folder / "a1.tif").write_bytes(b"II*\0 and nothing more")
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path)
    assert ended.code == 0
    assert f"note: left out: {folder / 'a1.tif'}: " in ended.err
    assert ended.err.splitlines()[-1] == "2 of 2 scenes done"


def test_both_files_of_a_pair_are_one_scene(folder, hsisr, tmp_path):
    ended = hsisr("upscale", folder / "a.hdr", folder / "a.img", *QUICK, "-o", tmp_path)
    assert ended.code == 0
    assert ended.err.splitlines()[-1] == "1 of 1 scene done"


def test_the_masks_of_a_product_are_no_scenes_of_their_own(hsisr, tmp_path):
    folder = tmp_path / "product"
    folder.mkdir()
    for name in (
        "E[1]-QL_PIXELMASK.TIF",
        "E[1]-QL_VNIR.TIF",
        "E[1]-SPECTRAL_IMAGE.TIF",
        "F-QL_1.tif",
    ):
        _tiff(folder / name)
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path / "out")
    assert ended.code == 0
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.[tT]*")) == [
        "E[1]-SPECTRAL_IMAGE_x2",
        "F-QL_1_x2",
    ]


def test_the_detectors_of_a_product_that_share_its_metadata_are_two_scenes(hsisr, tmp_path):
    folder = tmp_path / "product"
    folder.mkdir()
    for detector in "VNIR", "SWIR":
        _tiff(folder / f"E-SPECTRAL_IMAGE_{detector}.TIF")
    band = "<bandID><wavelengthCenterOfBand>{}</wavelengthCenterOfBand></bandID>"
    listed = "".join(band.format(500 + 100 * number) for number in range(6))
    (folder / "E-METADATA.XML").write_text(
        f"<a><bandCharacterisation>{listed}</bandCharacterisation></a>"
    )
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path / "out")
    assert "2 of 2 scenes done" in ended.err
    for detector, centres in ("VNIR", [500, 600, 700]), ("SWIR", [800, 900, 1000]):
        with rasterio.open(tmp_path / "out" / f"E-SPECTRAL_IMAGE_{detector}_x2.TIF") as file:
            assert [float(file.tags(band)["wavelength"]) for band in (1, 2, 3)] == centres


def test_a_pattern_in_quotes_means_the_files_that_match(folder, hsisr, tmp_path):
    assert hsisr("upscale", folder / "*.t?f", *QUICK, "-o", tmp_path / "1").code == 0
    assert _scenes_in(tmp_path / "1") == ["b_x2.tif"]
    assert hsisr("upscale", folder / "**" / "*.tif", *QUICK, "-o", tmp_path / "2").code == 0
    assert _scenes_in(tmp_path / "2") == ["b_x2.tif", "d_x2.tif"]
    nothing = hsisr("upscale", folder / "*.mat", *QUICK)
    assert nothing.code == 3
    assert nothing.first == f"error: {folder / '*.mat'}: no scene found"


def test_a_list_names_scenes_relative_to_itself(folder, hsisr, tmp_path):
    listed = folder / "list.txt"
    listed.write_text(f"# the good ones\n\na.hdr\n  deeper  \n{folder / 'b.t*'}\n#b.tif\n")
    ended = hsisr("upscale", f"@{listed}", *QUICK, "-o", tmp_path / "out")
    assert ended.code == 0
    assert _scenes_in(tmp_path / "out") == ["a_x2.img", "b_x2.tif", "d_x2.tif"]
    missing = hsisr("upscale", f"@{tmp_path / 'none.txt'}", *QUICK)
    assert missing.code == 3
    assert "none.txt: the list cannot be read: No such file or directory" in missing.first


def test_a_file_that_is_named_like_a_list_or_a_pattern_is_a_file(tmp_path, hsisr, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("@list.tif", "[ab]*.tif"):
        _tiff(tmp_path / name)
        ended = hsisr("upscale", name, *QUICK)
        assert ended.code == 0
        assert "scenes done" not in ended.err


def test_results_with_the_same_names_are_refused_before_any_work(folder, hsisr, tmp_path):
    _tiff(folder / "deeper" / "a.tif")
    scenes = (folder / "a.hdr", folder / "deeper" / "a.tif")
    ended = hsisr("upscale", *scenes, *QUICK, "-o", tmp_path / "out")
    assert ended.code == 2
    assert f"the results of {scenes[0]} and {scenes[1]} would have the same names" in ended.first
    assert not (tmp_path / "out").exists()
    assert hsisr("upscale", *scenes, *QUICK).code == 0


def test_results_of_several_scenes_need_a_folder(folder, hsisr, tmp_path):
    file = tmp_path / "here"
    file.touch()
    for output in (file, tmp_path / "new.tif"):
        ended = hsisr("upscale", folder, *QUICK, "-o", output)
        assert ended.code == 2
        assert "hint: -o FOLDER" in ended.err
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path / "far" / "away")
    assert ended.code == 5
    assert f"mkdir -p {tmp_path / 'far'}" in ended.err


def test_a_dry_run_of_several_scenes_leaves_nothing(folder, hsisr, tmp_path):
    before = hashes(tmp_path)
    ended = hsisr("upscale", folder, *QUICK, "-o", tmp_path / "out", "--dry-run")
    assert ended.code == 0
    assert ended.err.count("nothing written") == 2
    assert f"output     {tmp_path / 'out' / 'a_x2.img'}" in ended.err
    assert not (tmp_path / "out").exists()
    assert hashes(tmp_path) == before


def test_no_scene_of_the_list_is_ever_replaced(folder, hsisr, tmp_path):
    victim = _tiff(folder / "b_x2.tif")
    before = victim.read_bytes()
    ended = hsisr("upscale", folder / "b.tif", victim, *QUICK, "--overwrite")
    assert ended.code == 6
    assert "the output would replace the input" in ended.err
    assert victim.read_bytes() == before
    assert (folder / "b_x2_x2.tif").exists()


def test_a_mistake_in_the_options_is_told_once(folder, hsisr):
    ended = hsisr("upscale", folder, "--model", folder / "none.safetensors", "--scale", "2")
    assert ended.code == 4
    assert ended.err.count("error: ") == 1
    refused = hsisr("upscale", folder, "--scale", "2", "--adapt", "1", "--keep", folder / "model")
    assert refused.code == 2


def test_a_stop_ends_the_whole_list(make_scene, spawned, tmp_path):
    scenes = [make_scene(name, np.full((24, 200, 300), 3000, "<i2")) for name in ("one", "two")]
    command = ["upscale", *scenes, "--model", "bicubic", "--scale", "8", "--tile", "4"]
    process = spawned(command)
    deadline = time.monotonic() + 60
    while not (tmp_path / "one_x8.img.part").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.count("error: ") == 1
    assert "[2/2]" not in said


def test_many_scenes_are_unmixed(folder, hsisr, tmp_path):
    ended = hsisr("unmix", folder, "--endmembers", "2", "-o", tmp_path / "out")
    assert ended.code == 0
    made = _scenes_in(tmp_path / "out")
    maps = ("abundance", "class", "gain", "rmse", "sam")
    assert made == [f"{name}_{kind}{end}" for name, end in (("a", ".img"), ("b", ".tif"))
                    for kind in maps]  # fmt: skip


def test_a_part_of_a_scene_is_upscaled_in_its_place(world, hsisr, tmp_path):
    parts = ("--bands", "3-5,1,2000nm-", "--window", "10,20,12,8")
    ended = hsisr("upscale", world.header, *QUICK, *parts, "-o", tmp_path)
    assert ended.code == 0
    taken = [2, 3, 4, 0, *np.flatnonzero(WAVELENGTHS >= 2000)]
    with rasterio.open(tmp_path / "scene_x2.img") as after, rasterio.open(world.data) as before:
        assert (after.count, after.height, after.width) == (len(taken), 24, 16)
        assert after.transform @ (0, 0) == before.transform @ (20, 10)
        assert after.transform @ (16, 24) == before.transform @ (28, 22)
        stored = before.read()[taken, 10:22, 20:28]
        coarse = after.read().reshape(len(taken), 12, 2, 8, 2).mean((2, 4))
    assert np.abs(coarse - stored).max() < 0.02 * FACTOR
    found = spectral.open_image(str(tmp_path / "scene_x2.hdr"))
    assert found.bands.centers == list(WAVELENGTHS[taken])
    record = json.loads((tmp_path / "scene_x2.run.json").read_text())
    assert f"cut to {len(taken)} of {BANDS} bands: 3-5,1,{BANDS - 4}-{BANDS}" in record["notes"]
    assert any("cut to 12 of 64 rows, from row 10" in note for note in record["notes"])


def test_a_part_is_what_the_whole_gives_far_from_its_border(world, hsisr, tmp_path):
    whole, part = tmp_path / "whole.img", tmp_path / "part.img"
    assert hsisr("upscale", world.header, *QUICK, "-o", whole).code == 0
    window = ("--window", "8,4,40,36")
    assert hsisr("upscale", world.header, *QUICK, *window, "-o", part).code == 0
    with rasterio.open(whole) as one, rasterio.open(part) as other:
        inner = one.read()[:, 2 * 8 : 2 * 48, 2 * 4 : 2 * 40]
        np.testing.assert_array_equal(other.read()[:, 8:-8, 8:-8], inner[:, 8:-8, 8:-8])


def test_a_box_on_the_map_is_unmixed(world, hsisr, tmp_path):
    box = ("--bbox", "500095,4099000,500205,4099100")
    ended = hsisr("unmix", world.header, "--model", world.run, *box, "-o", tmp_path)
    assert ended.code == 0
    with rasterio.open(tmp_path / "scene_abundance.img") as maps:
        assert maps.bounds == (500090, 4098980, 500210, 4099100)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (("--bands", "20-30"), "there is no band 30; the scene has bands 1 to 24"),
        (("--bands", "3000nm-"), "no band lies in 3000nm-; the scene has 450 to 2350 nm"),
        (("--bands", "red"), "'red' is neither a band nor a range of bands"),
        (("--window", "0,0,65,1"), "which has 64 rows and 48 columns"),
        (("--window", "0,0,5"), "'0,0,5' is no window"),
        (("--bbox", "-3,-2,-1,-1"), "it extends over 500000,4098080,501440,4100000"),
        (("--window", "0,0,5,5", "--bbox", "0,0,1,1"), "contradict each other"),
    ],
)
def test_a_part_that_is_not_there_is_a_usage_error(part, said, world, hsisr, tmp_path):
    ended = hsisr("upscale", world.header, *QUICK, *part, "-o", tmp_path)
    assert ended.code == 2
    assert said in ended.first
    assert not list(tmp_path.iterdir())


def test_a_model_for_a_number_of_bands_is_asked_for_those_of_the_part(world, hsisr, tmp_path):
    part = ("--bands", f"1-{BANDS - 1}", "-o", tmp_path)
    refused = hsisr("upscale", world.header, "--model", world.run, *part)
    assert refused.code == 4
    assert f"was trained for {BANDS} bands, this scene has {BANDS - 1}" in refused.first
    assert refused.err.count("error") == 1
