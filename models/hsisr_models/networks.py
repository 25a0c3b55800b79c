"""What networks are to those who use them; the shelves' files build subclasses of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from hsisr_models.rendering import Area, Renderer, cut, everything
from hsisr_models.subspace import Subspace


class SrNetwork(nn.Module):
    """Scene (N, B, h, w), abundances (N, p, h, w) or None to the sharper scene (N, B, nh, nw).

    A subclass defines `prepare`, or else `forward`; the other one follows from it.
    """

    scale: int
    """How much finer the grid of the output is."""
    reach: int | None
    """How many low-resolution pixels around an output pixel can influence it once attention is
    frozen (`blocks.freeze_attention`); None if it always sees the whole image."""
    abundance_reach: int
    """The same for the abundances."""
    uses_abundances: bool
    """Whether it cannot do without them."""
    footprint: int = 0
    """Numbers held for each pixel of the scene while it is prepared, beside the scene, about."""
    __call__: Callable[..., Tensor]

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """Do once what all windows of a scene need; what is returned does the rest for a window.

        Where all windows will lie in `kept`, what these do not depend on may be left out. Both run
        in the mode they are called in: with or without gradients and autocast.
        """
        del kept
        return cut(self(scene, abundances), self.scale)

    def forward(self, scene: Tensor, abundances: Tensor | None = None) -> Tensor:
        """The sharper scene as a whole."""
        return everything(self.prepare(scene, abundances), scene)

    def auxiliary(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor] | None:
        """Another task that it is trained for, made of a scene (N, B, h, w) at both resolutions.

        The truth and the estimate of that task; None where there is none.
        """
        del low, high
        return None


class TokenNetwork(SrNetwork):
    """Sharpens the tokens of a scene, so it fits scenes of any number of bands.

    Its `reach` holds once `subspace` is set; without, every image is taken for a scene of its own.
    """

    tokens: int
    """How many tokens it wants at most."""
    subspace: Subspace | None

    def refine(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Tokens (N, k, h, w) of `weights` (N, k) to what bicubic interpolation misses of them."""
        raise NotImplementedError


class UnmixNetwork(nn.Module, ABC):
    """Takes a scene (N, B, h, w) apart into abundances (N, p, h, w), and mixes it again."""

    reach: int | None
    """As that of `SrNetwork`; None also where it matters at which pixel an image begins."""
    footprint: int = 0
    """As that of `SrNetwork`."""
    terms: tuple[str, ...] = ()
    """The names of the loss terms that are its own."""
    independent: bool = True
    """Whether several processes can share a batch in training: no scene acts on another, nothing is
    drawn at random, and there are no `terms`."""
    start: Tensor
    """The endmember spectra (p, B) before training, a buffer."""
    __call__: Callable[..., Tensor]

    @property
    @abstractmethod
    def endmembers(self) -> Tensor:
        """The endmember spectra (p, B), in the units of the scene."""

    @abstractmethod
    def set_endmembers(self, spectra: Tensor) -> None:
        """Start from given spectra (p, B)."""

    @abstractmethod
    def encode(self, scene: Tensor) -> Tensor:
        """Scene (N, B, h, w) to abundances (N, p, h, w): non-negative, summing to one."""

    def encode_with_terms(self, scene: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The abundances, as `encode`, and the loss `terms` of its own, as scalars."""
        return self.encode(scene), {}

    @abstractmethod
    def decode(self, abundances: Tensor) -> Tensor:
        """Abundances (N, p, h, w) to the scene (N, B, h, w) they mix to."""

    @abstractmethod
    def project(self) -> None:
        """Bring the weights back into their bounds; called after every training step."""

    def forward(self, scene: Tensor) -> Tensor:
        """The abundances, as `encode`."""
        return self.encode(scene)
