"""Made-up scenes, as arrays, as cubes and as training data; torch is imported when needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hsisr.checkpoints.checkpoint import Checkpoint
    from hsisr.cube import ArrayCube, Spectrum
    from hsisr.data.patches import PatchSet
    from hsisr.runtime import Runtime


@pytest.fixture
def scene() -> Callable[..., NDArray[np.float32]]:
    """Makes scenes: `scene(bands, rows, cols, seed=0)`."""
    from tests.hsisr.made_up import mixed_scene

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
    from tests.hsisr.made_up import prepared_run

    def prepared(
        bands: int = 6, rows: int = 72, cols: int = 24, scale: int = 2, *, seed: int = 0
    ) -> PatchSet:
        return prepared_run(tmp_path / f"run{seed}", bands, rows, cols, scale, seed)

    return prepared


@pytest.fixture
def cube(tmp_path: Path) -> Callable[..., ArrayCube]:
    """A made-up scene as if from a file: `cube(rows, cols, name="scene", spectrum=None)`."""
    from hsisr.cube import ArrayCube
    from tests.hsisr.made_up import mixed_scene

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with training data of 5 bands at scale 2 and both models; not to be changed."""
    from hsisr.checkpoints.checkpoint import load
    from hsisr.checkpoints.header import MODEL
    from tests.hsisr.made_up import prepared_run
    from tests.hsisr.trials import STEPS, advance, reports

    run = tmp_path_factory.mktemp("trained") / "run"
    data = prepared_run(run, bands=5, rows=56, cols=20, scale=2, seed=0)
    advance(reports("unmix", data, run / "unmix"), STEPS)
    unmix = load(run / "unmix" / MODEL)
    advance(reports("sr", data, run / "sr", unmix=unmix), STEPS)
    return run


@pytest.fixture
def prepared(trained: Path) -> PatchSet:
    """The training data of `trained`."""
    from hsisr.data.patches import open_patches

    return open_patches(trained)


@pytest.fixture
def unmix(trained: Path) -> Checkpoint:
    """The unmixing model of `trained`."""
    from hsisr.checkpoints.checkpoint import load
    from hsisr.checkpoints.header import MODEL

    return load(trained / "unmix" / MODEL)
