"""Images of which any window can be computed by itself, so that no more is than what is kept.

A tile is read with a halo that only the first layers of a network need. Layers on a fine grid cost
most and see little, so they are run on the window that is wanted and the few pixels around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Area = tuple[slice, slice]
"""Rows and columns, each with a start and a stop."""
Renderer = Callable[[slice, slice], Tensor]
"""Computes the window of rows and columns of what was prepared from a scene (N, B, h, w).

Both slices have a start and a stop and count pixels of the scene; the window of n times finer
values is (N, C, n rows, n cols). It is bit for bit that window of the whole,
and its caller's to change.
"""
_CACHED = 1 << 20
"""So many values stay in cache while something is made of them."""
_TURNED = 1 << 17
"""So many do where channels that lie side by side are fetched one after the other."""


def everything(render: Renderer, scene: Tensor) -> Tensor:
    """All of what was prepared from a scene (N, B, h, w)."""
    return render(*all_of(scene))


def all_of(image: Tensor) -> Area:
    """The window that is all of (N, C, h, w)."""
    height, width = image.shape[2:]
    return slice(0, height), slice(0, width)


def cut(whole: Tensor, scale: int) -> Renderer:
    """Copies windows of a scene from an image (N, C, scale h, scale w) that was made of it."""
    return lambda rows, cols: whole[..., *finer((rows, cols), scale)].clone()


def pieces(features: Tensor, dim: int, values: int = _CACHED) -> list[Tensor]:
    """Parts of features along a dimension, on a CPU of at most so many values each.

    What is computed from one of them then stays in cache. A gradient would be recorded in as many
    pieces, so where one is wanted there is just one.
    """
    if features.device.type != "cpu" or torch.is_grad_enabled():
        return [features]
    length = features.shape[dim]
    return list(torch.split(features, max(1, values * length // features.numel()), dim))


def piecewise(function: Callable[[Tensor], Tensor], images: Tensor, values: int) -> Tensor:
    """What `function` makes of every image (N, ...), a few at a time on a CPU, as `pieces`.

    For a gradient it is computed again rather than kept.
    """
    if images.device.type != "cpu":
        return function(images)
    parts = torch.split(images, max(1, values * len(images) // images.numel()))
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])
    return torch.cat([function(part) for part in parts])


def weighted(features: Tensor, weights: Callable[[Tensor], Tensor], dim: int) -> Tensor:
    """Features times the weights that are made of them, piece by piece along a dimension.

    Where no gradient is wanted they take the place of the features.
    """
    if torch.is_grad_enabled():
        return features * weights(features)
    for part in pieces(features, dim):
        part *= weights(part)
    return features


def added(
    image: Tensor, features: Tensor, made: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """An image (N, B, h, w) that nobody else needs, plus features, or what is made of them.

    Piece by piece, and band by band in memory as the image is. An addition across two orders of
    memory would fetch every value by itself.
    """
    strips = pieces(image, 2, _TURNED if made is None else _CACHED)
    made = made or Tensor.contiguous
    parts = torch.split(features, strips[0].shape[2], 2)
    for strip, part in zip(strips, parts, strict=True):
        strip += made(part)
    return image


def finer(area: Area, factor: int) -> Area:
    """The same pixels on a grid `factor` times finer."""
    rows, cols = (slice(part.start * factor, part.stop * factor) for part in area)
    return rows, cols


def grown(window: Area, by: int, size: Sequence[int]) -> Area:
    """A window and the pixels at most `by` around it, of an image of so many rows and columns."""
    rows, cols = (
        slice(max(part.start - by, 0), min(part.stop + by, length))
        for part, length in zip(window, size, strict=True)
    )
    return rows, cols


def within(window: Area, around: Area) -> Area:
    """Where a window lies in one around it."""
    rows, cols = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(window, around, strict=True)
    )
    return rows, cols


@dataclass(frozen=True)
class Image:
    """An image (N, C, h, w) that is not computed before a window of it is wanted."""

    size: tuple[int, int]
    window: Callable[[slice, slice], Tensor]
    """Rows and columns, of this image's own pixels, to (N, C, rows, cols)."""

    @classmethod
    def of(cls, pixels: Tensor) -> Image:
        """One that is there already."""
        height, width = pixels.shape[2:]
        return cls((height, width), lambda rows, cols: pixels[..., rows, cols])

    @classmethod
    def part(cls, pixels: Tensor, place: Area, size: tuple[int, int]) -> Image:
        """One of which a window is there already, and nothing else can be had."""
        return cls(size, lambda rows, cols: pixels[..., *within((rows, cols), place)])

    @classmethod
    def rendered(cls, render: Renderer, scene: Tensor, scale: int) -> Image:
        """What a renderer makes of a scene (N, B, h, w), `scale` times finer."""

        def window(rows: slice, cols: slice) -> Tensor:
            coarse = _coarser((rows, cols), scale)
            return render(*coarse)[..., *within((rows, cols), finer(coarse, scale))]

        height, width = scene.shape[2:]
        return cls((height * scale, width * scale), window)

    def whole(self) -> Tensor:
        """All of it."""
        height, width = self.size
        return self.window(slice(0, height), slice(0, width))

    def through(
        self,
        layer: Callable[[Tensor], Tensor],
        *,
        reach: int = 0,
        factor: int = 1,
        inner: Callable[[Tensor], Tensor] | None = None,
    ) -> Image:
        """What a layer makes of the image, on a grid `factor` times finer.

        Its pixels depend on those at most `reach` pixels of this image around their own. `inner`
        makes only pixels that see nothing beyond the border of what it is given.
        """

        def window(rows: slice, cols: slice) -> Tensor:
            coarse = _coarser((rows, cols), factor)
            seen = grown(coarse, reach, self.size)
            pixels = self.window(*seen)
            if inner is not None and within(coarse, seen) == _inside(seen, reach):
                made, around = inner(pixels), coarse
            else:
                made, around = layer(pixels), seen
            return made[..., *within((rows, cols), finer(around, factor))]

        return Image((self.size[0] * factor, self.size[1] * factor), window)

    def joined(self, other: Image, join: Callable[[Tensor, Tensor], Tensor]) -> Image:
        """What is made pixel by pixel of the image and another one of its size."""
        return Image(
            self.size, lambda rows, cols: join(self.window(rows, cols), other.window(rows, cols))
        )

    def renderer(self, scale: int) -> Renderer:
        """As the image `scale` times finer than a scene."""
        return lambda rows, cols: self.window(*finer((rows, cols), scale))


def _inside(window: Area, margin: int) -> Area:
    """Where the pixels of a window lie in it that are a margin away from its border."""
    rows, cols = (slice(margin, part.stop - part.start - margin) for part in window)
    return rows, cols


def _coarser(window: Area, factor: int) -> Area:
    """The pixels of a grid `factor` times coarser that a window lies in."""
    rows, cols = (slice(part.start // factor, -(-part.stop // factor)) for part in window)
    return rows, cols
