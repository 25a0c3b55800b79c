"""The endmembers that the training of an unmixing network starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hsisr.cube import CubeSpec
from hsisr.data.patches import PatchSet
from hsisr.errors import UsageError
from hsisr.recipe import UnmixRecipe
from hsisr.runtime import single_threaded
from hsisr.scene.spectra import SPECTRA, bright
from hsisr.unmixing.library import read_library
from hsisr.wording import counted
from hsisr_models.endmembers import SHELF as METHODS

RANDOM = "random"
"""The initialisation that leaves a network its own random weights."""


def initial_endmembers(patches: PatchSet, which: int, numbers: UnmixRecipe, seed: int) -> Tensor:
    """Spectra (p, B) as networks see them, by `numbers.initialise`.

    That is a method of the shelf `endmembers/`, which is given training pixels of all blocks in
    resolution `which` (0 for low, 1 for high), or the path of a library of spectra. Raises
    `UsageError` for neither and for another number of spectra, `InputError` for a library that
    does not fit, and what the method raises.
    """
    name = numbers.initialise
    require_known_start(name)
    pixels = _pooled_pixels(patches, which, seed)
    if name in METHODS:
        with single_threaded():
            return METHODS[name].extract(pixels, numbers.endmembers, seed=seed)
    return _read(Path(name), patches, pixels, numbers.endmembers)


def require_known_start(name: str) -> None:
    """Raise `UsageError` if no network can start from what is called `name`."""
    if name in METHODS or name == RANDOM or Path(name).suffix:
        return
    known = ", ".join((*METHODS, RANDOM))
    raise UsageError(
        f"no initialisation '{name}'", hint=f"one of {known}, or the path of a library"
    )


def _read(path: Path, patches: PatchSet, pixels: Tensor, endmembers: int) -> Tensor:
    spec = CubeSpec(patches.bands, 1, 1, np.dtype(np.float32), spectrum=patches.spectrum)
    library = read_library(path).on(spec)
    count = len(library.spectra)
    if count != endmembers:
        raise UsageError(
            f"{counted(endmembers, 'endmember')} cannot start from "
            f"{counted(count, 'spectrum', 'spectra')}",
            where=path,
            hint=f"--endmembers {count}",
        )
    means = pixels.mean(0).numpy() * patches.peak
    return torch.from_numpy(library.in_units_of(means).spectra / patches.peak).float()


def _pooled_pixels(patches: PatchSet, which: int, seed: int) -> Tensor:
    """Training pixels of one resolution of all blocks, complete and not dark, (N, B)."""
    blocks = [np.asarray(pair[which]) for pair in patches.blocks("train")]
    pixels = np.concatenate([block.reshape(len(block), -1).T for block in blocks])
    pixels = pixels[np.isfinite(pixels).all(1)]
    pixels = pixels[bright(pixels)]
    if len(pixels) > SPECTRA:
        rng = np.random.default_rng(seed)
        pixels = pixels[rng.choice(len(pixels), SPECTRA, replace=False)]
    return torch.from_numpy(np.ascontiguousarray(pixels)) / patches.peak
