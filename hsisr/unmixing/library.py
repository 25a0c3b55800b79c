"""Spectral libraries: read, brought to the bands and units of a scene, and searched by angle.

Every spectrum of a library has a name and belongs to a class of materials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, Spectrum
from hsisr.errors import InputError
from hsisr.formats.envi.library import labels_beside
from hsisr.formats.envi.library import read_library as read_envi
from hsisr.formats.envi.table import read_spectra_table
from hsisr.scene.resampling import covered, weights
from hsisr.scene.selection import stretches
from hsisr.scene.spectra import good_bands
from hsisr.unmixing.agreement import Matrix, angles
from hsisr.wording import counted

_TABLES = (".csv", ".txt", ".tsv")
_DELETED = -9999.0
"""USGS writes -1.23e34 where a spectrum has no value, others this."""
_SAME_NM = 0.01
_TOUCHED = 1e-3
"""Of a band: what it takes of a sample that matters."""
_INTEGERS = 10_000.0
"""What reflectance is multiplied by where it is stored as integers, by custom."""
_ALIKE = (0.05, 5.0)
"""Times a library's mean, how bright a scene is whose units are the same."""
_BRIGHTEST = 2.0
"""Reflectance that no material exceeds, so larger numbers are in other units."""


class Match(NamedTuple):
    """A spectrum of a library that another one resembles."""

    name: str
    angle_rad: float
    """The spectral angle between them."""


@dataclass(frozen=True)
class Library:
    """Spectra of known materials."""

    names: tuple[str, ...]
    """All different."""
    spectra: Matrix
    """(n, B), NaN where there is no value."""
    spectrum: Spectrum | None
    classes: tuple[str, ...]
    """Of each spectrum the class of materials; its name where none is told."""
    notes: tuple[str, ...] = ()
    """What had to be decided or assumed, in words."""
    path: Path | None = None
    """The file it was read from, which errors name."""

    def on(self, spec: CubeSpec) -> Library:
        """The library as a scene's sensor would have seen it, 0 in bands that are marked bad.

        Raises `InputError` if it does not cover the good bands.
        """
        good, want, have = good_bands(spec), spec.spectrum, self.spectrum
        if want is None or have is None:
            return self._taken_as_is(spec, good)
        if _same(want, have):
            found = self.spectra
        else:
            self._require_covered(have, want, good)
            taken = weights(have, want)
            found = np.nan_to_num(self.spectra) @ taken.T
            found[np.isnan(self.spectra) @ (np.abs(taken) > _TOUCHED).T] = np.nan
        self._require_complete(found, good, want)
        return replace(self, spectra=np.where(good, found, 0.0), spectrum=want)

    def comparable(self, spec: CubeSpec) -> tuple[Library, NDArray[np.bool_]]:
        """The library on the good bands of a scene that it covers, and which these are (B,).

        Raises as `on` if it does not cover half of them.
        """
        good, want, have = good_bands(spec), spec.spectrum, self.spectrum
        if want is None or have is None:
            return self.on(spec), good
        both = good & covered(have, want)
        if 2 * both.sum() < good.sum():
            both = good
        known = replace(want, good=tuple(both.tolist()))
        return self.on(replace(spec, spectrum=known)), both

    def _taken_as_is(self, spec: CubeSpec, good: NDArray[np.bool_]) -> Library:
        """For want of wavelengths of the scene or of the library."""
        bands = self.spectra.shape[1]
        lacking = "scene" if spec.spectrum is None else "library"
        if bands != spec.bands:
            raise InputError(
                f"the {lacking} has no wavelengths, and {counted(bands, 'value')} of each spectrum "
                f"cannot be those of {counted(spec.bands, 'band')}",
                where=self.path,
                hint="wavelengths in the header of the scene and in the library",
            )
        self._require_complete(self.spectra, good, spec.spectrum)
        note = f"the {lacking} has no wavelengths; value by value, the library is taken as it is"
        spectra = np.where(good, self.spectra, 0.0)
        return replace(self, spectra=spectra, spectrum=spec.spectrum, notes=(*self.notes, note))

    def _require_covered(self, have: Spectrum, want: Spectrum, good: NDArray[np.bool_]) -> None:
        there = covered(have, want)
        missing = good & ~there
        if not missing.any():
            return
        within = good & there
        raise InputError(
            f"the library covers {min(have.centres_nm):.6g}-{max(have.centres_nm):.6g} nm; it has "
            f"nothing for {missing.sum()} of {counted(good.sum(), 'good band')}, at "
            f"{stretches(missing, want)}",
            where=self.path,
            hint=f"--bands {stretches(within, want)}" if within.any() else "another library",
        )

    def _require_complete(
        self, found: Matrix, good: NDArray[np.bool_], want: Spectrum | None
    ) -> None:
        holes = np.asarray(np.isnan(found) & good)
        if not holes.any():
            return
        lacking = np.asarray(holes.any(0))
        names = [self.names[i] for i in np.flatnonzero(holes.any(1))]
        several = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(
            f"lacks values of {len(names)} of {counted(len(self.names), 'spectrum', 'spectra')} "
            f"({several}) at {stretches(lacking, want)}, where the scene has good bands",
            where=self.path,
            hint=f"leave them out, or: --bands {stretches(good & ~lacking, want)}",
        )

    def in_units_of(self, means: NDArray[np.floating]) -> Library:
        """The library, which is on a scene's bands, in the units of the scene with these `means`.

        `means` (B,) are those of the scene's bands. Where one of both holds integers by custom,
        10,000 times the reflectance, a note says so; for other units raises `InputError`.
        """
        used = (self.spectra != 0).any(0) & np.isfinite(means)
        own = float(np.abs(self.spectra[:, used]).mean()) if used.any() else 0.0
        ratio = float(np.abs(means[used]).mean()) / own if own else 1.0
        for factor in (1.0, _INTEGERS, 1 / _INTEGERS):
            if _ALIKE[0] <= ratio / factor <= _ALIKE[1]:
                break
        else:
            raise InputError(
                f"the scene is {ratio:.2g} times as bright as the library; their units differ",
                where=self.path,
                hint="say in the header of the scene, or of the library, what its numbers are "
                "divided by: reflectance scale factor = ...",
            )
        if factor == 1:
            return self
        done = "multiplied" if factor > 1 else "divided"
        note = f"the library is {done} by 10000, to be in the units of the scene"
        return replace(self, spectra=self.spectra * factor, notes=(*self.notes, note))

    def nearest(
        self, spectra: NDArray[np.floating], good: NDArray[np.bool_], count: int = 3
    ) -> list[list[Match]]:
        """For each of `spectra` (p, B) the most similar ones of the library, by spectral angle.

        Both on the bands of one scene; only `good` bands (B,) count.
        """
        known, asked = self.spectra[:, good], np.asarray(spectra, np.float64)[:, good]
        return [self._matches(angles(known, one[None])[:, 0], count) for one in asked]

    def _matches(self, found: Matrix, count: int) -> list[Match]:
        nearest = np.argsort(found, kind="stable")[:count]
        return [Match(self.names[i], float(found[i])) for i in nearest]


def reflectance_of_one(spectra: NDArray[np.floating]) -> float:
    """What a reflectance of 1 is in the units of spectra: 1, or 10,000 where they are large."""
    return 1.0 if np.nanmax(spectra) <= _BRIGHTEST else _INTEGERS


def read_library(path: Path, class_column: str | None = None) -> Library:
    """The library in an ENVI file (.sli or its header) or a table (.csv); raises `InputError`.

    Classes are in `class_column` of a table that has a row for each spectrum; a table of that kind
    can also lie beside an ENVI library, under its name. By default the column `class`, if any.
    """
    found = read_spectra_table(path) if path.suffix.lower() in _TABLES else read_envi(path)
    values = np.where(found.values > _DELETED, found.values, np.nan)
    names = found.names or [f"spectrum {i}" for i in range(1, len(values) + 1)]
    labels, notes = found.labels, found.notes
    if class_column is not None and path.suffix.lower() not in _TABLES:
        labels, more = labels_beside(path, names)
        notes += more
    classes = _classes(labels, class_column, path) or names
    return Library(_distinct(names), values, found.spectrum, tuple(classes), notes, path)


def _classes(
    labels: dict[str, tuple[str, ...]], column: str | None, path: Path
) -> tuple[str, ...] | None:
    called = (column or "class").lower()
    for key, values in labels.items():
        if key.lower() == called:
            return values
    if column is None:
        return None
    raise InputError(
        f"no column '{column}' tells the classes of the spectra",
        where=path,
        hint=f"the columns are: {', '.join(labels) or 'none'}",
    )


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which the second `soil` is `soil 2`."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} {i}" for i in range(2, len(names) + 2))
        found[name if name not in found else next(n for n in numbered if n not in found)] = None
    return tuple(found)


def _same(want: Spectrum, have: Spectrum) -> bool:
    centres = np.array(want.centres_nm), np.array(have.centres_nm)
    return len(centres[0]) == len(centres[1]) and bool(
        np.abs(centres[0] - centres[1]).max() <= _SAME_NM
    )
