"""The paper's unmixing autoencoder: GRAMs and a soft-max encode, the endmembers decode (Fig. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import GRAM, LIVE, POSITIVITIES, Conv, inverse_softplus, positive
from hsisr_models.exact import softmax
from hsisr_models.imaging import mix
from hsisr_models.networks import UnmixNetwork

SOURCE = "Yu, UnmixingSR, arXiv:2407.06525, III-B"


class GramAutoencoder(UnmixNetwork):
    """Abundances from a scene by convolution, the scene from abundances by linear mixing (Eq. 1).

    The soft-max keeps abundances non-negative and summing to one; endmembers are kept
    non-negative by `positivity`: `softplus` of free weights, or weights clamped at zero.
    """

    def __init__(
        self,
        *,
        bands: int,
        endmembers: int,
        width: int = 64,
        depth: int = 2,
        stem_kernel: int = 3,
        kernel: int = 3,
        spectral_kernel: int = 3,
        reduction: int = 16,
        positivity: str = "softplus",
    ) -> None:
        super().__init__()
        if positivity not in POSITIVITIES:
            raise ValueError(f"no positivity '{positivity}'; known: {', '.join(POSITIVITIES)}")
        grams = [
            GRAM(width, kernel=kernel, spectral_kernel=spectral_kernel, reduction=reduction)
            for _ in range(depth)
        ]
        self.encoder = nn.Sequential(
            Conv(bands, width, stem_kernel), *grams, Conv(width, endmembers, 1)
        )
        self.positivity = positivity
        self.weights = nn.Parameter(torch.rand(endmembers, bands))
        self.footprint = LIVE * width
        self.reach = stem_kernel // 2 + sum(gram.reach for gram in grams)

    @property
    def endmembers(self) -> Tensor:
        """The endmember spectra (p, B), in the units of the scene."""
        return positive(self.weights, self.positivity)

    @torch.no_grad()
    def set_endmembers(self, spectra: Tensor) -> None:
        """Start from given spectra (p, B)."""
        raw = inverse_softplus(spectra) if self.positivity == "softplus" else spectra
        self.weights.copy_(raw)

    @torch.no_grad()
    def project(self) -> None:
        """Set clamped weights that have become negative to zero, where they can grow again."""
        if self.positivity == "clamp":
            self.weights.clamp_min_(0)

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        logits: Tensor = self.encoder(scene)
        return softmax(logits.float())

    def decode(self, abundances: Tensor) -> Tensor:
        """Abundances (N, p, h, w) to the scene (N, B, h, w) they mix to."""
        return mix(abundances, self.endmembers)


build = GramAutoencoder
