"""Operations on tiles whose weights are all alive, scenes with holes, and windows put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr import recipe
from hsisr.cube import ArrayCube, Block, Cube
from hsisr.tiling.operations import Sharpen, Unmix
from hsisr.window import Window
from hsisr_models.rendering import Area, Renderer, cut
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

PEAK = 1000.0


def with_holes(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same with a deep hole, a missing corner, and pixels missing in one band."""
    block = block.copy()
    _, rows, cols = block.shape
    block[:, rows // 4 : rows // 2, cols // 3 : 2 * cols // 3] = np.nan
    block[:, 0, 0] = np.nan
    block[0, np.random.default_rng(1).random((rows, cols)) < 0.03] = np.nan
    return block


def cube_of(block: NDArray[np.float32]) -> ArrayCube:
    return ArrayCube(block, Path("scene"))


def whole(windows: Iterable[tuple[Window, Block]], cube: Cube, scale: int) -> Block:
    """The windows put together; every pixel has to come exactly once."""
    spec, output = cube.spec, None
    times = np.zeros((spec.rows * scale, spec.cols * scale), int)
    for window, block in windows:
        if output is None:
            output = np.empty((len(block), *times.shape), np.float32)
        output[:, *window.slices] = block
        times[window.slices] += 1
    assert output is not None
    assert (times == 1).all()
    return output


def operations(name: str, bands: int, scale: int, **numbers: int) -> tuple[Sharpen, Unmix]:
    """Both operations by the architecture of a recipe, its weights all alive."""
    torch.manual_seed(0)
    both = recipe.load(name)
    network = NETWORKS[both.sr.network].build(
        bands=bands, scale=scale, endmembers=3, **both.sr.numbers | numbers
    )
    unmixer = METHODS[both.unmix.method].build(
        bands=bands, endmembers=3, **both.unmix.numbers | {"width": numbers.get("width", 64)}
    )
    with torch.no_grad():
        for value in (*network.parameters(), *unmixer.parameters()):
            value.add_(torch.randn_like(value) * 0.3 / value[0].numel() ** 0.5)
    resolver = SuperResolver(network.eval(), unmixer.eval()).requires_grad_(False)
    assert resolver.unmixer is unmixer
    return (
        Sharpen(resolver, scale, resolver.reach, PEAK),
        Unmix(unmixer.encode, unmixer.decode, unmixer.reach, PEAK),
    )


def any_sensor(scale: int, **numbers: int) -> SuperResolver:
    """A network that works on tokens, its weights all alive."""
    torch.manual_seed(0)
    network = NETWORKS["subspace_sr"].build(bands=1, scale=scale, endmembers=0, **numbers)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn_like(value) * 0.3 / value[0].numel() ** 0.5)
    return SuperResolver(network.eval(), None).requires_grad_(False)


@dataclass(frozen=True)
class Pointwise:
    """Every pixel repeated, twice as bright."""

    scale: int = 3
    reach: int | None = 0
    footprint: int = 0

    def __call__(self, values: Tensor) -> Tensor:
        return 2 * values.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        return cut(self(scene), self.scale)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        return bool(np.isfinite(result).all())
