"""Some bands of a scene, or a window of it, as a scene of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from hsisr.cube import ALL, Block, Cube, CubeSpec, Geo, Spectrum
from hsisr.window import Window
from hsisr.wording import counted


class View:
    """A `Cube` of the `bands` (from 0, in this order) and the `window` of another one."""

    def __init__(
        self, cube: Cube, bands: Sequence[int] | None = None, window: Window | None = None
    ) -> None:
        self._cube = cube
        self._bands = None if bands is None else list(bands)
        self._window = window or cube.spec.window
        if not cube.spec.window.contains(self._window):
            raise ValueError(f"{window} is not inside a scene of {cube.spec.shape[1:]} pixels")
        self.spec = part_of(cube.spec, bands, self._window)
        self.format = cube.format
        self.files: tuple[Path, ...] = cube.files
        self.notes: tuple[str, ...] = (*cube.notes, *self._taken())

    def _taken(self) -> Iterator[str]:
        whole, window = self._cube.spec, self._window
        if self._bands is not None:
            many = counted(whole.bands, "band")
            yield f"cut to {len(self._bands)} of {many}: {_listed(self._bands)}"
        if window != whole.window:
            yield (
                f"cut to {window.height} of {counted(whole.rows, 'row')}, from row {window.row}, "
                f"and {window.width} of {counted(whole.cols, 'column')}, from column {window.col}"
            )

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`, counted from the first pixel of the view.

        Bands of the other cube that lie between those of the view are read, but none around them.
        """
        if not self.spec.window.contains(window):
            raise ValueError(f"{window} is not inside a scene of {self.spec.shape[1:]} pixels")
        row, col = window.row + self._window.row, window.col + self._window.col
        moved = Window(row, col, window.height, window.width)
        if self._bands is None:
            return self._cube.read(moved, bands)
        chosen = self._bands[bands]
        first, stop = min(chosen), max(chosen) + 1
        block = self._cube.read(moved, slice(first, stop))
        return block if chosen == [*range(first, stop)] else block[np.subtract(chosen, first)]

    def close(self) -> None:
        """Release the file."""
        self._cube.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def part_of(spec: CubeSpec, bands: Sequence[int] | None, window: Window) -> CubeSpec:
    """The spec of some bands (all by default) and a window of a scene as its file holds it."""
    chosen = range(spec.bands) if bands is None else bands
    return replace(
        spec,
        bands=len(chosen),
        rows=window.height,
        cols=window.width,
        gain=_factors(spec.gain, chosen, 1.0),
        offset=_factors(spec.offset, chosen, 0.0),
        spectrum=spec.spectrum and _spectrum(spec.spectrum, chosen),
        geo=spec.geo and _moved(spec.geo, window),
        band_names=spec.band_names and tuple(spec.band_names[band] for band in chosen),
        native=spec.native and spec.native.part(chosen, window),
    )


def _factors(
    factors: tuple[float, ...] | None, bands: Sequence[int], neutral: float
) -> tuple[float, ...] | None:
    if factors is None or len(factors) == 1:
        return factors
    chosen = tuple(factors[band] for band in bands)
    return None if set(chosen) == {neutral} else chosen


def _spectrum(spectrum: Spectrum, bands: Sequence[int]) -> Spectrum:
    widths, good = spectrum.widths_nm, spectrum.good
    chosen = good and tuple(good[band] for band in bands)
    return Spectrum(
        tuple(spectrum.centres_nm[band] for band in bands),
        widths and tuple(widths[band] for band in bands),
        # bands that are asked for are used, even if all of them are marked as bad
        chosen if chosen and any(chosen) else None,
    )


def _moved(geo: Geo, window: Window) -> Geo:
    a, b, x, d, e, y = geo.transform
    x, y = a * window.col + b * window.row + x, d * window.col + e * window.row + y
    return replace(geo, transform=(a, b, x, d, e, y))


def _listed(bands: Sequence[int]) -> str:
    """Bands as people count them: `1-50,60`."""
    runs: list[list[int]] = []
    for band in bands:
        if runs and band == runs[-1][-1] + 1:
            runs[-1].append(band)
        else:
            runs.append([band])
    return ",".join(f"{run[0] + 1}-{run[-1] + 1}" if run[1:] else f"{run[0] + 1}" for run in runs)
