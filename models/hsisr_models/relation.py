"""How the abundances of two resolutions are compared: AbunLoss, Eq. 11, read in four ways.

By the paper A_SR should equal Deconv(A_LR); it does not define Deconv, and its Fig. 2 replicates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv_transpose2d, softplus

from hsisr_models.blocks import inverse_softplus

KINDS = ("pool", "nearest", "hr", "deconv")


class AbundanceRelation(nn.Module):
    """Pairs the abundances of an estimate with what they should be.

    `pool` compares their mean over n x n pixels with the low resolution; at the truth the two agree
    if a coarse pixel is the mean of the fine ones. `nearest` compares them with the replicated low
    resolution, `deconv` with a learned interpolation of it, `hr` with the abundances of the true
    scene, which training knows.
    Raises `ValueError` for an unknown kind.
    """

    def __init__(self, kind: str, endmembers: int, scale: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"no relation of abundances '{kind}'; known: {', '.join(KINDS)}")
        self.kind, self.scale = kind, scale
        self.deconv = Deconv(endmembers, scale) if kind == "deconv" else None

    def forward(self, sr: Tensor, lr: Tensor, hr: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Two maps of one shape that should agree, from the abundances (N, p, nh, nw) of the
        estimate, (N, p, h, w) of the low resolution and (N, p, nh, nw) of the truth.

        Raises `ValueError` where `hr` is needed and missing.
        """
        if self.kind == "pool":
            return avg_pool2d(sr, self.scale), lr
        if self.kind == "nearest":
            return sr, lr.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        if self.deconv is not None:
            return sr, self.deconv(lr)
        if hr is None:
            raise ValueError("the relation 'hr' needs the abundances of the true scene")
        return sr, hr


class Deconv(nn.Module):
    """Interpolates abundances by a learned kernel for each endmember, starting at bilinear.

    The kernel is non-negative and what it yields is divided by its sum, so the result stays on
    the simplex.
    """

    def __init__(self, endmembers: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        width = 2 * scale - scale % 2
        line = 1 - (torch.arange(width) - (width - 1) / 2).abs() / scale
        kernel = torch.outer(line, line).expand(endmembers, 1, -1, -1)
        self.raw = nn.Parameter(inverse_softplus(kernel))

    def forward(self, lr: Tensor) -> Tensor:
        """(N, p, h, w) to (N, p, nh, nw)."""
        fine = conv_transpose2d(
            lr,
            softplus(self.raw),
            stride=self.scale,
            padding=self.scale // 2,
            groups=lr.shape[1],
        )
        return fine / fine.sum(1, keepdim=True).clamp_min(torch.finfo(fine.dtype).tiny)
