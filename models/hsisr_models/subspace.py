"""The spectral subspace of a scene, and its tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsisr_models.exact import convolve, linear

_FAINTEST = 1e-4
"""Axes along which a scene spreads less than this share of the leading one are left out."""
_PIECE = 4096
"""Pixels that are taken in at once: few enough for what is made of them to stay in cache."""


@dataclass(frozen=True)
class Subspace:
    """The leading principal axes of a scene's spectra.

    A scene's coordinates along them, each in units of its own standard deviation, are its tokens:
    images of the same kind whatever the sensor. What lies outside the subspace has no token.
    """

    mean: Tensor
    """The scene's mean spectrum (B,)."""
    axes: Tensor
    """Orthonormal spectra (B, k), the strongest first."""
    spread: Tensor
    """Standard deviation of the scene along each axis (k,)."""
    covered: float = 1.0
    """The share of the scene's variance that lies along the axes."""

    @property
    def weights(self) -> Tensor:
        """The standard deviations relative to the first (k,)."""
        return self.spread / self.spread[:1]

    def project(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to tokens (N, k, h, w)."""
        kernel = (self.axes / self.spread).T[:, :, None, None]
        with torch.autocast(scene.device.type, enabled=False):
            return convolve(scene - self.mean[:, None, None], kernel)

    def lift(self, tokens: Tensor) -> Tensor:
        """Differences of tokens (N, k, h, w) to differences of spectra (N, B, h, w)."""
        count, _, *size = tokens.shape
        # the tokens' pixels stand for the rows of a matrix: so the spectra come out band by band
        pixels = tokens.transpose(0, 1).flatten(1).T
        return linear(self.axes * self.spread, pixels).reshape(-1, count, *size).transpose(0, 1)

    def to(self, device: torch.device) -> Subspace:
        """The same on another device."""
        return Subspace(
            self.mean.to(device), self.axes.to(device), self.spread.to(device), self.covered
        )


class Moments:
    """Mean and covariance of pixels that come in pieces; a few numbers whatever their count.

    Pieces are joined by the update of Chan, Golub and LeVeque (1979).
    """

    def __init__(self, bands: int) -> None:
        self._count = 0
        self._mean = torch.zeros(bands, dtype=torch.float64)
        self._products = torch.zeros(bands, bands, dtype=torch.float64)

    @property
    def mean(self) -> Tensor:
        """The mean so far (B,)."""
        return self._mean.float()

    @property
    def variances(self) -> Tensor:
        """The variance of each band so far (B,), float64."""
        return self._products.diagonal() / max(self._count, 1)

    @property
    def statistics(self) -> tuple[Tensor, Tensor, int]:
        """Mean (B,) and covariance (B, B) so far, float64, and of how many pixels."""
        return self._mean, self._products / max(self._count, 1), self._count

    @classmethod
    def of(cls, pixels: Tensor) -> Moments:
        """Those of pixels (B, N), all of them finite."""
        found = cls(len(pixels))
        found._count = pixels.shape[1]
        # in float32, rounding would pass for a faint axis
        pixels = pixels.double()
        found._mean = pixels.sum(1) / max(found._count, 1)
        moved = pixels - found._mean[:, None]
        found._products = moved @ moved.T
        return found

    def add(self, pixels: Tensor, each: Callable[..., Iterable[Moments]] = map) -> None:
        """Take in pixels (B, N), all of them finite; `each` is `map`, or the same in parallel."""
        for piece in each(Moments.of, torch.split(pixels, _PIECE, 1)):
            self.join(piece)

    def join(self, other: Moments) -> None:
        """Take in the pixels that another one was made of."""
        count = self._count + other._count
        if not count:
            return
        step = other._mean - self._mean
        self._products += other._products
        self._products += self._count * other._count / count * torch.outer(step, step)
        self._mean += other._count / count * step
        self._count = count

    def subspace(self, tokens: int, usable: Tensor | None = None) -> Subspace:
        """The subspace of at most `tokens` axes; bands that are not `usable` (B,) have no part.

        There are fewer axes where the scene has fewer bands, or does not vary along more. Raises
        `ValueError` if no pixel was taken in.
        """
        if not self._count:
            raise ValueError("no pixel was taken in")
        used = torch.ones_like(self._mean) if usable is None else usable.to(self._mean)
        covariance = self._products / self._count * torch.outer(used, used)
        variances, axes = torch.linalg.eigh(covariance)
        # LAPACK leaves some 1e-18 where a band has no part
        axes[covariance.diagonal() == 0] = 0
        spread = variances.flip(0)[:tokens].clamp_min(0).sqrt()
        # a constant scene that was resampled varies too, by what was rounded
        rounded = 2 * torch.finfo(torch.float32).eps * (used * self._mean).norm()
        kept = (spread > _FAINTEST * spread[0]) & (spread > rounded)
        leading = axes.flip(1)[:, :tokens][:, kept]
        total = float(variances.clamp_min(0).sum())
        covered = float(spread[kept].square().sum()) / total if total else 1.0
        return Subspace(self.mean, leading.float(), spread[kept].float(), covered)


def principal_axes(pixels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean (B,) and the `count` leading principal axes (B, count) of pixels (N, B)."""
    mean = pixels.mean(0)
    centred = pixels - mean
    _, axes = torch.linalg.eigh(centred.T @ centred / len(pixels))
    return mean, axes.flip(1)[:, :count]
