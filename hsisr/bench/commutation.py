"""Whether encoder and degradation commute, as the loss on abundances presumes.

Only if the abundances of a coarse scene are the means of those of the fine one (Eq. 4 of the paper)
can what an encoder makes of one resolution be held against the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hsisr.cube import Block
from hsisr.data.patches import PatchSet
from hsisr.scene import gaps
from hsisr_models.networks import UnmixNetwork


@dataclass(frozen=True)
class Commutation:
    """How far an encoder is from commuting with the degradation."""

    error: float
    """Mean of |pool(Enc(HR)) - Enc(LR)| over pixels and endmembers."""
    spread: float
    """Mean of |Enc(LR) - its mean over the pixels|: the error of maps that show nothing."""

    @property
    def relative(self) -> float:
        """The error in units of the spread, NaN if there is none.

        An encoder that tells pixels hardly apart has little room for error.
        """
        return self.error / self.spread if self.spread else float("nan")


@torch.no_grad()
def commutation(network: UnmixNetwork, patches: PatchSet, split: str) -> Commutation:
    """The error of an encoder on the blocks of a split; pixels without data do not count."""
    pairs = [_maps(network, patches, low, high) for low, high in patches.blocks(split)]
    fine, coarse = (torch.cat(side, 1).double() for side in zip(*pairs, strict=True))
    return Commutation(
        error=float((fine - coarse).abs().mean()),
        spread=float((coarse - coarse.mean(1, keepdim=True)).abs().mean()),
    )


def _maps(
    network: UnmixNetwork, patches: PatchSet, low: Block, high: Block
) -> tuple[Tensor, Tensor]:
    """pool(Enc(HR)) and Enc(LR) of a block, (p, N): of the pixels that hold data in both."""
    scale = patches.scale
    fine, coarse = (network.encode(_scene(network, block, patches.peak)) for block in (high, low))
    there = [np.asarray(np.isfinite(block).all(0)) for block in (high, low)]
    known = torch.from_numpy(~gaps.pooled(~there[0], scale) & there[1])
    return avg_pool2d(fine, scale)[0].cpu()[:, known], coarse[0].cpu()[:, known]


def _scene(network: UnmixNetwork, block: Block, peak: float) -> Tensor:
    filled = gaps.fill(np.array(block), gaps.band_means(block))
    return torch.from_numpy(filled)[None].to(network.endmembers.device) / peak
