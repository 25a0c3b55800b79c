"""Training data in token space, in which scenes of any sensor stand side by side.

A scene is degraded, its subspace found from the low resolution, as later when it is sharpened, and
both resolutions are projected on it: a few images in place of hundreds of bands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hsisr.cube import Block, Cube
from hsisr.data.patches import MANIFEST, describe, load_block, read_manifest, save_block
from hsisr.errors import InputError
from hsisr.files import write_json
from hsisr.scene import gaps
from hsisr.scene.degraded import DegradedCube
from hsisr.scene.spectra import subspace_of, with_data
from hsisr.window import Window
from hsisr_models.subspace import Subspace

_STRIP = 64
"""Rows of low-resolution pixels that are projected at a time."""


@dataclass(frozen=True)
class Example:
    """A part of a scene in both resolutions, as tokens."""

    low: Block
    """(k, h, w), each in units of its own standard deviation; NaN where a band is missing."""
    high: Block
    """(k, nh, nw), in the same units."""
    weights: NDArray[np.float32]
    """The tokens' standard deviations relative to the first (k,)."""


@dataclass(frozen=True)
class Source:
    """A part of a scene that training or validation uses."""

    cube: Cube
    split: str
    window: Window
    """In low-resolution pixels."""

    @classmethod
    def whole(cls, cube: Cube, split: str, scale: int) -> Source:
        """The whole scene, less the rows and columns beyond a multiple of the scale."""
        return cls(cube, split, Window(0, 0, cube.spec.rows // scale, cube.spec.cols // scale))


@dataclass(frozen=True)
class TokenSet:
    """A prepared folder of tokens, opened; pixels stay on disk until they are used."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def scale(self) -> int:
        """Factor between the two resolutions."""
        return int(self.manifest["scale"])

    @property
    def tokens(self) -> int:
        """The largest number of tokens of a scene."""
        return int(self.manifest["tokens"])

    @property
    def digest(self) -> str:
        """A SHA-256 of what was projected from which scenes, and how, and of the tokens."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()

    def examples(self, split: str) -> list[Example]:
        """All examples of a split."""
        return [
            Example(
                load_block(self.folder / Path(entry["low"]).name),
                load_block(self.folder / Path(entry["high"]).name),
                np.asarray(entry["weights"], np.float32),
            )
            for entry in self.manifest["examples"]
            if entry["split"] == split
        ]


def open_tokens(run: Path) -> TokenSet:
    """The prepared tokens of a run folder; raises `InputError`."""
    manifest = read_manifest(run)
    if "tokens" not in manifest:
        raise InputError(
            "holds spectra, not tokens",
            where=run,
            hint=f"hsisr prepare SCENE ... --tokens 8 -o {run}",
        )
    return TokenSet(run / "data", manifest)


def prepare_tokens(
    sources: Sequence[Source], run: Path, *, scale: int, operators: Sequence[str], tokens: int
) -> Iterator[tuple[int, int]]:
    """Project scenes into `run`/data, yielding (examples done, examples in all).

    Every source is used once for each degradation. Raises `InputError` for a scene that is smaller
    than the scale, holds no data or does not vary.
    """
    folder = run / "data"
    folder.mkdir(parents=True, exist_ok=True)
    # an older one would soon describe blocks that are no longer there
    (folder / MANIFEST).unlink(missing_ok=True)
    jobs = [(source, operator) for source in sources for operator in operators]
    found = _Subspaces(scale, tokens)
    entries = []
    for index, (source, operator) in enumerate(jobs):
        low, subspace = found.of(source.cube, operator)
        entry: dict[str, Any] = {"split": source.split, "scene": source.cube.files[0].name}
        entry |= {"degradation": operator, "window": asdict(source.window)}
        sides = {"low": (low, source.window), "high": (source.cube, source.window.zoomed(scale))}
        for side, (cube, window) in sides.items():
            entry[side] = f"{source.split}_{index:04d}_{side}.npy"
            block = project(cube, window, subspace)
            entry[f"{side}_sha256"] = save_block(folder / entry[side], block)
        entries.append(entry | {"weights": subspace.weights.tolist()})
        yield index + 1, len(jobs)
    scenes = {
        source.cube.files[0]: {**describe(source.cube), "split": source.split} for source in sources
    }
    manifest = {
        "scale": scale,
        "tokens": tokens,
        "degradation": ", ".join(operators),
        "scenes": list(scenes.values()),
        "examples": entries,
    }
    # written last: a folder with a manifest is complete
    write_json(folder / MANIFEST, manifest)


class _Subspaces:
    """The degraded form of each scene and its subspace, found once."""

    def __init__(self, scale: int, tokens: int) -> None:
        self._scale, self._tokens = scale, tokens
        self._known: dict[tuple[int, str], tuple[Cube, Subspace]] = {}

    def of(self, cube: Cube, operator: str) -> tuple[Cube, Subspace]:
        key = (id(cube), operator)
        if key not in self._known:
            low = DegradedCube(cube, self._scale, operator)
            self._known[key] = low, _varying(low, self._tokens)
        return self._known[key]


def _varying(cube: Cube, tokens: int) -> Subspace:
    subspace = subspace_of(cube, tokens)
    if not len(subspace.spread):
        raise InputError(
            "all pixels are alike", where=cube.files[0], hint="leave this scene out of the training"
        )
    return subspace


def project(cube: Cube, window: Window, subspace: Subspace) -> Block:
    """A part of a cube as tokens (k, h, w); NaN where a pixel is not complete."""
    used = (subspace.axes != 0).any(1).numpy()
    strips = []
    for row in range(0, window.height, _STRIP):
        height = min(_STRIP, window.height - row)
        block = cube.read(Window(window.row + row, window.col, height, window.width))
        missing = np.isnan(block[used]).any(0) | ~with_data(block)
        complete = gaps.fill(block, subspace.mean.numpy(), depth=0)
        strip = subspace.project(torch.from_numpy(complete)[None])[0].numpy()
        strips.append(np.where(missing, np.float32(np.nan), strip))
    return np.concatenate(strips, 1)
