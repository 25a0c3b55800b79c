"""Prepared tokens are the projection of the degraded scene and of the scene itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Spectrum
from hsisr.data import tokens as module
from hsisr.data.patches import open_patches
from hsisr.data.tokens import Source, TokenSet, open_tokens, prepare_tokens
from hsisr.errors import InputError
from hsisr.scene.degraded import DegradedCube
from hsisr.scene.survey import survey
from hsisr.window import Window
from hsisr_models.imaging import OPERATORS, weights

Scene = Callable[..., NDArray[np.float32]]
MakeCube = Callable[..., ArrayCube]


def prepared(
    sources: Sequence[Source],
    run: Path,
    scale: int = 2,
    operators: Sequence[str] = ("bicubic",),
    tokens: int = 4,
) -> TokenSet:
    list(prepare_tokens(sources, run, scale=scale, operators=operators, tokens=tokens))
    return open_tokens(run)


def degraded(block: NDArray[np.float32], scale: int, operator: str) -> NDArray[np.float64]:
    """By matrices in float64."""
    down, across = (weights(size, scale, operator).numpy() for size in block.shape[1:])
    return np.einsum("ir,brc,jc->bij", down, block.astype(np.float64), across)


def principal(low: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], ...]:
    """Mean, axes and spread of the pixels (B, h, w)."""
    pixels = low.reshape(len(low), -1)
    variances, axes = np.linalg.eigh(np.cov(pixels, bias=True))
    return pixels.mean(1), axes[:, ::-1][:, :count], np.sqrt(variances[::-1][:count])


def assert_same_up_to_signs(
    pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float64]]],
) -> None:
    """Each pair (k, h, w) agrees, with one sign for each token that is the same in all pairs."""
    found, expected = pairs[0]
    signs = np.sign((found * expected).sum((1, 2)))[:, None, None]
    for found, expected in pairs:
        np.testing.assert_allclose(found * signs, expected, atol=3e-3)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", [2, 3])
def test_both_resolutions_are_projected_on_the_axes_of_the_lower(
    scene: Scene, cube: MakeCube, tmp_path: Path, operator: str, scale: int
) -> None:
    block = scene(6, 32 * scale + 1, 12 * scale + 1)
    source = Source.whole(cube(0, 0, block=block), "train", scale)
    assert source.window == Window(0, 0, 32, 12)
    (example,) = prepared([source], tmp_path / "run", scale, [operator], 3).examples("train")
    used = block[:, : 32 * scale, : 12 * scale]
    low = degraded(used, scale, operator)
    mean, axes, spread = principal(low, 3)

    def projected(values: NDArray[np.floating]) -> NDArray[np.float64]:
        moved = values.astype(np.float64) - mean[:, None, None]
        return np.einsum("bk,bhw->khw", axes / spread, moved)

    assert example.low.dtype == example.high.dtype == np.float32
    assert_same_up_to_signs([(example.low, projected(low)), (example.high, projected(used))])
    np.testing.assert_allclose(example.weights, spread / spread[0], rtol=1e-4)


def test_the_strips_in_which_a_scene_is_projected_leave_no_trace(
    scene: Scene, cube: MakeCube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.whole(cube(0, 0, block=scene(5, 42, 30)), "train", 2)
    (whole,) = prepared([source], tmp_path / "whole").examples("train")
    monkeypatch.setattr(module, "_STRIP", 4)
    (parts,) = prepared([source], tmp_path / "parts").examples("train")
    np.testing.assert_array_equal(parts.low, whole.low)
    np.testing.assert_array_equal(parts.high, whole.high)


def test_a_part_of_a_scene_is_cut_from_both_resolutions(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    made = cube(0, 0, block=scene(5, 42, 30))
    part = Source(made, "validation", Window(3, 5, 7, 9))
    data = prepared([Source.whole(made, "train", 3), part], tmp_path / "run", 3)
    ((whole,), (cut,)) = (data.examples(split) for split in ("train", "validation"))
    np.testing.assert_array_equal(cut.low, whole.low[:, 3:10, 5:14])
    np.testing.assert_array_equal(cut.high, whole.high[:, 9:30, 15:42])


def test_zero_borders_and_missing_pixels_stay_out(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    block = scene(5, 40, 30)
    block[:, :6] = 0
    block[:, :, 24:] = np.nan
    block[2, 20, 10] = np.nan
    source = Source.whole(cube(0, 0, block=block), "train", 2)
    (example,) = prepared([source], tmp_path / "run").examples("train")
    expected = np.isnan(block).any(0) | (block == 0).all(0)
    np.testing.assert_array_equal(np.isnan(example.high), np.broadcast_to(expected, (4, 40, 30)))
    low = np.isnan(example.low)
    assert (low == low[0]).all()
    # what lies above a hole or far inside the border, whose rim is blurred into the scene
    assert low[0, 10, 5]
    assert low[0, :, 12:].all()
    assert low[0, 0, :9].all()
    assert not low[0, 4:10, :12].any()
    assert not low[0, 11:, :12].any()


@pytest.mark.parametrize("dead", ["nan", "bad", "bad and nan"])
def test_a_dead_band_neither_counts_nor_makes_holes(
    scene: Scene, cube: MakeCube, tmp_path: Path, dead: str
) -> None:
    block = scene(6, 32, 24)
    without = np.delete(block, 2, 0)
    if "nan" in dead:
        block[2] = np.nan
    good = tuple(band != 2 for band in range(6)) if "bad" in dead else None
    spectrum = Spectrum(tuple(500.0 + band for band in range(6)), good=good)
    folders = (tmp_path / "dead", tmp_path / "without")
    cubes = (cube(0, 0, block=block, spectrum=spectrum), cube(0, 0, block=without))
    found, expected = (
        prepared([Source.whole(each, "train", 2)], folder, tokens=3).examples("train")[0]
        for each, folder in zip(cubes, folders, strict=True)
    )
    assert np.isfinite(found.low).all()
    assert_same_up_to_signs([(found.low, expected.low), (found.high, expected.high)])
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-5)


def test_scenes_of_any_sensors_stand_side_by_side(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    many = cube(0, 0, block=scene(30, 24, 20), name="many.img")
    few = cube(0, 0, block=scene(3, 16, 28), name="few.tif")
    sources = [Source.whole(many, "train", 2), Source.whole(few, "train", 2)]
    sources.append(Source.whole(few, "validation", 2))
    told = prepare_tokens(
        sources, tmp_path / "run", scale=2, operators=["bicubic", "area"], tokens=5
    )
    assert list(told) == [(done, 6) for done in range(1, 7)]
    data = open_tokens(tmp_path / "run")
    assert (data.scale, data.tokens) == (2, 5)
    assert data.manifest["degradation"] == "bicubic, area"
    assert [entry["file"] for entry in data.manifest["scenes"]] == ["many.img", "few.tif"]
    counts = [len(example.weights) for example in data.examples("train")]
    assert counts == [5, 5, 3, 3]
    assert [example.low.shape for example in data.examples("validation")] == [(3, 8, 14)] * 2
    assert data.examples("test") == []
    # each degradation has its own subspace
    first, second = data.examples("validation")
    assert not np.allclose(first.weights, second.weights, rtol=1e-4)
    entries = data.manifest["examples"]
    assert [entry["degradation"] for entry in entries] == ["bicubic", "area"] * 3
    assert [entry["split"] for entry in entries] == ["train"] * 4 + ["validation"] * 2


def test_the_digest_tells_other_data_apart(scene: Scene, cube: MakeCube, tmp_path: Path) -> None:
    source = Source.whole(cube(0, 0, block=scene(5, 24, 20)), "train", 2)
    digests = [
        prepared([source], tmp_path / str(index), operators=[operator], tokens=tokens).digest
        for index, (operator, tokens) in enumerate(
            [("area", 4), ("area", 4), ("area", 3), ("bicubic", 4)]
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    # two pixels that share a coarse one change places: the low resolution stays as it is
    swapped = source.cube.read(source.cube.spec.window)
    swapped[:, 0, :2] = swapped[:, 0, 1::-1]
    other = Source.whole(cube(0, 0, block=swapped), "train", 2)
    assert prepared([other], tmp_path / "other", operators=["area"]).digest not in digests


@pytest.mark.parametrize(
    ("values", "what"),
    [(np.nan, "no pixel holds data"), (0.0, "no pixel holds data"), (7.0, "all pixels are alike")],
)
def test_a_scene_of_which_nothing_can_be_learned_is_refused(
    cube: MakeCube, tmp_path: Path, values: float, what: str
) -> None:
    flat = cube(0, 0, block=np.full((3, 16, 16), values, np.float32), name="flat.img")
    with pytest.raises(InputError, match=what) as caught:
        prepared([Source.whole(flat, "train", 2)], tmp_path / "run")
    assert str(caught.value.where).endswith("flat.img")
    with pytest.raises(InputError, match="holds no prepared data"):
        open_tokens(tmp_path / "run")


def test_a_scene_smaller_than_a_low_resolution_pixel_is_refused(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    small = cube(0, 0, block=scene(3, 7, 30))
    with pytest.raises(InputError, match="7 x 30 pixels cannot be degraded by 8"):
        prepared([Source.whole(small, "train", 8)], tmp_path / "run", 8)


def test_an_unfinished_preparation_cannot_be_mistaken_for_an_older_one(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    source = Source.whole(cube(0, 0, block=scene(3, 24, 20)), "train", 2)
    prepared([source], tmp_path)
    begun = prepare_tokens([source] * 2, tmp_path, scale=2, operators=["area"], tokens=2)
    next(begun)
    begun.close()
    with pytest.raises(InputError, match="holds no prepared data"):
        open_tokens(tmp_path)


def test_spectra_and_tokens_are_not_mistaken_for_each_other(
    scene: Scene, cube: MakeCube, tmp_path: Path, patches: Callable[..., object]
) -> None:
    patches()
    with pytest.raises(InputError, match="holds spectra, not tokens") as spectra:
        open_tokens(tmp_path / "run0")
    assert f"--tokens 8 -o {tmp_path / 'run0'}" in str(spectra.value.hint)
    prepared([Source.whole(cube(0, 0, block=scene(3, 24, 20)), "train", 2)], tmp_path / "tokens")
    with pytest.raises(InputError, match="holds tokens, not spectra") as tokens:
        open_patches(tmp_path / "tokens")
    assert f"hsisr prepare SCENE --scale 4 -o {tmp_path / 'tokens'}" in str(tokens.value.hint)


def test_no_file_outside_the_folder_is_read(scene: Scene, cube: MakeCube, tmp_path: Path) -> None:
    data = prepared([Source.whole(cube(0, 0, block=scene(3, 24, 20)), "train", 2)], tmp_path)
    np.save(tmp_path / "elsewhere.npy", np.zeros((3, 4, 4), np.float32))
    path = data.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["examples"][0]["low"] = str(tmp_path / "elsewhere.npy")
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not a block"):
        open_tokens(tmp_path).examples("train")


def test_an_example_has_the_tokens_that_its_scene_will_have(
    scene: Scene, cube: MakeCube, tmp_path: Path
) -> None:
    """What a network is trained on is what it is given when the low resolution is sharpened."""
    made = cube(0, 0, block=scene(6, 40, 30))
    (example,) = prepared([Source.whole(made, "train", 2)], tmp_path).examples("train")
    low = DegradedCube(made, 2, "bicubic")
    found = survey(low, 4).subspace
    assert found is not None
    values = torch.from_numpy(low.read(low.spec.window))[None]
    np.testing.assert_allclose(example.low, found.project(values)[0], atol=1e-4)
    np.testing.assert_allclose(example.weights, found.weights, rtol=1e-5)
