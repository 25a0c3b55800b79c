"""MSNet: unmixing at a quarter, half and full resolution, from coarse to fine."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsisr_models.blocks import LEAK, LIVE, Conv, positive
from hsisr_models.contract import Outcome
from hsisr_models.exact import softmax
from hsisr_models.imaging import mix
from hsisr_models.losses import sad
from hsisr_models.unmix._layers import BatchNorm
from hsisr_models.unmix._mixing import LinearMixing, free

SOURCE = "Yu, Ma, Mei, Fan, Huang and Ma, IEEE JSTARS 15, 2022: MSNet"

_FACTORS = (4, 2, 1)
_BINOMIAL = (0.05, 0.25, 0.4, 0.25, 0.05)
_CHARBONNIER = 1e-3


class MsNet(LinearMixing):
    """Three encoders of three convolutions each, a finer one guided by the abundances of a coarser.

    A coarser scene is the mean of 2 x 2 or 4 x 4 pixels, so it matters where an image begins and
    the network has no finite `reach`. Its terms are `coarse_sad` and `coarse_mse`, of the two
    coarser reconstructions by endmembers of their own, and `edge`, between details of abundances of
    neighbouring resolutions. Differs from the published code in that endmembers are non-negative,
    the coarser ones start as copies and not as one memory shared by all, details are taken of any
    number of endmembers, not three, and the angle has a gradient everywhere.
    """

    terms = ("coarse_sad", "coarse_mse", "edge")
    independent = False
    reach = None
    coarse: nn.ParameterList

    def __init__(
        self,
        *,
        bands: int,
        endmembers: int,
        width: int = 96,
        dropout: float = 0.2,
        positivity: str = "clamp",
    ) -> None:
        super().__init__()
        self._begin(torch.rand(endmembers, bands), positivity)
        self.coarse = nn.ParameterList(self.weights.detach().clone() for _ in _FACTORS[1:])
        self.encoders = nn.ModuleList(
            _encoder(bands + (endmembers if index else 0), width, endmembers, dropout)
            for index in range(len(_FACTORS))
        )
        # shared by the two finer resolutions
        self.carry = Conv(endmembers, endmembers, 1)
        self.read = Conv(bands, bands, 1)
        self.footprint = LIVE * width

    @torch.no_grad()
    def set_endmembers(self, spectra: Tensor) -> None:
        """Start from given spectra (p, B) at all resolutions."""
        super().set_endmembers(spectra)
        for weights in self.coarse:
            weights.copy_(free(spectra, self.positivity))

    @torch.no_grad()
    def project(self) -> None:
        """Set clamped weights that have become negative to zero, where they can grow again."""
        super().project()
        if self.positivity == "clamp":
            for weights in self.coarse:
                weights.clamp_min_(0)

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        return self._pyramid(_scenes(scene))[-1]

    def encode_with_terms(self, scene: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The abundances, and the terms of the coarser resolutions."""
        scenes = _scenes(scene)
        maps = self._pyramid(scenes)
        spectra = [positive(weights, self.positivity) for weights in self.coarse]
        outcomes = [Outcome(x, mix(a, e)) for x, a, e in zip(scenes, maps, spectra, strict=False)]
        angles = [sad.loss(outcome) for outcome in outcomes]
        squares = [F.mse_loss(outcome.estimate, outcome.truth) for outcome in outcomes]
        edges = [_edge(coarse, fine) for coarse, fine in pairwise(maps)]
        return maps[-1], {
            "coarse_sad": torch.stack(angles).sum(),
            "coarse_mse": torch.stack(squares).sum(),
            "edge": torch.stack(edges).sum(),
        }

    def _pyramid(self, scenes: list[Tensor]) -> list[Tensor]:
        """Abundances of scenes from the coarsest to the finest."""
        logits: list[Tensor] = []
        for encoder, scene in zip(self.encoders, scenes, strict=True):
            seen = scene
            if logits:
                size = scene.shape[2:]
                guide = F.interpolate(logits[-1].float(), size, mode="bilinear")
                seen = torch.cat((self.read(scene), self.carry(guide)), 1)
            logits.append(encoder(seen))
        return [softmax(values.float()) for values in logits]


def _encoder(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (width, width // 2):
        layers += [Conv(inputs, channels, 3), nn.LeakyReLU(LEAK)]
        layers += [BatchNorm(channels), nn.Dropout(dropout)]
        inputs = channels
    layers.append(Conv(inputs, outputs, 3))
    for layer in layers:
        if isinstance(layer, Conv):
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers)


def _scenes(scene: Tensor) -> list[Tensor]:
    return [_pooled(scene, factor) if factor > 1 else scene for factor in _FACTORS]


def _pooled(images: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d(images, factor, ceil_mode=True)


def _edge(coarse: Tensor, fine: Tensor) -> Tensor:
    """The Charbonnier distance between the details of two maps, one twice as fine."""
    difference = _details(_pooled(fine, 2)) - _details(coarse)
    return (difference.square() + _CHARBONNIER**2).sqrt().mean()


def _details(maps: Tensor) -> Tensor:
    """The finest level of a Laplacian pyramid (Burt and Adelson 1983)."""
    thinned = torch.zeros_like(maps)
    thinned[..., ::2, ::2] = 4 * _blurred(maps)[..., ::2, ::2]
    return maps - _blurred(thinned)


def _blurred(maps: Tensor) -> Tensor:
    taps = maps.new_tensor(_BINOMIAL)
    count, reach = maps.shape[1], len(_BINOMIAL) // 2
    kernel = (taps[:, None] * taps).expand(count, 1, -1, -1)
    return F.conv2d(F.pad(maps, (reach,) * 4, mode="replicate"), kernel, groups=count)


build = MsNet
