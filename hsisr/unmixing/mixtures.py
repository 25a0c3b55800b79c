"""Synthetic scenes of linear mixtures, whose truth is known: to judge unmixing by.

Every pixel is a sum of endmembers, weighted by abundances that are non-negative and sum to one,
times a gain for light and shade; a sensor adds white noise. Source: the
linear mixing model as Bioucas-Dias et al., IEEE JSTARS 5(2), 2012, II-A have it; abundances as in
their simulated scenes, or smooth as those of Eches, Dobigeon, Tourneret, IEEE TGRS 49(11), 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from hsisr.unmixing.agreement import angles
from hsisr_models.imaging import degrade

Array = NDArray[np.float64]

FIELDS = ("smooth", "dirichlet")
"""How abundances lie beside each other: as smooth random fields, or each pixel by itself."""

_APART = 0.1
"""Radians between any two endmembers: what is closer nobody could tell apart in noise."""
_TRIES = 1000
_WAVES = 0.04
"""Correlation of smooth spectra, in parts of the spectrum."""
_PATCH = 0.06
"""Correlation of smooth abundances, in parts of the longer side."""
_CONTRAST = 3.0
"""Standard deviation of the fields that a soft-max makes smooth abundances of."""


@dataclass(frozen=True)
class Plan:
    """The properties of a scene to be made."""

    rows: int
    cols: int
    fields: str = FIELDS[0]
    purity: float = 1.0
    """The largest abundance of every endmember."""
    gain: tuple[float, float] = (1.0, 1.0)
    """The range of the gains, all of it equally likely."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for numbers that no scene can have."""
        if self.fields not in FIELDS:
            raise ValueError(f"no fields '{self.fields}'; known: {', '.join(FIELDS)}")
        if not 0 < self.gain[0] <= self.gain[1] < np.inf:
            raise ValueError(f"gains from {self.gain[0]} to {self.gain[1]}; 0 < LOW <= HIGH needed")


@dataclass(frozen=True)
class Mixture:
    """A scene without noise and the truth about it, in float64."""

    spectra: Array
    """Endmembers (p, B)."""
    abundances: Array
    """(p, h, w)."""
    gain: Array
    """(1, h, w)."""
    scene: Array
    """(B, h, w), gain times mixture."""


def mixture(spectra: Array, plan: Plan, seed: int) -> Mixture:
    """A scene of endmembers (p, B), the same for the same seed.

    Raises `ValueError` if there is no room for the plan's purity: it lies between 1 / p and 1, and
    there are at least as many pixels as endmembers.
    """
    count, rng = len(spectra), np.random.default_rng(seed)
    if not 1 / count <= plan.purity <= 1:
        raise ValueError(f"the purest of {count} materials cannot be {plan.purity} of a pixel")
    if plan.rows * plan.cols < count:
        raise ValueError(f"{plan.rows} x {plan.cols} pixels cannot show {count} materials")
    fields = _smooth(rng, count, plan) if plan.fields == "smooth" else _dirichlet(rng, count, plan)
    abundances = _limited(fields, plan.purity)
    gain = rng.uniform(*plan.gain, (1, plan.rows, plan.cols))
    scene = gain * np.einsum("phw,pb->bhw", abundances, spectra)
    return Mixture(spectra, abundances, gain, scene)


def coarser(fine: Mixture, scale: int, operator: str) -> Mixture:
    """The same as seen at 1/`scale` of the resolution by K, one of `imaging.OPERATORS`.

    K is linear, so the truth is exact: A_LR = K A_HR and Y_LR = K Y_HR. Where all gains are 1, Y_LR
    is the mixture of A_LR too; elsewhere its gain is how bright it is next to that mixture.
    `bicubic` may leave abundances below 0. Raises `ValueError`.
    """
    abundances, scene = (_degraded(x, scale, operator) for x in (fine.abundances, fine.scene))
    mixed = np.einsum("phw,pb->hw", abundances, fine.spectra)
    return Mixture(fine.spectra, abundances, scene.sum(0, keepdims=True) / mixed, scene)


def noisy(scene: Array, snr: float, rng: np.random.Generator) -> Array:
    """The scene with white noise of `snr` dB: the mean square of the scene over the noise's."""
    deviation = np.sqrt(np.mean(np.square(scene)) / 10 ** (snr / 10))
    return np.asarray(scene + deviation * rng.standard_normal(scene.shape), np.float64)


def smooth_spectra(count: int, bands: int, seed: int) -> Array:
    """Made-up spectra (count, B) of smooth reflectances from 0.05 to 0.95, no two of them alike.

    Raises `ValueError` if there is no room for so many in so few bands.
    """
    rng = np.random.default_rng(seed)
    made = [_spectrum(rng, bands) for _ in range(_TRIES)]
    return np.stack([made[index] for index in _apart(made, count)])


def drawn(library: Array, count: int, seed: int) -> list[int]:
    """Which spectra of a library (n, B) to take for `count` endmembers, no two of them alike.

    Raises `ValueError` if there are not so many without gaps.
    """
    whole = np.flatnonzero(np.isfinite(library).all(1))
    order = np.random.default_rng(seed).permutation(whole)
    return [int(order[index]) for index in _apart(library[order], count)]


def _apart(candidates: Sequence[Array] | Array, count: int) -> list[int]:
    """The first `count` of the candidates that differ from all before them."""
    chosen: list[int] = []
    for index, spectrum in enumerate(candidates):
        before = np.stack([candidates[i] for i in chosen] or [-spectrum])
        if angles(before, spectrum[None]).min() >= _APART:
            chosen.append(index)
        if len(chosen) == count:
            return chosen
    raise ValueError(f"only {len(chosen)} of {count} spectra are {_APART} radians apart")


def _spectrum(rng: np.random.Generator, bands: int) -> Array:
    wave = gaussian_filter1d(rng.standard_normal(3 * bands), 1 + _WAVES * bands)[bands : 2 * bands]
    lowest, highest = np.sort(rng.uniform(0.05, 0.95, 2))
    spread = np.ptp(wave)
    share = (wave - wave.min()) / spread if spread else np.zeros(bands)
    return np.asarray(lowest + (highest - lowest) * share, np.float64)


def _smooth(rng: np.random.Generator, count: int, plan: Plan) -> Array:
    deviation = _PATCH * max(plan.rows, plan.cols)
    noise = rng.standard_normal((count, plan.rows, plan.cols))
    fields = gaussian_filter(noise, (0, deviation, deviation), mode="wrap")
    weights = np.exp(_CONTRAST * fields / fields.std())
    return np.asarray(weights / weights.sum(0), np.float64)


def _dirichlet(rng: np.random.Generator, count: int, plan: Plan) -> Array:
    """Uniform on the simplex."""
    return rng.dirichlet(np.ones(count), (plan.rows, plan.cols)).transpose(2, 0, 1)


def _limited(abundances: Array, purity: float) -> Array:
    """No pixel purer than that, and for every endmember one that is as pure.

    Pixels that are purer move towards the even mixture, until they are not.
    """
    count, even = len(abundances), 1 / len(abundances)
    most = abundances.max(0)
    shrunk = np.divide(purity - even, most - even, out=np.ones_like(most), where=most > purity)
    limited = even + shrunk * (abundances - even)
    flat = limited.reshape(count, -1)
    rest = (1 - purity) / (count - 1) if count > 1 else 0.0
    for index, pixel in enumerate(_purest(flat)):
        flat[:, pixel] = rest
        flat[index, pixel] = purity
    return np.asarray(limited, np.float64)


def _purest(flat: Array) -> list[int]:
    """For every endmember the pixel that has most of it, none twice."""
    chosen: list[int] = []
    for values in flat:
        chosen.append(next(int(pixel) for pixel in np.argsort(-values) if pixel not in chosen))
    return chosen


def _degraded(images: Array, scale: int, operator: str) -> Array:
    low: Array = degrade(torch.from_numpy(images)[None], scale, operator)[0].numpy()
    return low
