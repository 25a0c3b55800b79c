"""The spectra of a whole scene: statistics, samples, and which bands and pixels count.

A scene is read once, from top to bottom. The result does not depend on the number of threads, nor,
but for rounding, on the size of the pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import Block, Cube, CubeSpec
from hsisr.errors import InputError
from hsisr.scene import gaps
from hsisr.scene.selection import stretches
from hsisr.window import Window
from hsisr.wording import counted
from hsisr_models.subspace import Moments, Subspace

SPECTRA = 20_000
"""Pixels of a scene that endmembers are looked for in, at most."""
NOISE = 0.1
"""Correlation of neighbouring pixels up to which a band is taken for noise.

The bands that water absorbs in a NEON scene lie below it; all bands of AVIRIS, Pleiades and
WorldView-2 scenes lie above, also when these are degraded 8 times.
"""
_STRIP = 1 << 23
"""Samples that are read at a time."""
_DARK = 0.01
"""Of the median brightness: what is darker is mostly noise."""


def strips(spec: CubeSpec) -> Iterator[Window]:
    """Full-width windows that cover a scene from top to bottom, each of bounded size."""
    height = max(1, _STRIP // (spec.bands * spec.cols))
    for row in range(0, spec.rows, height):
        yield Window(row, 0, min(height, spec.rows - row), spec.cols)


def _blocks(cube: Cube, windows: Iterable[Window]) -> Iterator[Block]:
    """The blocks at `windows`, each read while the one before it is processed."""
    with ThreadPoolExecutor(1, "reader") as reader:
        coming: Future[Block] | None = None
        for window in windows:
            before, coming = coming, reader.submit(cube.read, window)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()


def _crew() -> ThreadPoolExecutor:
    """All threads that may be used, each computing on its own piece.

    If threads shared one product, its rounding would depend on their number, and the slowest of
    them would delay the others.
    """
    return ThreadPoolExecutor(torch.get_num_threads(), "survey", torch.set_num_threads, (1,))


class Statistics:
    """Statistics of the spectra of a scene, gathered in one pass, piece by piece."""

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
        """Take in the differences between neighbours along the rows."""
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


def subspace_of(cube: Cube, tokens: int, blocks: Iterable[Block] | None = None) -> Subspace:
    """The subspace of a scene, of at most `tokens` axes; `blocks` are all of it by default.

    Bands that the producer marked as bad have no part in it, nor have those that are noise: their
    variance can exceed that of all others. Raises `InputError` if no pixel holds data.
    """
    statistics = Statistics(cube.spec.bands)
    with _crew() as crew:
        for block in blocks or _blocks(cube, strips(cube.spec)):
            statistics.add(block, crew.map)
        usable = good_bands(cube.spec)
        clear = usable & (statistics.correlations > NOISE)
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
    """Why no pixel is complete; the scene is read once more for that."""
    good, held = good_bands(cube.spec), np.zeros(cube.spec.bands, np.bool_)
    for block in _blocks(cube, strips(cube.spec)):
        held |= np.isfinite(block).any((1, 2))
    empty = int((good & ~held).sum())
    told, hint = "", f"hsisr info {cube.files[0]}"
    if empty and (good & held).any():
        told = f"; {counted(empty, 'band')} without any"
        hint = f"leave out what is empty: --bands {stretches(good & held, cube.spec.spectrum)}"
    return InputError(
        f"no pixel holds data in all of its bands{told}", where=cube.files[0], hint=hint
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
