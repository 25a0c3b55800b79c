"""Models as users name them, and whether they fit the scene they are used on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsisr.checkpoints.header import MODEL
from hsisr.cube import ArrayCube, Spectrum
from hsisr.errors import ModelError, UsageError
from hsisr.model import find, load_sr, load_unmix
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.run import run
from hsisr_models.blocks import attention_layers
from hsisr_models.imaging import upscale_bicubic
from tests.hsisr.pretrained import made_zoo, save_model


def test_a_model_is_found_by_its_run_its_folder_or_its_file(trained: Path) -> None:
    file = trained / "sr" / MODEL
    assert {find(str(name), "sr") for name in (trained, trained / "sr", file)} == {file}
    assert find(str(trained), "unmix") == trained / "unmix" / MODEL
    # a super-resolution model carries its unmixing network with it
    assert find(str(file), "unmix") == file
    assert load_unmix(str(file)).checkpoint.card.kind == "sr"


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    for kind, command in (("sr", "train-sr"), ("unmix", "train-unmix")):
        for name in (tmp_path, tmp_path / "none", tmp_path / "none.safetensors"):
            with pytest.raises(ModelError, match="no such model") as caught:
                find(str(name), kind)
            assert f"hsisr {command} RUN" in str(caught.value.hint)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ""])
def test_a_pickled_model_is_never_opened(trained: Path, tmp_path: Path, suffix: str) -> None:
    other = tmp_path / f"model{suffix}"
    shutil.copy(trained / "sr" / MODEL, other)
    with pytest.raises(ModelError, match="never opened"):
        load_sr(str(other), None)


def test_a_model_knows_its_scale(trained: Path) -> None:
    assert load_sr(str(trained), None).scale == 2
    assert load_sr(str(trained), 2).scale == 2
    with pytest.raises(ModelError, match="trained for scale 2, not 4") as caught:
        load_sr(str(trained), 4)
    assert "--scale 2" in str(caught.value.hint)


def test_a_model_trained_on_several_degradations_assumes_the_first(trained: Path) -> None:
    model = load_sr(str(trained), None)
    assert model.checkpoint is not None
    card = replace(model.checkpoint.card, degradation="area, gaussian")
    several = replace(model, checkpoint=replace(model.checkpoint, card=card))
    assert several.degradation == "area"
    assert load_sr("bicubic", 2).degradation == "bicubic"


def test_an_unmixing_model_cannot_sharpen(trained: Path) -> None:
    with pytest.raises(ModelError, match="is an unmixing model"):
        load_sr(str(trained / "unmix" / MODEL), None)


@pytest.mark.parametrize("scale", [2, 5])
def test_bicubic_needs_no_file_and_fits_every_scene(
    cube: Callable[..., ArrayCube], cpu: Runtime, scale: int
) -> None:
    model, scene = load_sr("bicubic", scale), cube(6, 7, bands=9)
    model.require_fit(scene.spec)
    seen = survey(scene)
    ((_, output),) = run(scene, model.operation(seen, cpu), seen, tile=100, runtime=cpu)
    expected = upscale_bicubic(torch.from_numpy(scene.read(scene.spec.window))[None], scale)[0]
    np.testing.assert_array_equal(output, expected)


def test_a_scene_with_other_bands_is_refused(trained: Path, cube: Callable[..., ArrayCube]) -> None:
    for model in (load_sr(str(trained), None), load_unmix(str(trained))):
        model.require_fit(cube(6, 7, bands=5).spec)
        with pytest.raises(ModelError, match="trained for 5 bands, this scene has 6") as caught:
            model.require_fit(cube(6, 7, bands=6).spec)
        assert "hsisr prepare" in str(caught.value.hint)


def test_a_scene_with_other_wavelengths_is_refused(
    trained: Path, cube: Callable[..., ArrayCube]
) -> None:
    centres = (450.0, 550.0, 650.0, 750.0, 850.0)
    model = load_unmix(str(trained))
    card = replace(model.checkpoint.card, wavelengths_nm=centres)
    knowing = replace(model, checkpoint=replace(model.checkpoint, card=card))
    near = Spectrum(tuple(centre + 40 for centre in centres))
    far = Spectrum((*centres[:4], 950.0))
    knowing.require_fit(cube(6, 7, bands=5).spec)
    knowing.require_fit(cube(6, 7, bands=5, spectrum=near).spec)
    with pytest.raises(ModelError, match=r"other wavelengths: band 5 lies at 950\.0 nm"):
        knowing.require_fit(cube(6, 7, bands=5, spectrum=far).spec)


def test_attention_is_surveyed_unless_it_is_dynamic(
    trained: Path, cube: Callable[..., ArrayCube], cpu: Runtime
) -> None:
    model, seen = load_sr(str(trained), None), survey(cube(12, 14, bands=5))
    layers = list(attention_layers(model.network))
    assert layers
    local = model.operation(seen, cpu)
    assert local.reach == model.network.reach
    assert all(layer.frozen is not None for layer in layers)
    assert model.operation(seen, cpu, dynamic=True).reach is None
    assert all(layer.frozen is None for layer in layers)


def test_endmembers_are_in_the_units_of_the_scene(
    trained: Path, cube: Callable[..., ArrayCube]
) -> None:
    model = load_unmix(str(trained))
    brightest = cube(56, 20, bands=5).read(cube(56, 20, bands=5).spec.window).max()
    assert model.endmembers.shape == (3, 5)
    assert model.endmembers.min() >= 0
    assert 0.2 * brightest < model.endmembers.max() < 2 * brightest


def test_a_pretrained_model_is_named_by_its_id_or_picked_by_its_scale(tmp_path: Path) -> None:
    made = {entry.scale: entry for entry in made_zoo(tmp_path, 2, 3)}
    for name, scale, wanted in (
        ("tiny-x3", None, 3),
        ("tiny-x3", 3, 3),
        ("auto", 2, 2),
        ("auto", 3, 3),
    ):
        model = load_sr(name, scale, tmp_path)
        assert (model.name, model.scale, model.pretrained) == (f"tiny-x{wanted}", wanted, True)
        assert model.checkpoint
        assert model.checkpoint.path == made[wanted].path


def test_a_model_is_not_picked_without_a_scale_or_for_another(tmp_path: Path) -> None:
    made_zoo(tmp_path, 2, 3)
    with pytest.raises(UsageError, match="no --scale given") as missing:
        load_sr("auto", None, tmp_path)
    assert missing.value.hint == "--scale 4"
    with pytest.raises(ModelError, match="no pretrained model for scale 4, only for 2, 3"):
        load_sr("auto", 4, tmp_path)
    with pytest.raises(ModelError, match="'tiny-x2' was trained for scale 2, not 3") as other:
        load_sr("tiny-x2", 3, tmp_path)
    assert "--model auto --scale 3" in str(other.value.hint)


def test_an_id_goes_before_a_path_of_the_same_name(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = made_zoo(tmp_path / "zoo", 2)
    shutil.copytree(trained, tmp_path / entry.id)
    monkeypatch.chdir(tmp_path)
    assert find(entry.id, "sr", tmp_path / "zoo") == entry.path
    assert find(f"./{entry.id}", "sr", tmp_path / "zoo").is_relative_to(Path(entry.id))
    assert find(entry.id, "unmix", tmp_path / "zoo").is_relative_to(Path(entry.id))


def test_a_model_that_is_not_there_is_met_with_those_that_are(tmp_path: Path) -> None:
    made_zoo(tmp_path, 2)
    with pytest.raises(ModelError, match="no such model") as caught:
        load_sr("tiny-x9", None, tmp_path)
    assert "one of auto, bicubic, tiny-x2" in str(caught.value.hint)


def test_a_model_says_what_was_chosen(trained: Path, tmp_path: Path) -> None:
    made_zoo(tmp_path, 3)
    said = load_sr("auto", 3, tmp_path).choice
    assert said == "tiny-x3: the pretrained model for scale 3, scenes of 3 bands"
    free = save_model(tmp_path / "free.safetensors", bands=0)
    assert load_sr(str(free), None).choice.endswith(": a model trained for scale 2, any sensor")
    assert load_sr("bicubic", 2).choice == "bicubic: interpolation, nothing is learned"
    assert load_sr(str(trained), None).choice == (
        f"{trained}: a model trained for scale 2, scenes of 5 bands"
    )
