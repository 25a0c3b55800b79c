"""What the training of an unmixing network starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hsisr.data.patches import PatchSet
from hsisr.errors import InputError, UsageError
from hsisr.recipe import UnmixRecipe
from hsisr.results.export import write_endmembers
from hsisr.training.initial import initial_endmembers
from tests.hsisr.trials import small


def numbers(initialise: str, endmembers: int = 3) -> UnmixRecipe:
    return replace(small().unmix, initialise=initialise, endmembers=endmembers)


def pixels(patches: PatchSet, which: int) -> NDArray[np.floating]:
    blocks = [pair[which] for pair in patches.blocks("train")]
    return np.concatenate([np.asarray(block).reshape(len(block), -1).T for block in blocks])


@pytest.mark.parametrize("name", ["vca", "edaa"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_method_of_the_shelf_finds_them_among_the_training_pixels(
    prepared: PatchSet, name: str, which: int
) -> None:
    found = initial_endmembers(prepared, which, numbers(name), seed=0).numpy()
    assert found.shape == (3, 5)
    seen = pixels(prepared, which) / prepared.peak
    assert np.linalg.norm(found[:, None] - seen, axis=2).min(1).max() < 0.1


def test_a_library_is_taken_in_the_units_of_the_data(prepared: PatchSet, tmp_path: Path) -> None:
    spectra = np.quantile(pixels(prepared, 0), [0.2, 0.5, 0.8], axis=0).astype(np.float32)
    files = write_endmembers(tmp_path / "known", spectra, prepared.spectrum)
    for path in files:
        found = initial_endmembers(prepared, 0, numbers(str(path)), seed=0)
        np.testing.assert_allclose(found.numpy() * prepared.peak, spectra, rtol=1e-5)
        assert found.dtype == torch.float32


def test_a_library_of_another_number_of_spectra_is_refused(
    prepared: PatchSet, tmp_path: Path
) -> None:
    spectra = np.ones((4, 5), np.float32)
    *_, table = write_endmembers(tmp_path / "known", spectra, prepared.spectrum)
    with pytest.raises(UsageError, match="3 endmembers cannot start from 4 spectra") as caught:
        initial_endmembers(prepared, 0, numbers(str(table)), seed=0)
    assert caught.value.hint == "--endmembers 4"


def test_a_library_of_other_bands_is_refused(
    patches: Callable[..., PatchSet], tmp_path: Path
) -> None:
    prepared = patches(bands=6)
    *_, table = write_endmembers(tmp_path / "known", np.ones((3, 5), np.float32), None)
    with pytest.raises(InputError, match="5 values of each spectrum cannot be those of 6 bands"):
        initial_endmembers(prepared, 0, numbers(str(table)), seed=0)


def test_what_is_neither_is_refused_with_the_known_ones(prepared: PatchSet) -> None:
    with pytest.raises(UsageError, match="no initialisation 'corners'") as caught:
        initial_endmembers(prepared, 0, numbers("corners"), seed=0)
    assert "edaa" in str(caught.value.hint)
    assert "random" in str(caught.value.hint)
