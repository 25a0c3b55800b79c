"""The paper's unmixing autoencoder: GRAMs and a soft-max encode, the endmembers decode (Fig. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsisr_models.blocks import GRAM, LIVE, Conv
from hsisr_models.exact import softmax
from hsisr_models.unmix._mixing import LinearMixing

SOURCE = "Yu, UnmixingSR, arXiv:2407.06525, III-B"


class GramAutoencoder(LinearMixing):
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
        grams = [
            GRAM(width, kernel=kernel, spectral_kernel=spectral_kernel, reduction=reduction)
            for _ in range(depth)
        ]
        self.encoder = nn.Sequential(
            Conv(bands, width, stem_kernel), *grams, Conv(width, endmembers, 1)
        )
        self._begin(torch.rand(endmembers, bands), positivity)
        self.footprint = LIVE * width
        self.reach = stem_kernel // 2 + sum(gram.reach for gram in grams)

    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""
        logits: Tensor = self.encoder(scene)
        return softmax(logits.float())


build = GramAutoencoder
