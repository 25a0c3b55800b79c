"""The survey: what is learned of a whole scene before its tiles are run.

It depends neither on the size of the tiles nor on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import Block, Cube
from hsisr.errors import InputError
from hsisr.scene import gaps
from hsisr.scene.spectra import NOISE, Statistics, strips, subspace_of
from hsisr.window import TilePlan, Window
from hsisr_models.subspace import Subspace

_SAMPLES = 16
_SAMPLE_SIDE = 32


@dataclass(frozen=True)
class Survey:
    """Facts about a scene that all of its tiles share."""

    means: NDArray[np.float32]
    """Of each band, over the samples (B,)."""
    samples: tuple[Block, ...]
    """Windows of the scene, of one size, spread over it, without missing pixels (B, h, w)."""
    subspace: Subspace | None = None
    """Of all pixels of the scene, for a network that works on tokens."""

    def tensors(self) -> dict[str, Tensor]:
        """The survey as tensors, to be stored in a file."""
        found = {"means": torch.from_numpy(self.means)}
        found |= {f"sample.{i:02d}": torch.from_numpy(s) for i, s in enumerate(self.samples)}
        if self.subspace is not None:
            kept = self.subspace
            covered = torch.tensor(kept.covered, dtype=torch.float64)
            found |= {"mean": kept.mean, "axes": kept.axes, "spread": kept.spread}
            found["covered"] = covered
        return found

    @property
    def noise(self) -> NDArray[np.bool_]:
        """Bands in which neighbouring pixels have next to nothing in common (B,).

        None where that is so in most bands: these pixels are not neighbours in a scene.
        """
        statistics = Statistics(len(self.means))
        for block in self.samples:
            statistics.add(block)
        found = statistics.correlations <= NOISE
        # one that is clear by chance
        found[1:-1] |= found[:-2] & found[2:]
        return found if found.mean() < 0.5 else np.zeros_like(found)

    @property
    def blank(self) -> tuple[float, float]:
        """The number with which whole pixels are filled, and their share of the samples.

        Borders and lost lines are filled with zeros or with a negative number that no sensor gives,
        the same in all bands, whether or not the file says that it means no data. (0, 0) without
        such pixels.
        """
        numbers = np.concatenate([_filled(block) for block in self.samples])
        values, counts = np.unique(numbers, return_counts=True)
        if not len(values):
            return 0.0, 0.0
        pixels = sum(block[0].size for block in self.samples)
        return float(values[counts.argmax()]), float(counts.max() / pixels)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Survey:
        """The survey that `tensors` stored."""
        names = sorted(name for name in tensors if name.startswith("sample."))
        samples = tuple(tensors[name].numpy() for name in names)
        subspace = None
        if "axes" in tensors:
            mean, axes, spread = (tensors[name] for name in ("mean", "axes", "spread"))
            subspace = Subspace(mean, axes, spread, float(tensors["covered"]))
        return cls(tensors["means"].numpy(), samples, subspace)


def survey(cube: Cube, tokens: int = 0, *, hasty: bool = False) -> Survey:
    """Read a fixed sample of windows spread over the scene; raises `InputError` if it is empty.

    Where a network wants `tokens`, the whole scene is read once more for its subspace; if `hasty`,
    for a first impression, the sample has to do.
    """
    spec = cube.spec
    found = list(_holding_data(cube, _spread(spec.window)))
    if not found:
        # a narrow scene in a large frame can lie between the samples
        found = list(islice(_anywhere(cube), _SAMPLES))
    if not found:
        raise InputError(
            "no pixel holds data", where=cube.files[0], hint=f"hsisr info {cube.files[0]}"
        )
    # windows at the border of a narrow scene may be smaller
    largest = max(block.shape for block in found)
    found = [block for block in found if block.shape == largest]
    pixels = [block.reshape(spec.bands, 1, -1) for block in found]
    means = gaps.band_means(np.concatenate(pixels, 2))
    samples = tuple(gaps.fill(block, means) for block in found)
    if not tokens:
        return Survey(means, samples)
    return Survey(means, samples, subspace_of(cube, tokens, found if hasty else None))


def _filled(block: Block) -> NDArray[np.float32]:
    """The numbers, 0 or less, that fill pixels of (B, h, w) in all of several bands."""
    same = (block == block[0]).all(0) & (block[0] <= 0)
    return np.asarray(block[0][same & (len(block) > 1)])


def _holding_data(cube: Cube, windows: Iterable[Window]) -> Iterator[Block]:
    blocks = (cube.read(window) for window in windows)
    return (block for block in blocks if np.isfinite(block).any())


def _anywhere(cube: Cube) -> Iterator[Block]:
    """Windows that hold data, from top to bottom; the scene is read in strips, which is fastest."""
    for strip in strips(cube.spec):
        block = cube.read(strip)
        for tile in TilePlan(strip.height, strip.width, (_SAMPLE_SIDE, _SAMPLE_SIDE), halo=0):
            part = block[:, *tile.write.slices]
            if np.isfinite(part).any():
                yield part


def _spread(scene: Window) -> Iterator[Window]:
    """Windows on a regular grid over the scene, the same for every tile size."""
    height, width = min(scene.height, _SAMPLE_SIDE), min(scene.width, _SAMPLE_SIDE)
    down = min(math.ceil(scene.height / height), math.isqrt(_SAMPLES))
    across = min(math.ceil(scene.width / width), math.isqrt(_SAMPLES))
    for row in np.linspace(0, scene.height - height, down).astype(int):
        for col in np.linspace(0, scene.width - width, across).astype(int):
            yield Window(int(row), int(col), height, width)
