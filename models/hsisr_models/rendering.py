"""Images of which any window can be computed by itself, so that no more is than what is kept.

A tile is read with a halo that only the first layers of a network need. Layers on a fine grid cost
most and see little, so they are run on the window that is wanted and the few pixels around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Renderer = Callable[[slice, slice], Tensor]
"""Computes the window of rows and columns of what was prepared from a scene (N, B, h, w).

Both slices have a start and a stop and count pixels of the scene; the window of n times finer
values is (N, C, n rows, n cols). It is bit for bit that window of the whole.
"""


def everything(render: Renderer, scene: Tensor) -> Tensor:
    """All of what was prepared from a scene (N, B, h, w)."""
    height, width = scene.shape[2:]
    return render(slice(0, height), slice(0, width))


def cut(whole: Tensor, scale: int) -> Renderer:
    """Cuts windows of a scene out of an image (N, C, scale h, scale w) that was made of it."""
    return lambda rows, cols: whole[..., finer(rows, scale), finer(cols, scale)]


def pieces(features: Tensor, dim: int, values: int = 1 << 19) -> list[Tensor]:
    """Parts of features along a dimension, on a CPU of at most so many values each.

    What is computed from one of them then stays in cache. A gradient would be recorded in as many
    pieces, so where one is wanted there is just one.
    """
    if features.device.type != "cpu" or torch.is_grad_enabled():
        return [features]
    length = features.shape[dim]
    return list(torch.split(features, max(1, values * length // features.numel()), dim))


def finer(part: slice, factor: int) -> slice:
    """The same stretch of pixels on a grid `factor` times finer."""
    return slice(part.start * factor, part.stop * factor)


def grown(part: slice, by: int, size: int) -> slice:
    """A stretch of pixels and `by` more on either side, of the `size` that there are."""
    return slice(max(part.start - by, 0), min(part.stop + by, size))


def within(part: slice, around: slice) -> slice:
    """Where a stretch of pixels lies in one around it."""
    return slice(part.start - around.start, part.stop - around.start)


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
    def rendered(cls, render: Renderer, scene: Tensor, scale: int) -> Image:
        """What a renderer makes of a scene (N, B, h, w), `scale` times finer."""

        def window(rows: slice, cols: slice) -> Tensor:
            down, across = _coarser(rows, scale), _coarser(cols, scale)
            kept = within(rows, finer(down, scale)), within(cols, finer(across, scale))
            return render(down, across)[..., *kept]

        height, width = scene.shape[2:]
        return cls((height * scale, width * scale), window)

    def through(
        self, layer: Callable[[Tensor], Tensor], *, reach: int = 0, factor: int = 1
    ) -> Image:
        """What a layer makes of the image, on a grid `factor` times finer.

        Its pixels depend on those at most `reach` pixels of this image around their own.
        """

        height, width = self.size

        def window(rows: slice, cols: slice) -> Tensor:
            down = grown(_coarser(rows, factor), reach, height)
            across = grown(_coarser(cols, factor), reach, width)
            made = layer(self.window(down, across))
            kept = within(rows, finer(down, factor)), within(cols, finer(across, factor))
            return made[..., *kept]

        return Image((height * factor, width * factor), window)

    @classmethod
    def stacked(cls, images: list[Image]) -> Image:
        """Images of one size as one batch."""
        return cls(
            images[0].size,
            lambda rows, cols: torch.cat([image.window(rows, cols) for image in images]),
        )

    def joined(self, other: Image, join: Callable[[Tensor, Tensor], Tensor]) -> Image:
        """What is made pixel by pixel of the image and another one of its size."""
        return Image(
            self.size, lambda rows, cols: join(self.window(rows, cols), other.window(rows, cols))
        )

    def renderer(self, scale: int) -> Renderer:
        """As the image `scale` times finer than a scene."""
        return lambda rows, cols: self.window(finer(rows, scale), finer(cols, scale))


def _coarser(part: slice, factor: int) -> slice:
    return slice(part.start // factor, -(-part.stop // factor))
