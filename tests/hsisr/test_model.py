"""Models as users name them, and whether they fit the scene they are used on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsisr.cube import ArrayCube, Spectrum
from hsisr.errors import ModelError
from hsisr.fit import MODEL
from hsisr.model import find, load_sr, load_unmix
from hsisr.run import run, survey
from hsisr.runtime import Runtime
from hsisr_models.blocks import attention_layers
from hsisr_models.imaging import upscale_bicubic


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
