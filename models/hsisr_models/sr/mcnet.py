"""MCNet: convolutions along the bands and within them, mixed with such within them alone.

For comparison, with the published layers but for the mean spectrum of one camera that its authors
take off. Features are (N, B, C, h, w), one image of C channels for each band; every convolution in
three dimensions is computed as exact ones in two.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from hsisr_models.blocks import Conv
from hsisr_models.exact import convolve
from hsisr_models.networks import SrNetwork
from hsisr_models.plugin import MaterialPlugIn
from hsisr_models.rendering import Area, Image, Renderer

SOURCE = "Li, Wang, Li, MCNet, Remote Sensing 12(10), 2020; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_UNITS = 3
_LIVE = 10
"""Images of features that exist at a time in a block, about."""


class MCNet(SrNetwork):
    """The network of Li et al.; it takes any number of bands.

    Its features are as many for every band as those of other networks for all, and so is its need
    of memory.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 64,
        depth: int = 4,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale = scale
        self.stem = weight_norm(_InPlane(3, width, 3))
        self.body = nn.ModuleList(MixedBlock(width) for _ in range(depth))
        self.enlarge = weight_norm(_Enlarge(width, scale))
        self.material = MaterialPlugIn(width, endmembers, material)
        self.head = weight_norm(_Collect(width))
        self.reach = 2 + depth * (_UNITS + 3)
        self.uses_abundances = self.material.is_on
        self.abundance_reach = self.material.reach(1, scale)
        self.footprint = _LIVE * width * bands

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        bands = scene.shape[1]
        features = shallow = self.stem(_with_neighbours(scene[:, :, None]))
        for block in self.body:
            features = block(features) + shallow

        def enlarged(images: Tensor) -> Tensor:
            fine: Tensor = self.enlarge(_by_bands(images, bands))
            return fine.flatten(0, 1)

        def collected(images: Tensor) -> Tensor:
            sharp: Tensor = self.head(_by_bands(images, bands))
            return sharp.float()

        fine = Image.of(features.flatten(0, 1)).through(enlarged, reach=1, factor=self.scale)
        if abundances is not None:
            # the features of every band are an image of the batch
            abundances = abundances.repeat_interleave(bands, 0)
        return self.material(fine, abundances).through(collected, reach=1).renderer(self.scale)


class MixedBlock(nn.Module):
    """Units that see along the bands, each read by a branch that sees its own band alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(_separable(channels) for _ in range(_UNITS))
        self.branches = nn.ModuleList(_in_plane(channels) for _ in range(_UNITS))
        self.gains = nn.Parameter(torch.ones(_UNITS))
        self.mix = weight_norm(_InPlane(_UNITS * channels, channels, 1))
        self.last = _separable(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, B, C, h, w) to the same shape."""
        found, parts = features, []
        for unit, branch, gain in zip(self.units, self.branches, self.gains, strict=True):
            found = found + unit(found)
            parts.append(gain * branch(found))
        mixed: Tensor = self.last(features + self.mix(torch.cat(parts, 2)).relu_())
        return mixed


def _separable(channels: int) -> nn.Sequential:
    return nn.Sequential(
        weight_norm(_InPlane(channels, channels, 3)),
        nn.ReLU(inplace=True),
        weight_norm(_AlongBands(channels)),
        nn.ReLU(inplace=True),
    )


def _in_plane(channels: int) -> nn.Sequential:
    return nn.Sequential(
        weight_norm(_InPlane(channels, channels, 3)),
        nn.ReLU(inplace=True),
        weight_norm(_InPlane(channels, channels, 3)),
    )


class _InPlane(Conv):
    """1 x k x k."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, B, inputs, h, w) to (N, B, outputs, h, w)."""
        return _by_bands(super().forward(features.flatten(0, 1)), features.shape[1])


class _AlongBands(nn.Conv2d):
    """3 x 1 x 1, as a convolution over images with a row for each band."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, features: Tensor) -> Tensor:
        """(N, B, C, h, w) to the same shape."""
        turned = features.transpose(1, 2)
        mixed = convolve(turned.flatten(3), self.weight, self.bias)
        return mixed.reshape(turned.shape).transpose(1, 2)


class _Spread(NamedTuple):
    """What a pixel gives to its own fine pixels, or to those of a neighbour, along one axis."""

    source: slice
    """The pixels that give."""
    target: slice
    """The pixels whose fine ones receive."""
    phases: slice
    """Which of their fine ones."""
    taps: slice
    """By which part of the kernel."""


class _Enlarge(nn.Conv2d):
    """The transposed 3 x (n+2) x (n+2), of stride n within the bands.

    A fine pixel receives from the pixel that it lies in and, at the edge of that, from the next
    one: nine convolutions of single pixels, laid over one another. torch's own is not exact.
    """

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__(3 * channels, channels, scale + 2)
        self.spreads = (
            _Spread(slice(None), slice(None), slice(scale), slice(1, scale + 1)),
            _Spread(slice(-1), slice(1, None), slice(1), slice(scale + 1, None)),
            _Spread(slice(1, None), slice(-1), slice(scale - 1, None), slice(1)),
        )
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """(N, B, C, h, w) to (N, B, C, n h, n w)."""
        height, width = features.shape[3:]
        stacked = _with_neighbours(features).flatten(0, 1)
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        weight, bias = self.weight, self.bias
        assert bias is not None
        size = len(stacked), height, self.scale, width, self.scale, len(bias)
        fine = bias.to(stacked.dtype).expand(size).clone(memory_format=torch.contiguous_format)
        for down, across in product(self.spreads, self.spreads):
            given = _spread(stacked, weight[..., down.taps, across.taps])
            place = down.target, down.phases, across.target, across.phases
            fine[:, *place] += given[:, down.source, :, across.source]
        image = fine.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return _by_bands(image, features.shape[1])


class _Collect(Conv):
    """3 x 3 x 3, of all channels to one."""

    def __init__(self, channels: int) -> None:
        super().__init__(3 * channels, 1, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(N, B, C, h, w) to (N, B, h, w)."""
        # each band gives its share to itself and its neighbours: so many channels are not stacked
        weight = self.weight.reshape(3, -1, *self.weight.shape[2:])
        shares = _by_bands(convolve(features.flatten(0, 1), weight), features.shape[1])
        padded = _between_empty_bands(shares)
        total = padded[:, :-2, 0] + padded[:, 1:-1, 1] + padded[:, 2:, 2]
        return total if self.bias is None else total + self.bias


def _by_bands(images: Tensor, bands: int) -> Tensor:
    """(N B, ...) to (N, B, ...)."""
    return images.reshape(-1, bands, *images.shape[1:])


def _spread(pixels: Tensor, weight: Tensor) -> Tensor:
    """Every pixel of (N, C, h, w) by a kernel (D, C, a, b), to (N, h, a, w, b, D)."""
    each, _, down, across = weight.shape
    kernel = weight.permute(2, 3, 0, 1).flatten(0, 2)[:, :, None, None]
    spread = convolve(pixels, kernel).permute(0, 2, 3, 1)
    return spread.reshape(*spread.shape[:3], down, across, each).transpose(2, 3)


def _with_neighbours(features: Tensor) -> Tensor:
    """The channels of each band between those of the bands beside it, (N, B, 3C, h, w)."""
    padded = _between_empty_bands(features)
    return torch.cat((padded[:, :-2], features, padded[:, 2:]), 2)


def _between_empty_bands(features: Tensor) -> Tensor:
    return F.pad(features, (0, 0, 0, 0, 0, 0, 1, 1))


build = MCNet
