"""A made-up scene of three materials, and the training data prepared from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Block
from hsisr.data.cutting import Layout
from hsisr.data.patches import MANIFEST, PatchSet, open_patches, prepare, save_block
from hsisr.data.tokens import TokenSet, open_tokens
from hsisr.files import write_json

Parts = tuple[Block, Block, Sequence[float]]


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


def prepared_run(run: Path, bands: int, rows: int, cols: int, scale: int, seed: int) -> PatchSet:
    """Training data in the folder `run`, prepared from a scene of that seed."""
    run.mkdir(exist_ok=True)
    file = run / "scene.raw"
    file.touch()
    cube = ArrayCube(mixed_scene(bands, rows, cols, seed), file)
    list(prepare([cube], run, Layout(scale)))
    return open_patches(run)


def stored_tokens(run: Path, scale: int, tokens: int, examples: Mapping[str, Parts]) -> TokenSet:
    """Training data of given (low, high, weights); a name begins with the split it belongs to."""
    folder = run / "data"
    folder.mkdir(parents=True)
    entries = []
    for name, (low, high, weights) in examples.items():
        for side, block in (("low", low), ("high", high)):
            save_block(folder / f"{name}_{side}.npy", np.asarray(block, np.float32))
        entry = {side: f"{name}_{side}.npy" for side in ("low", "high")}
        entries.append({**entry, "split": name.split("_")[0], "weights": list(weights)})
    manifest = {"scale": scale, "tokens": tokens, "degradation": "area", "scenes": []}
    write_json(folder / MANIFEST, {**manifest, "examples": entries})
    return open_tokens(run)
