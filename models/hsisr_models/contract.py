"""The protocol that the files of each shelf keep, and `Outcome`, the argument of every loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hsisr_models.networks import SrNetwork, UnmixNetwork


@dataclass(frozen=True)
class Outcome:
    """What a training step produced, in the form that every loss term reads.

    Unmixing (step I) fills it with the low-resolution scene and its reconstruction,
    super-resolution (step II) with the true and the estimated high-resolution scene, so Eq. 8 and
    Eq. 12 of the paper are the same weighted sum of terms.
    """

    truth: Tensor
    """(N, B, h, w), normalised."""
    estimate: Tensor
    """(N, B, h, w)."""
    endmembers: Tensor | None = None
    """(p, B), the spectra the abundances refer to."""
    start: Tensor | None = None
    """(p, B), the endmembers before training."""
    abundances: Tensor | None = None
    """(N, p, h, w), on the simplex."""
    expected: Tensor | None = None
    """(N, p, h, w), what the abundances should be according to the low-resolution scene."""
    own: Mapping[str, Tensor] = field(default_factory=dict)
    """Loss terms that a network computes by itself, as scalars by their name."""
    auxiliary: Tensor | None = None
    """(N, ...), the estimate of another task of the network (`SrNetwork.auxiliary`)."""
    auxiliary_truth: Tensor | None = None
    """Of the same shape."""


class SrFile(Protocol):
    """A file on the shelf `sr/`: one super-resolution network."""

    SOURCE: str
    """Where the network is described."""
    SCALES: tuple[int, ...]
    """The scale factors it can be built for."""

    def build(self, *, bands: int, scale: int, endmembers: int, **numbers: Any) -> SrNetwork:
        """The network; `endmembers` is 0 where no abundances will be given."""


class UnmixFile(Protocol):
    """A file on the shelf `unmix/`: one unmixing method."""

    SOURCE: str

    def build(self, *, bands: int, endmembers: int, **numbers: Any) -> UnmixNetwork:
        """The network."""


class Solution(NamedTuple):
    """The abundances of every pixel: with `gain * abundances`, endmembers mix to its spectrum."""

    abundances: Tensor
    """(p, N), float64."""
    gain: Tensor
    """(N,), the brightness of a pixel; 1 where the method does not separate it from abundances."""


class AbundanceFile(Protocol):
    """A file on the shelf `abundances/`: one way to unmix by known endmembers."""

    SOURCE: str
    SUM_TO_ONE: bool
    """Whether the abundances of a pixel sum to one by default (ASC)."""
    NON_NEGATIVE: bool
    """Whether abundances are non-negative by default (ANC)."""
    TELLS_GAIN: bool
    """Whether the gain is separated from the abundances; if not, it is 1 everywhere."""

    def solve(self, spectra: Tensor, endmembers: Tensor, **numbers: Any) -> Solution:
        """Unmix `spectra` (B, N) into `endmembers` (p, B), every pixel by itself.

        A method's own `numbers` all have defaults. NaN where a pixel cannot be unmixed.
        """


def unwatched(done: float) -> None:
    """The `progress` of a search that nobody watches: does nothing."""


class EndmemberFile(Protocol):
    """A file on the shelf `endmembers/`: one way to find the endmembers of a scene."""

    SOURCE: str

    def extract(
        self,
        pixels: Tensor,
        endmembers: int,
        *,
        seed: int,
        progress: Callable[[float], None] = unwatched,
    ) -> Tensor:
        """Endmembers (p, B) of pixels (N, B), in their units.

        `progress` is told the share that is done, up to 1; what it raises ends the search. Raises
        `ValueError` if there are fewer pixels or bands than endmembers.
        """


class CountFile(Protocol):
    """A file on the shelf `counts/`: one way to tell how many endmembers a scene has."""

    SOURCE: str

    def count(self, mean: Tensor, covariance: Tensor, pixels: int) -> int:
        """The number, from the statistics of so many `pixels`: mean (B,) and covariance (B, B).

        Both are float64; the result is at least 0 and at most B.
        """


class LossFile(Protocol):
    """A file on the shelf `losses/`: one term of the training loss."""

    SOURCE: str

    def loss(self, outcome: Outcome) -> Tensor:
        """The term as a scalar, zero or smallest where the estimate equals the truth."""


class Meter(Protocol):
    """A measure being taken over a scene that arrives in pieces."""

    def update(self, truth: Tensor, estimate: Tensor) -> None:
        """Take in the next full-width strip, top to bottom: (B, h, w), NaN = no data."""

    def result(self) -> float:
        """The measure over everything taken in so far."""


class MetricFile(Protocol):
    """A file on the shelf `metrics/`: one measure of quality."""

    LABEL: str
    """The column's heading."""
    UNIT: str
    IDEAL: float
    """The value for a perfect estimate."""
    HIGHER_IS_BETTER: bool

    def meter(self, *, peak: float, ratio: int, **settings: Any) -> Meter:
        """Begin to measure; `peak` is the range of the data, `ratio` the scale factor.

        A measure's own `settings` all have defaults.
        """

    def definition(self, *, peak: float, ratio: int, **settings: Any) -> str:
        """One line that says exactly what is measured, for the foot of a table."""
