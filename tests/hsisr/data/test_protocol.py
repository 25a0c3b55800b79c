"""Protocols take the published pixels, divide them by the published numbers, and refuse others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from hsisr.cube import ArrayCube
from hsisr.data import protocol
from hsisr.data.cutting import Layout
from hsisr.data.patches import open_patches, prepare
from hsisr.data.protocol import Protocol
from hsisr.errors import InputError, UsageError
from hsisr.evaluate import PRESETS
from hsisr.formats import open_cube
from hsisr.scene.degraded import degrade_block
from tests.hsisr.protocols import (
    imresize,
    numbered,
    smaller,
    write_bands,
    write_mat5,
    write_mat73,
)

PUBLISHED = ["arad1k", "cave", "chikusei", "houston18", "pavia-centre"]
WRITERS = [write_mat5, write_mat73]
Writer = Callable[[Path, str, NDArray[Any]], None]

# as in chikusei.toml, everything smaller
SMALL_PARTS = [
    {"split": "train", "rows": [9, 24], "cols": [1, 32]},
    {"split": "validation", "rows": [29, 36], "cols": [1, 32]},
    {"split": "test", "rows": [1, 8], "cols": [1, 32], "image": 8},
]
SMALL_CROP = {"rows": [4, 39], "cols": [3, 34]}


def test_all_protocols_are_known_by_name() -> None:
    assert protocol.names() == sorted([*PUBLISHED, "scenes"])
    for name in protocol.names():
        loaded = protocol.load(name)
        assert (loaded.name, loaded.metrics in PRESETS) == (name, True)
        assert all(2 <= scale <= 8 for scale in loaded.scales)
        assert set(loaded.published) <= set(loaded.scales)
        rows = chain.from_iterable(rows.values() for rows in loaded.published.values())
        assert all(set(row) <= {"psnr", "ssim", "sam", "ergas", "cc", "rmse"} for row in rows)


def test_an_unknown_protocol_or_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no protocol 'chikusai'") as caught:
        protocol.load("chikusai")
    assert "chikusei" in str(caught.value.hint)
    with pytest.raises(UsageError, match="protocol chikusei has no scale 3") as caught:
        protocol.datasets(protocol.load("chikusei"), tmp_path, 3)
    assert caught.value.hint == "one of 4, 8"


def test_numbers_are_those_of_the_tables() -> None:
    bicubic = protocol.load("chikusei").published[4]["bicubic"]
    # SSPSR, the table for Chikusei
    assert (bicubic["psnr"], bicubic["sam"], bicubic["cc"]) == (37.6377, 3.4040, 0.9212)
    assert protocol.load("cave").published[8]["bicubic"]["ergas"] == 4.2175
    assert protocol.load("pavia-centre").published[4]["SSPSR"]["ssim"] == 0.7903


def cuts(name: str, scale: int) -> tuple[dict[str, list[Any]], tuple[int, int]]:
    """The windows of a one-scene protocol by split, and the size of its crop."""
    plan = protocol.load(name).plan
    assert plan is not None
    found: dict[str, list[Any]] = {"train": [], "validation": [], "test": []}
    for split, window in plan.windows("", scale):
        found[split].append(window)
    return found, (plan.crop.height, plan.crop.width)


@pytest.mark.parametrize("scale", [4, 8])
def test_chikusei_is_cut_as_the_published_script_cuts_it(scale: int) -> None:
    row, col = np.mgrid[1:2518, 1:2336]
    # img = chikusei(107:2410,144:2191,:)
    img = np.stack([row, col])[:, 106:2410, 143:2191]
    plan = protocol.load("chikusei").plan
    assert plan is not None
    np.testing.assert_array_equal(np.stack([row, col])[:, *plan.crop.slices], img)
    windows, size = cuts("chikusei", scale)
    assert size == img.shape[1:] == (2304, 2048)
    # test = img(1:test_img_size,left:right,:) with left = (i - 1) * test_img_size + 1
    tests = [img[:, 0:512, (i - 1) * 512 : i * 512] for i in range(1, 5)]
    for window, expected in zip(windows["test"], tests, strict=True):
        np.testing.assert_array_equal(img[:, *window.slices], expected)
    # img = img((test_img_size+1):end,:,:) is all that may train
    rest = [*windows["train"], *windows["validation"]]
    assert min(window.row for window in rest) == 512
    share = sum(w.height * w.width for w in windows["validation"]) / (1792 * 2048)
    assert share == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("name", ["chikusei", "pavia-centre", "houston18"])
@pytest.mark.parametrize("scale", [4, 8])
def test_splits_of_a_scene_are_apart(name: str, scale: int) -> None:
    windows, size = cuts(name, scale)
    owner = np.zeros(size, np.uint8)
    for number, split in enumerate(("train", "validation", "test"), 1):
        for window in windows[split]:
            assert 0 <= window.row < window.row_stop <= size[0]
            assert 0 <= window.col < window.col_stop <= size[1]
            assert (owner[window.slices] == 0).all(), "two blocks overlap"
            owner[window.slices] = number
            assert window.height % scale == window.width % scale == 0
            assert split == "test" or max(window.height, window.width) <= 64 * scale
    places = {n: np.argwhere((owner == n)[::4, ::4]) * 4 for n in (1, 2)}
    assert places[2][:, 0].min() - places[1][:, 0].max() >= 16
    assert (owner == 2).sum() / (owner > 0).sum() == pytest.approx(0.09, abs=0.03)


def test_images_that_test_have_the_published_sizes() -> None:
    for name, sizes in {
        "chikusei": [(512, 512)] * 4,
        "pavia-centre": [(224, 224)] * 4,
        "houston18": [(256, 256)] * 8,
    }.items():
        assert [(w.height, w.width) for w in cuts(name, 4)[0]["test"]] == sizes


def test_cave_is_split_along_the_alphabet() -> None:
    plan = protocol.load("cave").plan
    assert plan is not None
    splits = [part.split for part in plan.parts for _ in part.scenes]
    assert plan.scenes == sorted(plan.scenes)
    assert splits == ["train"] * 18 + ["validation"] * 2 + ["test"] * 12
    assert plan.windows("watercolors_ms", 8) == [("test", plan.crop)]


def test_arad1k_is_split_by_its_numbers() -> None:
    plan = protocol.load("arad1k").plan
    assert plan is not None
    assert plan.scenes == [f"ARAD_1K_{n:04d}" for n in range(1, 951)]
    owners = {scene: part.split for part in plan.parts for scene in part.scenes}
    assert {owners[f"ARAD_1K_{n:04d}"] for n in range(901, 951)} == {"test"}
    assert "test" not in {owners[f"ARAD_1K_{n:04d}"] for n in range(1, 901)}
    # 482 rows are no multiple of 4
    (split, window), *more = plan.windows("ARAD_1K_0950", 4)
    assert (split, window.height, window.width, more) == ("test", 480, 512, [])


def small_chikusei() -> Protocol:
    return smaller("chikusei", (44, 40, 5), SMALL_PARTS, crop=SMALL_CROP, variable="chikusei")


def prepared(chosen: Protocol, data: Path, run: Path, scale: int = 4) -> Any:
    (dataset,) = protocol.datasets(chosen, data, scale)
    counts = list(dataset.prepare(run))
    assert counts == [(i + 1, len(counts)) for i in range(len(counts))]
    return open_patches(run)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_what_is_prepared_are_the_published_pixels(
    tmp_path: Path, write: Writer, dtype: str
) -> None:
    scene = numbered(44, 40, 5).astype(dtype)
    scene[0, 0, 0] = scene[43, 39, 4] = 60_000  # beyond the crop, so not its maximum
    write(tmp_path / "HyperspecVNIR_Chikusei_20140729.mat", "chikusei", scene)
    patches = prepared(small_chikusei(), tmp_path, tmp_path / "run")
    # the published lines, with smaller numbers
    img = scene[4 - 1 : 39, 3 - 1 : 34, :].astype(np.float32)
    tests = [img[0:8, left : left + 8] for left in range(0, 32, 8)]
    for (low, high), expected in zip(patches.blocks("test"), tests, strict=True):
        np.testing.assert_array_equal(high, expected.transpose(2, 0, 1))
        coarse = imresize(expected.astype(np.float64), (2, 2)).transpose(2, 0, 1)
        np.testing.assert_allclose(low, coarse, rtol=1e-5)
    ((_, train),) = patches.blocks("train")
    ((_, validation),) = patches.blocks("validation")
    np.testing.assert_array_equal(train, img[8:24].transpose(2, 0, 1))
    np.testing.assert_array_equal(validation, img[28:36].transpose(2, 0, 1))
    assert patches.peak == img.max()
    assert patches.manifest["protocol"] == "chikusei"
    assert patches.manifest["metrics"] == "sspsr"
    assert patches.manifest["degradation"] == "bicubic"


def test_a_number_divides_where_one_is_published(tmp_path: Path) -> None:
    chosen = smaller("pavia-centre", (44, 40, 5), SMALL_PARTS, variable="pavia")
    write_mat5(tmp_path / "Pavia.mat", "pavia", numbered(44, 40, 5))
    patches = prepared(chosen, tmp_path, tmp_path / "run")
    assert patches.peak == 8000
    assert patches.manifest["peak_is"] == "as protocol pavia-centre says"


def small_cave(folder: Path) -> tuple[Protocol, dict[str, NDArray[Any]]]:
    """32 scenes of 4 bands and 16 x 16 pixels; the last one in bytes and stored in colour."""
    chosen = smaller("cave", (16, 16, 4), peak_8_bit=255, wavelengths_nm=[400, 700])
    chosen = replace(chosen, plan=replace(chosen.plan, parts=whole_parts(chosen)))
    scenes: dict[str, NDArray[Any]] = {}
    assert chosen.plan is not None
    for number, name in enumerate(chosen.plan.scenes):
        scene = (numbered(16, 16, 4).astype(np.int64) * 7 + number * 911) % 65536
        kind = np.uint8 if name == "watercolors_ms" else np.uint16
        scenes[name] = (scene % (np.iinfo(kind).max + 1)).astype(kind)
        write_bands(folder, name, scenes[name])
    for path in (folder / "watercolors_ms").rglob("*.png"):
        with Image.open(path) as picture:
            picture.convert("RGBA").save(path)
    return chosen, scenes


def whole_parts(chosen: Protocol) -> Any:
    assert chosen.plan is not None
    return tuple(replace(part, image=None) for part in chosen.plan.parts)


def test_scenes_of_band_pngs_are_one_data_set(tmp_path: Path) -> None:
    chosen, scenes = small_cave(tmp_path / "complete_ms_data")
    (tmp_path / "complete_ms_data" / "balloons_ms" / ".hidden").mkdir()
    (tmp_path / "complete_ms_data" / "balloons_ms" / "._balloons_ms_01.png").write_bytes(b"mac")
    patches = prepared(chosen, tmp_path, tmp_path / "run")
    names = sorted(scenes)
    groups = {"train": names[:18], "validation": names[18:20], "test": names[20:]}
    for split, group in groups.items():
        for name, (_, high) in zip(group, patches.blocks(split), strict=True):
            peak = 255 if name == "watercolors_ms" else 65535
            expected = scenes[name].transpose(2, 0, 1) / peak
            np.testing.assert_allclose(high / patches.peak, expected, rtol=1e-6)
    assert patches.spectrum.centres_nm == (400, 500, 600, 700)
    assert len(patches.manifest["scenes"]) == 32


def test_a_scene_that_lacks_or_repeats_is_named(tmp_path: Path) -> None:
    chosen, _ = small_cave(tmp_path)
    clay, cd = (tmp_path / name / name / f"{name}_01.png" for name in ("clay_ms", "cd_ms"))
    clay.rename(clay.with_name("a.png"))
    cd.rename(cd.with_name("b.png"))
    with pytest.raises(InputError, match="lacks 2 of 32 scenes: cd_ms, clay_ms; protocol cave"):
        protocol.datasets(chosen, tmp_path, 4)
    clay.with_name("a.png").rename(clay)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "clay_ms_01.png").write_bytes(clay.read_bytes())
    cd.with_name("b.png").rename(cd)
    with pytest.raises(InputError, match=r"holds both .*clay_ms_01.png and .*clay_ms_01.png"):
        protocol.datasets(chosen, tmp_path, 4)


def test_the_file_of_a_single_scene_may_be_named(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", numbered(44, 40, 5))
    patches = prepared(small_chikusei(), tmp_path / "mine.npy", tmp_path / "run")
    assert patches.bands == 5


def test_a_variable_of_another_name_will_do_if_its_size_is_right(tmp_path: Path) -> None:
    write_mat73(tmp_path / "chikusei.mat", "img", numbered(44, 40, 5))
    assert prepared(small_chikusei(), tmp_path, tmp_path / "run").bands == 5


@pytest.mark.parametrize("shape", [(40, 44, 5), (44, 40, 6), (43, 40, 5)])
@pytest.mark.parametrize("write", WRITERS)
def test_a_scene_of_another_size_is_refused(
    tmp_path: Path, write: Writer, shape: tuple[int, int, int]
) -> None:
    write(tmp_path / "chikusei.mat", "chikusei", numbered(*shape))
    (dataset,) = protocol.datasets(small_chikusei(), tmp_path, 4)
    rows, cols, bands = shape
    found = f"is {rows} x {cols} pixels x {bands} bands; protocol chikusei expects Chikusei"
    with pytest.raises(InputError, match=found) as caught:
        list(dataset.prepare(tmp_path / "run"))
    assert "44 x 40 pixels x 5 bands in variable chikusei" in caught.value.what
    assert "naotoyokoya" in str(caught.value.hint)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_folder_that_holds_something_else_is_told(tmp_path: Path, name: str) -> None:
    chosen = protocol.load(name)
    for found, said in (
        ("nowhere", "no such folder"),
        ("", r"none of its files fits \(found notes.txt\)"),
    ):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(InputError, match=said) as caught:
            protocol.datasets(chosen, tmp_path / found, 4)
        assert re.search(rf"protocol {name} expects .*\d+ x \d+ pixels x \d+", caught.value.what)
        assert "https://" in str(caught.value.hint)


def test_every_scene_of_a_folder_is_a_data_set(
    tmp_path: Path, scene: Callable[..., NDArray[np.float32]]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, seed in (("a.npy", 1), ("b.npy", 2)):
        np.save(data / name, scene(4, 80, 30, seed).transpose(1, 2, 0))
    write_mat5(data / "b.mat", "scene", scene(4, 80, 30, 3).transpose(1, 2, 0))
    (data / "notes.txt").write_text("not a scene")
    (data / ".hidden.npy").write_bytes((data / "a.npy").read_bytes())
    found = protocol.datasets(protocol.load("scenes"), data, 3)
    assert [dataset.name for dataset in found] == ["a", "b", "b-2"]
    list(found[0].prepare(tmp_path / "run"))
    with open_cube(data / "a.npy") as cube:
        list(prepare([cube], tmp_path / "plain", Layout(3)))
    told, plain = (
        json.loads((tmp_path / run / "data" / "manifest.json").read_text())
        for run in ("run", "plain")
    )
    assert told == {**plain, "protocol": "scenes", "metrics": "sspsr"}
    for one, other in combinations(("run", "plain"), 2):
        for path in sorted((tmp_path / one / "data").iterdir()):
            if path.suffix == ".npy":
                same = tmp_path / other / "data" / path.name
                assert path.read_bytes() == same.read_bytes()


def test_a_folder_without_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scene"):
        protocol.datasets(protocol.load("scenes"), tmp_path, 4)
    np.save(tmp_path / "small.npy", np.ones((9, 9, 3), np.float32))
    with pytest.raises(InputError, match="too small to be split at scale 4"):
        protocol.datasets(protocol.load("scenes"), tmp_path, 4)


def test_labels_and_pictures_beside_scenes_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", numbered(80, 30, 4))
    labels, colours = numbered(80, 30, 1)[..., 0], numbered(80, 30, 3).astype(np.uint8)
    write_mat5(tmp_path / "one_gt.mat", "one_gt", labels)
    write_mat73(tmp_path / "other_gt.mat", "other_gt", labels)
    np.save(tmp_path / "flat.npy", labels)
    tifffile.imwrite(tmp_path / "classes.tif", labels)
    for name in ("look_01", "look_02", "scene_2014"):
        Image.fromarray(colours).save(tmp_path / f"{name}.png")
    notes: list[str] = []
    found = protocol.datasets(protocol.load("scenes"), tmp_path, 4, notes.append)
    assert [dataset.name for dataset in found] == ["one"]
    left = sorted(path.name for path in tmp_path.iterdir() if path.name != "one.npy")
    assert [Path(note.partition(" is left out: ")[0]).name for note in notes] == left
    with pytest.raises(InputError, match="no 3-D variable"):
        protocol.datasets(protocol.load("scenes"), tmp_path / "one_gt.mat", 4)


def test_empty_files_are_left_out_with_a_note(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", numbered(80, 30, 4))
    for name in ("copied.npy", "copied.mat"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("not a scene")
    notes: list[str] = []
    found = protocol.datasets(protocol.load("scenes"), tmp_path, 4, notes.append)
    assert [dataset.name for dataset in found] == ["one"]
    assert notes == [
        f"{tmp_path / name} is left out: it is empty" for name in ("copied.mat", "copied.npy")
    ]


def test_a_broken_scene_of_a_folder_is_told_with_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", numbered(80, 30, 4))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as caught:
        protocol.datasets(protocol.load("scenes"), tmp_path, 4)
    assert caught.value.where == str(tmp_path / "b.npy")
    assert "move it out of the folder, or name the scenes one by one" in str(caught.value.hint)
    with pytest.raises(InputError) as caught:
        protocol.datasets(protocol.load("scenes"), tmp_path / "b.npy", 4)
    assert "move it" not in str(caught.value.hint)


def test_images_that_test_are_degraded_alone(tmp_path: Path) -> None:
    write_mat5(tmp_path / "chikusei.mat", "chikusei", numbered(44, 40, 5))
    (dataset,) = protocol.datasets(small_chikusei(), tmp_path, 4)
    images = [ArrayCube(image.read(image.spec.window), tmp_path) for image in dataset.tests()]
    assert len(images) == dataset.images == 4
    patches = prepared(small_chikusei(), tmp_path, tmp_path / "run")
    for image, (low, high) in zip(images, patches.blocks("test"), strict=True):
        block = image.read(image.spec.window)
        np.testing.assert_array_equal(block, high)
        np.testing.assert_array_equal(degrade_block(block, 4, "bicubic"), low)


def test_data_depends_on_every_file_of_a_scene_and_on_what_the_protocol_does(
    tmp_path: Path,
) -> None:
    header = "ENVI\nsamples = 16\nlines = 48\nbands = 3\ndata type = 12\ninterleave = bsq\n"
    (tmp_path / "scene.hdr").write_text(header)
    pixels = tmp_path / "scene.img"
    pixels.write_bytes(bytes(48 * 16 * 3 * 2))
    chosen = protocol.load("scenes")

    def identity(one: Protocol, scale: int = 2) -> dict[str, Any]:
        (dataset,) = protocol.datasets(one, tmp_path, scale)
        return dataset.identity()

    before = identity(chosen)
    assert identity(replace(chosen, title="another", source="else", name="mine")) == before
    assert identity(replace(chosen, operator="area")) != before
    assert identity(chosen, 3) != before
    os.utime(pixels, ns=(0, pixels.stat().st_mtime_ns + 1))
    assert identity(chosen) != before


def test_data_depends_on_the_crop_the_parts_and_the_peak_of_a_protocol(tmp_path: Path) -> None:
    chosen = small_chikusei()
    assert chosen.plan is not None
    name = "HyperspecVNIR_Chikusei_20140729.mat"
    write_mat5(tmp_path / name, "chikusei", numbered(44, 40, 5).astype("uint16"))

    def identity(**changes: Any) -> dict[str, Any]:
        assert chosen.plan is not None
        changed = replace(chosen, plan=replace(chosen.plan, **changes))
        (dataset,) = protocol.datasets(changed, tmp_path, 4)
        return dataset.identity()

    before = identity()
    assert identity(title="in other words", get="elsewhere") == before
    for change in (
        {"peak": 1.0},
        {"parts": chosen.plan.parts[:-1]},
        {"crop": replace(chosen.plan.crop, row=chosen.plan.crop.row + 1)},
    ):
        assert identity(**change) != before
