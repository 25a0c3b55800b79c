"""What has to be known of a scene as a whole before its tiles are run.

Nothing of it depends on the tile size, or on how many threads there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr import gaps
from hsisr.cube import Block, Cube, CubeSpec
from hsisr.errors import InputError
from hsisr.window import TilePlan, Window
from hsisr_models.subspace import Moments, Subspace

_SAMPLES = 16
_SAMPLE_SIDE = 32
SPECTRA = 20_000
"""Pixels of a scene that endmembers are looked for in, at most."""
_STRIP = 1 << 23
"""Samples that are read at a time."""
_DARK = 0.01
"""Of the median brightness: what is darker is mostly noise."""
_NOISE = 0.1
"""Correlation of neighbouring pixels up to which a band is taken for noise.

The bands that water absorbs in a NEON scene lie below it; all bands of AVIRIS, Pleiades and
WorldView-2 scenes lie above, also when these are degraded 8 times.
"""


@dataclass(frozen=True)
class Survey:
    """What is known about a scene before its tiles are run."""

    means: NDArray[np.float32]
    """Of each band, over the samples (B,)."""
    samples: tuple[Block, ...]
    """Windows of the scene, of one size, spread over it, without missing pixels (B, h, w)."""
    subspace: Subspace | None = None
    """Of all pixels of the scene, for a network that works on tokens."""

    def tensors(self) -> dict[str, Tensor]:
        """All of it, to be kept in a file."""
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
        found = statistics.correlations <= _NOISE
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
        """What `tensors` gave."""
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
    blocks = found if hasty else _blocks(cube, strips(spec))
    return Survey(means, samples, _subspace(cube, tokens, blocks))


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


def strips(spec: CubeSpec) -> Iterator[Window]:
    """Full-width windows that cover a scene from top to bottom, each of bounded size."""
    height = max(1, _STRIP // (spec.bands * spec.cols))
    for row in range(0, spec.rows, height):
        yield Window(row, 0, min(height, spec.rows - row), spec.cols)


def _blocks(cube: Cube, windows: Iterable[Window]) -> Iterator[Block]:
    """What windows of a scene hold; each is read while the one before it is being looked at."""
    with ThreadPoolExecutor(1, "reader") as reader:
        coming: Future[Block] | None = None
        for window in windows:
            before, coming = coming, reader.submit(cube.read, window)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()


def _crew() -> ThreadPoolExecutor:
    """As many threads as may be used, each of which computes by itself.

    Sums would depend on how many share a product, and be late where one of them is.
    """
    return ThreadPoolExecutor(torch.get_num_threads(), "survey", torch.set_num_threads, (1,))


class Statistics:
    """What is gathered of a scene's spectra by reading it once, in pieces."""

    def __init__(self, bands: int) -> None:
        self.moments = Moments(bands)
        self._squares, self._pairs = np.zeros(bands), np.zeros(bands)

    def add(self, block: Block, each: Callable[..., Iterable[Moments]] = map) -> None:
        """Take in a piece (B, h, w); `each` as that of `Moments.add`.

        A pixel counts if it has data in at least half of its bands; what it lacks is set to the
        mean of its piece, or where that has none, of those before. Pixels of zeros alone are taken
        for a border without a declared no-data value.
        """
        if np.isfinite(block).all() and block.any(0).all():
            # as most pieces are: nothing to be looked for, and nothing to be copied
            self.moments.add(torch.from_numpy(block.reshape(len(block), -1)), each)
            self._compare(block)
            return
        counted = with_data(block)
        pixels = block[:, counted][:, None]
        known = np.isfinite(pixels).any((1, 2))
        means = np.where(known, gaps.band_means(pixels), self.moments.mean.numpy())
        complete = gaps.fill(pixels, means, depth=0)
        self.moments.add(torch.from_numpy(complete[:, 0]), each)
        self._compare(np.where(counted, block, np.float32(np.nan)))

    def _compare(self, block: Block) -> None:
        """Neighbours along the rows."""
        differences = np.diff(block, axis=2)
        there = np.isfinite(differences)
        self._pairs += np.count_nonzero(there, (1, 2))
        if not there.all():
            differences[~there] = 0
        self._squares += np.square(differences, out=differences).sum((1, 2), dtype=np.float64)

    @property
    def correlations(self) -> NDArray[np.float64]:
        """Of neighbouring pixels, in each band (B,); 1 where nothing is known."""
        twice = 2 * self.moments.variances.numpy() * self._pairs
        known = twice > 0
        return 1 - np.divide(self._squares, twice, where=known, out=np.zeros_like(twice))


def subspace_of(cube: Cube, tokens: int) -> Subspace:
    """The subspace of a scene, of at most `tokens` axes.

    Bands that the producer marked as bad have no part in it, nor have those that are noise: their
    variance can exceed that of all others. Raises `InputError` if no pixel holds data.
    """
    return _subspace(cube, tokens, _blocks(cube, strips(cube.spec)))


def _subspace(cube: Cube, tokens: int, blocks: Iterable[Block]) -> Subspace:
    statistics = Statistics(cube.spec.bands)
    with _crew() as crew:
        for block in blocks:
            statistics.add(block, crew.map)
        usable = good_bands(cube.spec)
        clear = usable & (statistics.correlations > _NOISE)
        chosen = torch.from_numpy(clear if clear.any() else usable)
        try:
            return crew.submit(statistics.moments.subspace, tokens, chosen).result()
        except ValueError:
            raise InputError(
                "no pixel holds data", where=cube.files[0], hint=f"hsisr info {cube.files[0]}"
            ) from None


def sample_pixels(
    cube: Cube, count: int, seed: int, windows: Iterable[Window] | None = None
) -> NDArray[np.float32]:
    """At most `count` pixels (N, B), drawn from the whole scene by reading it once.

    Each has data in every band that is not marked bad, and is not dark, as next to all of a border
    without a declared no-data value is. Which are drawn depends on the scene and on `seed` alone.
    `windows` are its `strips`, by default. Raises `InputError` if there are none.
    """
    good, rng = good_bands(cube.spec), np.random.default_rng(seed)
    drawn = np.empty((0, cube.spec.bands), np.float32)
    keys = np.empty(0)
    for block in _blocks(cube, windows or strips(cube.spec)):
        usable = _complete(block, good)
        drawn = np.concatenate((drawn, block[:, usable].T))
        keys = np.concatenate((keys, rng.random(usable.shape)[usable]))
        kept = np.sort(np.argsort(keys)[:count])
        drawn, keys = drawn[kept], keys[kept]
    if not len(drawn):
        raise _incomplete(cube)
    return drawn[bright(drawn[:, good])]


def bright(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of pixels (N, B) are not dark, next to the median of them."""
    lengths = np.linalg.norm(pixels, axis=1)
    return np.asarray(lengths >= _DARK * np.median(lengths))


def statistics_of(
    cube: Cube, windows: Iterable[Window] | None = None
) -> tuple[Tensor, Tensor, int]:
    """Mean (g,) and covariance (g, g) of a scene's good bands, float64, and of how many pixels.

    The scene is read once, in `windows` that are its `strips`; pixels that lack data in a good band
    are left out. Raises `InputError` if all do.
    """
    good = good_bands(cube.spec)
    moments = Moments(int(good.sum()))
    with _crew() as crew:
        for block in _blocks(cube, windows or strips(cube.spec)):
            moments.add(torch.from_numpy(block[good][:, _complete(block, good)]), crew.map)
    if not moments.statistics[-1]:
        raise _incomplete(cube)
    return moments.statistics


def _complete(block: Block, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of (B, h, w) have data in all good bands."""
    return np.asarray(with_data(block) & np.isfinite(block[good]).all(0))


def _incomplete(cube: Cube) -> InputError:
    return InputError(
        "no pixel holds data in all of its bands",
        where=cube.files[0],
        hint=f"hsisr info {cube.files[0]}; mark bands without data as bad (bbl)",
    )


def good_bands(spec: CubeSpec) -> NDArray[np.bool_]:
    """Which bands are not marked bad (B,); all of them where there are none."""
    good = spec.spectrum.good if spec.spectrum else None
    return np.array(good if good and any(good) else (True,) * spec.bands)


def with_data(block: Block) -> NDArray[np.bool_]:
    """Which pixels of (B, h, w) hold a spectrum: half of the bands at least, not all of them 0."""
    there = np.isfinite(block)
    filled = (np.where(there, block, 0) != 0).any(0)
    return np.asarray(filled & (2 * there.sum(0) >= len(block)))
