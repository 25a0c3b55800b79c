"""The parts that networks are built from (paper III-C, III-D)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.exact import convolve
from hsisr_models.rendering import Image, pieces

LIVE = 4
"""Images of features that exist at a time in a residual block, about."""
LEAK = 0.2
"""Slope of LeakyReLU; the paper gives none, this is the value of its author's MSNet."""


class Conv(nn.Conv2d):
    """A convolution that keeps the size, with zeros beyond the border.

    The kernel's weights lie `dilation` pixels apart. Raises `ValueError` for a kernel without a
    middle.
    """

    __call__: Callable[..., Tensor]

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, bias: bool = True, dilation: int = 1
    ) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} has no middle, it should be odd")
        reach = dilation * (kernel // 2)
        super().__init__(inputs, outputs, kernel, padding=reach, bias=bias, dilation=dilation)
        self.reach = reach

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h, w)."""
        return convolve(features, self.weight, self.bias, dilation=self.dilation[0])


def zero(layer: nn.Conv2d) -> None:
    """Let a layer start with no effect."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


@torch.no_grad()
def start_alike(layer: nn.Conv2d, subpixels: int) -> None:
    """Let all sub-pixels of a pixel shuffle start with the same weights (Aitken et al. 2017).

    Otherwise there is a grid in the output that training would have to remove.
    """
    for parameter in layer.parameters():
        parameter.copy_(parameter[::subpixels].repeat_interleave(subpixels, 0))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation across the channels of each pixel (paper III-C).

    Works on (N, C, h, w). A pixel is normalised by itself, so a tile and the whole scene agree.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise every pixel; same shape."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module, ABC):
    """A layer that pools over the image, so that every output pixel depends on every input pixel.

    Once what it pooled is `frozen` it is local.
    """

    frozen: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frozen", None, persistent=False)

    @abstractmethod
    def survey(self, *inputs: Tensor) -> None:
        """Freeze it to what it sees, on average, in what `forward` is given."""


class ChannelAttention(Attention):
    """Weighs the channels by their mean over the image (paper III-C; Zhang et al. 2018)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(4, channels // reduction)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Scale the channels of (N, C, h, w)."""
        if self.frozen is not None:
            return features * self.frozen
        weights: Tensor = self.weigh(features.mean((2, 3), keepdim=True))
        return features * weights

    @torch.no_grad()
    def survey(self, *inputs: Tensor) -> None:
        """Freeze the weights of the channels to those of the mean of (N, C, h, w)."""
        (features,) = inputs
        pooled = features.float().mean((0, 2, 3), keepdim=True)
        self.frozen = self.weigh(pooled.to(features.dtype))


class AttentionAgain(ChannelAttention):
    """A channel attention that a network runs once more, frozen to what it sees there.

    Its weights are those of the first one, which keeps them; a model file holds them once.
    """

    def __init__(self, first: ChannelAttention) -> None:
        Attention.__init__(self)
        self.__dict__["weigh"] = first.weigh


class GRAM(nn.Module):
    """General residual attention module: a spectral, then a spatial residual block (Fig. 5)."""

    def __init__(self, channels: int, *, kernel: int, spectral_kernel: int, reduction: int) -> None:
        super().__init__()
        self.spectral = nn.Sequential(
            ChannelNorm(channels),
            Conv(channels, channels, spectral_kernel),
            nn.LeakyReLU(LEAK),
            ChannelAttention(channels, reduction),
        )
        self.spatial = nn.Sequential(
            ChannelNorm(channels),
            Conv(channels, channels, kernel),
            nn.ReLU(),
            Conv(channels, channels, kernel),
        )
        self.reach = spectral_kernel // 2 + 2 * (kernel // 2)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        features = features + self.spectral(features)
        spatial: Tensor = self.spatial(features)
        return features + spatial


class SubpixelConv(Conv):
    """A convolution to a grid `factor` times finer, by pixel shuffle (Shi et al. 2016).

    `activation` works value by value.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs * factor**2, 3, bias=bias)
        self.factor = factor
        start_alike(self, factor**2)

    def forward(
        self, features: Tensor, activation: Callable[[Tensor], Tensor] = lambda x: x
    ) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, factor h, factor w)."""
        # with the channels of a sub-pixel side by side, the shuffle copies whole runs of memory
        order = torch.arange(len(self.weight)).reshape(-1, self.factor**2).T.flatten()
        bias = None if self.bias is None else self.bias[order]
        wide = convolve(features, self.weight[order], bias)
        fine = torch.cat([self._spread(activation(rows)) for rows in pieces(wide, 2)], 1)
        return fine.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def _spread(self, wide: Tensor) -> Tensor:
        """(N, factor factor C, h, w) to (N, h, factor, w, factor, C)."""
        last = wide.permute(0, 2, 3, 1)
        shape = (*last.shape[:3], self.factor, self.factor, -1)
        return last.reshape(shape).transpose(2, 3)


class UpsampleStage(nn.Sequential):
    """One stage of progressive up-sampling: convolution and pixel shuffle (paper III-D)."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(SubpixelConv(channels, channels, factor), nn.LeakyReLU(LEAK))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, channels, factor h, factor w)."""
        wide, activation = self
        return cast(Tensor, wide(features, activation))


class MaterialAwareModule(nn.Module):
    """Lets the abundances of the low-resolution scene steer the features (Fig. 3).

    The paper leaves the module undefined. `film` gives every pixel a gain and a shift per channel,
    computed from the replicated abundances; `concat` mixes them in by a 1x1 convolution. Both
    start as the identity, so a network without the module is their exact starting point.
    """

    KINDS = ("film", "concat")

    def __init__(self, channels: int, endmembers: int, kind: str) -> None:
        super().__init__()
        if kind not in self.KINDS:
            raise ValueError(f"no material-aware module '{kind}'; known: {', '.join(self.KINDS)}")
        self.kind = kind
        self.read = nn.Sequential(Conv(endmembers, channels, 3), nn.ReLU())
        self.steer = (
            Conv(channels, 2 * channels, 1) if kind == "film" else Conv(2 * channels, channels, 1)
        )
        zero(self.steer)

    def forward(self, features: Image, abundances: Tensor) -> Image:
        """(N, C, zh, zw) and (N, p, h, w) to (N, C, zh, zw), z being the zoom so far."""
        zoom = features.size[0] // abundances.shape[2]
        replicated = Image.of(abundances).through(partial(_replicated, zoom=zoom), factor=zoom)
        return features.joined(replicated.through(self.read, reach=1), self._steered)

    def _steered(self, features: Tensor, materials: Tensor) -> Tensor:
        if self.kind == "concat":
            return features + self.steer(torch.cat((features, materials), 1))
        # by two convolutions: half the channels of one image are not side by side in memory
        weights, biases = (cast(Tensor, x).chunk(2) for x in (self.steer.weight, self.steer.bias))
        gain = convolve(materials, weights[0], 1 + biases[0])
        shift = convolve(materials, weights[1], biases[1])
        return shift.addcmul_(features, gain)


def _replicated(image: Tensor, zoom: int) -> Tensor:
    return image.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)


def stages(scale: int) -> list[int]:
    """The factors of progressive up-sampling: to n/2 first, then the last factor of 2.

    A factor that is not a product of twos is one stage: 8 is 2, 2, 2; 6 is 3, 2; 5 is 5.
    """
    factors = []
    while scale % 2 == 0:
        factors.append(2)
        scale //= 2
    return [scale, *factors] if scale > 1 else factors


def coarse_reach(factors: list[int], reach: int) -> int:
    """How many pixels around their own are needed before up-sampling by `factors`.

    Every stage begins with a 3x3 convolution; `reach` is that of what follows on the finest grid.
    """
    for factor in reversed(factors):
        reach = 1 + math.ceil(reach / factor)
    return reach


def attention_layers(network: nn.Module) -> Iterator[Attention]:
    """The attention layers of a network, in the order in which they are run."""
    return (layer for layer in network.modules() if isinstance(layer, Attention))


def is_local(network: nn.Module) -> bool:
    """Whether no attention layer pools over its image."""
    return all(layer.frozen is not None for layer in attention_layers(network))


def thaw_attention(network: nn.Module) -> None:
    """Let every attention layer pool over its image again."""
    for layer in attention_layers(network):
        layer.frozen = None


@torch.no_grad()
def freeze_attention(network: nn.Module, *samples: Tensor) -> None:
    """Fix all attention of a network to what it sees, on average, in samples of one scene.

    `samples` (N, C, h, w) are the inputs of the network. Every layer is fixed when they reach it,
    so what it sees comes from the network that will run. Afterwards the network is local.
    """
    thaw_attention(network)
    layers = list(attention_layers(network))

    def fix(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, Attention)
        layer.survey(*inputs)
        if is_local(network):
            raise _AllFixed

    hooks = [layer.register_forward_pre_hook(fix) for layer in layers]
    try:
        if layers:
            network(*samples)
    except _AllFixed:
        pass
    finally:
        for hook in hooks:
            hook.remove()


class _AllFixed(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass: what comes after the last attention is not wanted."""


def inverse_softplus(values: Tensor) -> Tensor:
    """The x for which softplus(x) = `values`; stable for large and for tiny values."""
    values = values.clamp_min(1e-6)
    return values + torch.log(-torch.expm1(-values))


POSITIVITIES = ("softplus", "clamp")


def positive(raw: Tensor, how: str) -> Tensor:
    """Non-negative numbers from free ones: `softplus`, or `clamp` at zero."""
    return F.softplus(raw) if how == "softplus" else raw.clamp_min(0)
