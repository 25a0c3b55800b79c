"""How fast this machine convolves, and how close to that a model comes on tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch
import torch.nn.functional as F

from hsisr import recipe
from hsisr.checkpoints import zoo
from hsisr.cube import Block, CubeSpec
from hsisr.data.leaves import dead_leaves
from hsisr.errors import UsageError
from hsisr.model import SrModel, load_sr
from hsisr.runtime import Runtime
from hsisr.scene import gaps
from hsisr.scene.spectra import Statistics
from hsisr.scene.survey import Survey
from hsisr.tiling.costs import operations
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import render
from hsisr.window import Window
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

_CHANNELS = (64, 128, 256)
_SIDE = 64
_PULSE = 0.2
"""Seconds after which the caller is asked at the latest whether to go on."""
_SAMPLE = 16
_PEAK = 10_000.0
_HIGHEST = 30_000
"""Within int16, and above all that a made-up scene holds but for a few glints."""


def paced(step: Callable[[], None], threads: int, seconds: float) -> Generator[None, None, float]:
    """How often per second `step` is done by `threads` at once, for at least `seconds`.

    Each does it over and over by itself, at least once. Yields while waiting; left then, they end
    with the step they are at.
    """
    stopped = Event()

    def pace() -> float:
        started, elapsed, count = time.perf_counter(), 0.0, 0
        while elapsed < seconds and not stopped.is_set():
            step()
            count, elapsed = count + 1, time.perf_counter() - started
        return count / elapsed if count else 0.0

    with ThreadPoolExecutor(threads, "pace", torch.set_num_threads, (1,)) as crew:
        paces = [crew.submit(pace) for _ in range(threads)]
        try:
            while wait(paces, _PULSE).not_done:
                yield
        finally:
            stopped.set()
        return sum(each.result() for each in paces)


def ceiling(runtime: Runtime, threads: int, seconds: float) -> Generator[None, None, float]:
    """The most operations per second of 3x3 convolutions with channels last, by `threads` at once.

    Of 64, 128 and 256 channels; each in one thread, as tiles are computed. Yields while measuring.
    """
    best = 0.0
    for channels in _CHANNELS:
        image, weight = (
            torch.rand(shape, device=runtime.device, dtype=runtime.dtype).to(
                memory_format=torch.channels_last
            )
            for shape in ((1, channels, _SIDE, _SIDE), (channels, channels, 3, 3))
        )

        def step(image: torch.Tensor = image, weight: torch.Tensor = weight) -> None:
            with torch.no_grad():
                F.conv2d(image, weight, padding=1)
            if runtime.device.type == "cuda":
                torch.cuda.synchronize(runtime.device)

        rate = yield from paced(step, threads, seconds / len(_CHANNELS))
        best = max(best, rate * 2 * image.numel() * weight[0].numel())
    return best


def model_of(name: str, scale: int, bands: int) -> SrModel:
    """The model called so, or a network of the shelf with made-up weights.

    That is as the recipe `default` has it. Raises as `load_sr`, `UsageError` for a scale that the
    network does not know, `ModelError` for bands that the model does not.
    """
    if name not in NETWORKS or name == zoo.BICUBIC:
        model = load_sr(name, scale)
        model.require_fit(CubeSpec(bands, 1, 1, np.dtype(np.int16)))
        return model
    numbers, chosen = recipe.load("default"), NETWORKS[name]
    if scale not in chosen.SCALES:
        known = ", ".join(map(str, chosen.SCALES))
        raise UsageError(f"'{name}' is not made for scale {scale}", hint=f"one of {known}")
    torch.manual_seed(0)
    # networks of others are measured as they are published, without unmixing
    own, count = {}, 0
    if name == numbers.sr.network:
        own, count = numbers.sr.numbers, numbers.unmix.endmembers
    network = chosen.build(bands=bands, scale=scale, endmembers=count, **own).eval()
    unmixer = None
    if network.uses_abundances:
        method = METHODS[numbers.unmix.method]
        unmixer = method.build(bands=bands, endmembers=count, **numbers.unmix.numbers).eval()
    return SrModel(name, scale, _PEAK, SuperResolver(network, unmixer))


def made_up(side: int, bands: int) -> Block:
    """A scene (bands, side, side) of whole numbers that fit int16."""
    scene = np.rint(dead_leaves(0, side=side, bands=bands)).clip(1, _HIGHEST)
    return np.ascontiguousarray(scene.transpose(2, 0, 1))


@dataclass(frozen=True)
class Load:
    """A tile with its halo, to be computed over and over."""

    operation: Operation
    block: Block
    kept: Window
    seen: Survey
    runtime: Runtime

    @property
    def pixels(self) -> int:
        """Of the output."""
        return self.kept.height * self.kept.width * self.operation.scale**2

    def compute(self) -> None:
        """As the engine does."""
        for _ in render(self.operation, self.block, self.kept, self.seen, self.runtime):
            pass

    def operations(self) -> int:
        """Floating-point operations, as counted by `costs`."""
        return operations(self.compute)


def tile_of(model: SrModel, bands: int, side: int, runtime: Runtime, *, halo: bool = True) -> Load:
    """A tile of `side` pixels in the midst of a scene, or without `halo` one that is a scene.

    What no halo makes exact has none.
    """
    reach = model.network.reach
    around = reach + gaps.REACH if halo and reach is not None else 0
    block = made_up(max(side + 2 * around, _SAMPLE), bands)
    spectra = Statistics(bands)
    spectra.add(block)
    seen = Survey(
        gaps.band_means(block),
        (block[:, :_SAMPLE, :_SAMPLE],),
        spectra.moments.subspace(model.tokens) if model.tokens else None,
    )
    block = block[:, : side + 2 * around, : side + 2 * around]
    kept = Window(around, around, side, side)
    return Load(model.operation(seen, runtime), block, kept, seen, runtime)
