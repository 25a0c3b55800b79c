"""A made-up scene of three materials, and the training data prepared from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hsisr.cube import ArrayCube, Spectrum
    from hsisr.patches import PatchSet
    from hsisr.runtime import Runtime


def mixed_scene(bands: int, rows: int, cols: int, seed: int = 0) -> NDArray[np.float32]:
    """(bands, rows, cols): three smooth spectra in smooth shares, some noise, values to 1000."""
    rng = np.random.default_rng(seed)
    down, across = np.arange(rows)[:, None] / 6, np.arange(cols) / 7
    fields = [np.sin(down + 2 * i) + np.cos(across * (1 + i / 3)) for i in range(3)]
    shares = np.exp(2 * np.stack(fields))
    shares /= shares.sum(0)
    centres = np.linspace(0, bands, 3)[:, None]
    spectra = 100 + 900 * np.exp(-(((np.arange(bands) - centres) / (bands / 3 + 1)) ** 2))
    scene = np.einsum("phw,pb->bhw", shares, spectra) + rng.normal(0, 5, (bands, rows, cols))
    return np.maximum(scene, 1).astype(np.float32)


@pytest.fixture
def scene() -> Callable[..., NDArray[np.float32]]:
    """Makes scenes, see `mixed_scene`."""
    return mixed_scene


@pytest.fixture
def cpu() -> Runtime:
    """One processor, full precision."""
    import torch

    from hsisr.runtime import Runtime

    return Runtime(torch.device("cpu"), torch.float32)


@pytest.fixture
def patches(tmp_path: Path) -> Callable[..., PatchSet]:
    """Prepares a run from a made-up scene: `patches(bands=6, rows=72, cols=24, scale=2)`."""
    from hsisr.cube import ArrayCube
    from hsisr.patches import Layout, open_patches, prepare

    def prepared(
        bands: int = 6, rows: int = 72, cols: int = 24, scale: int = 2, *, seed: int = 0
    ) -> PatchSet:
        run = tmp_path / f"run{seed}"
        run.mkdir(exist_ok=True)
        file = run / "scene.raw"
        file.touch()
        cube = ArrayCube(mixed_scene(bands, rows, cols, seed), file)
        list(prepare([cube], run, Layout(scale)))
        return open_patches(run)

    return prepared


@pytest.fixture
def cube(tmp_path: Path) -> Callable[..., ArrayCube]:
    """A made-up scene as if from a file: `cube(rows, cols, name="scene", spectrum=None)`."""
    from hsisr.cube import ArrayCube

    def made(
        rows: int,
        cols: int,
        *,
        bands: int = 4,
        name: str = "scene.raw",
        spectrum: Spectrum | None = None,
        block: NDArray[np.float32] | None = None,
    ) -> ArrayCube:
        path = tmp_path / name
        path.touch()
        values = mixed_scene(bands, rows, cols, len(name)) if block is None else block
        return ArrayCube(values, path, spectrum)

    return made
