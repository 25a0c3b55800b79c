"""Spectral angle between the true and the estimated spectra.

The paper's acos has no gradient at its optimum. Kahan's form, 2 atan2(|u - v|, |u + v|) for unit
vectors, is exact at every angle; its gradient is written out because recording it step by step
takes three times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.linalg import vector_norm

from hsisr_models.contract import Outcome

SOURCE = "arXiv:2407.06525, Eq. 6 and 10; Kahan 2006, Mangled Angles"

_DARK = 1e-3
"""Spectra shorter than this share of the mean true one have no direction worth learning."""
_SMALLEST = 1e-18
"""Squares of shorter spectra underflow in float32."""


def loss(outcome: Outcome) -> Tensor:
    """The mean angle in radians over pixels where both spectra are bright; 0 if there are none.

    Computed in float32 at least, whatever autocast says.
    """
    truth, estimate = _wide(outcome.truth), _wide(outcome.estimate)
    lengths = _length(truth), _length(estimate)
    dark = _DARK * lengths[0].mean()
    bright = (lengths[0] > dark) & (lengths[1] > dark)
    angles: Tensor = _SpectralAngle.apply(truth, estimate, *lengths)  # type: ignore[no-untyped-call]
    return angles.where(bright, 0).sum() / bright.sum().clamp_min(1)


def _wide(spectra: Tensor) -> Tensor:
    return spectra.to(torch.promote_types(spectra.dtype, torch.float32))


def _length(spectra: Tensor) -> Tensor:
    """The norm of each spectrum (N, 1, h, w); 0 where float32 cannot hold its square."""
    length: Tensor = vector_norm(spectra.detach(), dim=1, keepdim=True)
    return length.where((length > _SMALLEST) & (length < torch.inf), 0)


class _SpectralAngle(torch.autograd.Function):
    """Angles (N, 1, h, w) between spectra (N, B, h, w) of known lengths."""

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, length_1: Tensor, length_2: Tensor
    ) -> Tensor:
        length_1, length_2 = (x.where(x > 0, torch.inf) for x in (length_1, length_2))
        u, v = first / length_1, second / length_2
        apart = vector_norm(u - v, dim=1, keepdim=True)
        together = vector_norm(u + v, dim=1, keepdim=True)
        ctx.save_for_backward(u, v, length_1, length_2, apart, together)
        return 2 * torch.atan2(apart, together)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, v, length_1, length_2, apart, together = ctx.saved_tensors
        cosine, sine = 1 - apart**2 / 2, apart * together / 2
        # at angles of 0 and pi the numerators below vanish too, up to rounding
        pull = gradient / sine.clamp_min(torch.finfo(sine.dtype).eps)
        wanted = ctx.needs_input_grad
        first = (u * cosine - v) * (pull / length_1) if wanted[0] else None
        second = (v * cosine - u) * (pull / length_2) if wanted[1] else None
        return first, second, None, None
