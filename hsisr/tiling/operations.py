"""What can be done to every tile: sharpening, unmixing, and what is put around sharpening."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hsisr_models.contract import Solution
from hsisr_models.exact import atan2, products, total
from hsisr_models.imaging import back_project, mix, projection_reach
from hsisr_models.rendering import Area, Renderer, everything, finer, grown, within


class Operation(Protocol):
    """What is done to every tile."""

    @property
    def scale(self) -> int:
        """Factor between the input's grid and the output's."""

    @property
    def reach(self) -> int | None:
        """In pixels of the scene; None if the network sees its whole image."""

    @property
    def footprint(self) -> int:
        """Numbers held for each pixel of a scene that is prepared, beside the scene, about."""

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """Numbers held while so many pixels of a scene of so many bands are rendered, about."""

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """Of a scene (1, B, h, w) that is physical and complete, (1, C, scale h, scale w).

        Where all windows that are rendered will lie in `kept`, less is computed.
        """

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which output samples (C or 1, h, w) have no data, given those of the input (B, h, w)."""

    def held(self, result: NDArray[np.float32]) -> bool:
        """Whether reduced precision could hold all that was computed for a result (C, h, w)."""


_IMAGES = 3
"""Of what is rendered there are so many at a time, about."""
_TOLD = 4
"""Maps beside the abundances, at most."""
_SOLVING = 32
"""Numbers that solvers hold for an endmember of a pixel, about."""


class Resolver(Protocol):
    """What sharpens a normalised scene."""

    @property
    def footprint(self) -> int:
        """As that of `Operation`."""

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """Of a scene (1, B, h, w), the sharper one (1, B, scale h, scale w)."""


@dataclass(frozen=True)
class Sharpen:
    """Super-resolution as an operation on tiles."""

    resolver: Resolver
    scale: int
    reach: int | None
    peak: float

    @property
    def footprint(self) -> int:
        """That of the network."""
        return self.resolver.footprint

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """Of the sharper scene."""
        return _IMAGES * bands * self.scale**2 * rows * cols

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """The sharper scene, in the units of the input."""
        if self.peak == 1:
            return self.resolver.prepare(scene, kept=kept)
        render = self.resolver.prepare(scene / self.peak, kept=kept)
        return lambda rows, cols: render(rows, cols).mul_(self.peak)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A sample is missing where its own band is."""
        return holes

    def held(self, result: NDArray[np.float32]) -> bool:
        """All of it is finite."""
        return bool(np.isfinite(result).all())


@dataclass(frozen=True)
class Consistent:
    """Sharpening, corrected so that the result degrades to what it was made from."""

    inner: Operation
    operator: str
    """One of `imaging.OPERATORS`."""

    @property
    def scale(self) -> int:
        """That of the inner operation."""
        return self.inner.scale

    @property
    def reach(self) -> int | None:
        """That of the inner operation, and how far a correction sees and is seen."""
        reach = self.inner.reach
        return None if reach is None else reach + projection_reach(self.scale, self.operator)

    @property
    def footprint(self) -> int:
        """That of the inner operation."""
        return self.inner.footprint

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """That of the inner operation, on all that a correction sees."""
        around = 2 * projection_reach(self.scale, self.operator)
        return self.inner.workspace(bands, rows + around, cols + around)

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """The nearest consistent scene, see `imaging.back_project`."""
        reach, size = projection_reach(self.scale, self.operator), scene.shape[2:]
        render = self.inner.prepare(scene, kept=kept and grown(kept, reach, size))

        def consistent(rows: slice, cols: slice) -> Tensor:
            seen = grown((rows, cols), reach, size)
            estimate = render(*seen).float()
            low = scene[..., *seen]
            result = back_project(estimate, low, self.scale, self.operator, out=estimate)
            return result[..., *finer(within((rows, cols), seen), self.scale)]

        return consistent

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by the inner operation."""
        return self.inner.missing(holes)

    def held(self, result: NDArray[np.float32]) -> bool:
        """As by the inner operation."""
        return self.inner.held(result)


_TINY = torch.finfo(torch.float32).tiny
_VALUES = 1 << 22
"""Of the sharper scene, about as many are unmixed at a time."""
_NARROWEST = 8
"""Columns of the scene: pieces of fewer would cost more around them than they hold."""


@dataclass(frozen=True)
class Unmix:
    """Unmixing as an operation on tiles.

    Gives, band after band, the abundances of p endmembers, what `_compared` tells of the
    reconstruction, and the dominant endmember.
    """

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    reach: int | None
    peak: float
    footprint: int = 0
    scale: int = 1

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """Of the scene, as it is mixed again."""
        return _IMAGES * bands * rows * cols

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """All maps (1, p + 3, h, w)."""
        del kept  # one pass for all windows
        whole = self.encode(scene / self.peak)

        def unmixed(rows: slice, cols: slice) -> Tensor:
            abundances = whole[..., rows, cols]
            mixed = (self.decode(abundances) * self.peak).float()
            told = _compared(mixed, scene[..., rows, cols])
            return torch.cat((abundances.float(), *told, _dominant(abundances)), 1)

        return unmixed

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A pixel cannot be unmixed where half of its bands or more are missing."""
        return np.asarray(holes.mean(0, keepdims=True) >= 0.5)

    def held(self, result: NDArray[np.float32]) -> bool:
        """All of it is finite."""
        return bool(np.isfinite(result).all())


@dataclass(frozen=True)
class UnmixLinearly:
    """Unmixing by known endmembers, every pixel by itself.

    Gives what `Unmix` does and, before the dominant endmember, the gain if `tells_gain`.
    """

    solve: Callable[[Tensor, Tensor], Solution]
    endmembers: Tensor
    """(p, B), in the units of the scene."""
    good: Tensor
    """Which bands count (B,)."""
    tells_gain: bool = False
    """Whether the solver tells how bright a pixel is from what it is made of."""
    groups: Tensor | None = None
    """Which endmembers are summed up to one abundance (c, p); each is one by itself without."""
    scale: int = 1
    reach: int = 0
    footprint: int = 0

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """Of the scene, as it is solved, mixed again and compared, and of what a solver needs."""
        return ((1 + _IMAGES) * bands + _SOLVING * len(self.endmembers)) * rows * cols

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """All maps (1, p + 3, h, w), or p + 4 with the gain."""
        del kept  # nothing is computed before a window is rendered
        return lambda rows, cols: self._unmixed(scene[..., rows, cols])

    def _unmixed(self, scene: Tensor) -> Tensor:
        # band by band in memory, as both the solver and the error go through them
        used = scene[0, self.good].contiguous()
        known = self.endmembers[:, self.good]
        found = self.solve(used.flatten(1), known)
        size = used.shape[1:]
        mixed = mix((found.abundances * found.gain).float().reshape(1, -1, *size), known)
        told = _compared(mixed.contiguous(), used[None])
        shares = found.abundances
        shares = shares if self.groups is None else products(self.groups, shares)
        abundances = shares.float().reshape(1, -1, *size)
        gain = (found.gain.float().reshape(1, 1, *size),) if self.tells_gain else ()
        return torch.cat((abundances, *told, *gain, _dominant(abundances)), 1)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by a network: where half of the bands or more are missing."""
        return np.asarray(holes.mean(0, keepdims=True) >= 0.5)

    def held(self, result: NDArray[np.float32]) -> bool:
        """Nothing is infinite; what is black is made of nothing, which is NaN."""
        return not np.isinf(result).any()


@dataclass(frozen=True)
class UnmixSharpened:
    """Unmixing of the sharper scene, of which no more is there at a time than is being unmixed."""

    sharpen: Operation
    unmix: UnmixLinearly

    @property
    def scale(self) -> int:
        """That of sharpening."""
        return self.sharpen.scale

    @property
    def reach(self) -> int | None:
        """That of sharpening: unmixing looks at no other pixel."""
        return self.sharpen.reach

    @property
    def footprint(self) -> int:
        """That of sharpening."""
        return self.sharpen.footprint

    def workspace(self, bands: int, rows: int, cols: int) -> int:
        """Of the maps, and of what of the sharper scene there is at a time."""
        scale, some = self.scale, min(cols, self._at_once(bands, rows))
        maps = _IMAGES * (len(self.unmix.endmembers) + _TOLD) * scale**2 * rows * cols
        sharper = self.sharpen.workspace(bands, rows, some)
        return maps + sharper + self.unmix.workspace(bands, scale * rows, scale * some)

    def _at_once(self, bands: int, rows: int) -> int:
        """Columns of the scene that are sharpened and unmixed at a time."""
        return max(_NARROWEST, _VALUES // (bands * self.scale**2 * rows))

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        """All maps of `UnmixLinearly` (1, p + 3 or p + 4, scale h, scale w)."""
        render = self.sharpen.prepare(scene, kept=kept)

        def unmixed(rows: slice, cols: slice) -> Tensor:
            step = self._at_once(scene.shape[1], rows.stop - rows.start)
            parts = (slice(c, min(c + step, cols.stop)) for c in range(cols.start, cols.stop, step))
            return torch.cat([self._maps(render(rows, part).float()) for part in parts], 3)

        return unmixed

    def _maps(self, sharper: Tensor) -> Tensor:
        maps = everything(self.unmix.prepare(sharper), sharper)
        return maps.masked_fill(~sharper.isfinite().all(1, keepdim=True), torch.inf)

    def missing(self, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """As by unmixing, of what sharpening leaves out."""
        return self.unmix.missing(self.sharpen.missing(holes))

    def held(self, result: NDArray[np.float32]) -> bool:
        """As by unmixing: where the sharper scene is not finite, all maps are infinite."""
        return self.unmix.held(result)


def _compared(mixed: Tensor, scene: Tensor) -> tuple[Tensor, Tensor]:
    """Of a reconstruction (1, B, h, w): the root mean square error, and the angle in degrees.

    Each (1, 1, h, w). Zero is at right angles to all spectra but itself.
    """
    bands = list(zip(mixed.unbind(1), scene.unbind(1), strict=True))
    error = (total((m - s).square() for m, s in bands) / len(bands)).sqrt()
    a, b = (_length(kind).clamp_min(_TINY) for kind in zip(*bands, strict=True))
    apart = _length(m / a - s / b for m, s in bands)
    together = _length(m / a + s / b for m, s in bands)
    # exact at every angle, unlike the arc cosine of the cosine
    return error[:, None], 2 * torch.rad2deg(atan2(apart, together))[:, None]


def _length(bands: Iterable[Tensor]) -> Tensor:
    """Of spectra that come band by band."""
    return total(band.square() for band in bands).sqrt()


def _dominant(abundances: Tensor) -> Tensor:
    """The number of the endmember that a pixel has most of, from 1 (1, 1, h, w); 0 for none."""
    most, index = abundances.max(1, keepdim=True)
    return torch.where(most > 0, index + 1.0, 0.0)
