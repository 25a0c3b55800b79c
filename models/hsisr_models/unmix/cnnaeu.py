"""CNNAEU: a convolutional autoencoder whose decoder also mixes neighbouring pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import LIVE, positive
from hsisr_models.contract import Outcome
from hsisr_models.exact import convolve, softmax
from hsisr_models.losses import sad
from hsisr_models.unmix._layers import BatchNorm, ReflectConv, reflected
from hsisr_models.unmix._mixing import LinearMixing, free

SOURCE = "Palsson, Ulfarsson and Sveinsson, IEEE TGRS 59(1), 2021"

_LEAK = 0.02
_SCALE = 3.0
"""The factor that sharpens the soft-max."""
_MOMENTUM = 0.01
"""Keras's default, counted from the other end."""


class Cnnaeu(LinearMixing):
    """Two convolutions and a sharpened soft-max encode; a wide convolution decodes.

    Weights of the decoder are (p, B, k, k); an endmember is their sum over the window, so that a
    scene of one mixture everywhere is decoded to just this mixture. (Public ports take the mean,
    which loses the scale.) `decode` is this linear mixing; the wide convolution acts in the loss
    term `spatial_sad`, the spectral angle between its output and the scene. That angle does not
    see brightness, so the scale of an endmember is that of its start.
    """

    terms = ("spatial_sad",)
    independent = False
    reach = 1
    footprint: int

    def __init__(
        self,
        *,
        bands: int,
        endmembers: int,
        width: int = 48,
        window: int = 13,
        dropout: float = 0.2,
        positivity: str = "clamp",
    ) -> None:
        if window % 2 == 0:
            raise ValueError(f"a window of {window} has no middle, it should be odd")
        shape = (endmembers, bands, window, window)
        super().__init__()
        self.encoder = nn.Sequential(
            ReflectConv(bands, width, 3, bias=False),
            nn.LeakyReLU(_LEAK),
            BatchNorm(width, _MOMENTUM),
            nn.Dropout2d(dropout),
            ReflectConv(width, endmembers, 1, bias=False),
            nn.LeakyReLU(_LEAK),
            BatchNorm(endmembers, _MOMENTUM),
            nn.Dropout2d(dropout),
        )
        self._begin(torch.rand(shape) / window**2, positivity)
        self.footprint = LIVE * width

    @property
    def endmembers(self) -> Tensor:
        """The endmember spectra (p, B), in the units of the scene."""
        return positive(self.weights, self.positivity).sum((2, 3))

    @torch.no_grad()
    def set_endmembers(self, spectra: Tensor) -> None:
        """Start from given spectra (p, B), spread evenly over the window."""
        share = spectra[:, :, None, None] / self.weights[0, 0].numel()
        self.weights.copy_(free(share, self.positivity).expand_as(self.weights))
        self.start.copy_(self.endmembers)

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        return softmax(_SCALE * self.encoder(scene).float())

    def encode_with_terms(self, scene: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The abundances, and how far the wide convolution of them is from the scene."""
        abundances = self.encode(scene)
        kernel = positive(self.weights, self.positivity).transpose(0, 1)
        side = kernel.shape[-1] // 2
        wide = convolve(reflected(abundances, side), kernel)
        spatial = wide[..., side : wide.shape[2] - side, side : wide.shape[3] - side]
        return abundances, {"spatial_sad": sad.loss(Outcome(scene, spatial))}


build = Cnnaeu
