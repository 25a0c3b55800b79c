"""Pictures: true colour by wavelength, abundance maps, and the PNG files they end in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube, CubeSpec
from hsisr.files import write_durably
from hsisr.results.palette import Colour
from hsisr.scene.view import View
from hsisr.window import Window

Image = NDArray[np.uint8]
"""(rows, cols, 3)."""

RGB_NM = (640.0, 550.0, 460.0)
_GAP = 4
_STRIP = 64


def rgb_bands(spec: CubeSpec) -> tuple[int, int, int]:
    """The bands nearest to red, green and blue; spread over the bands where none is visible."""
    spectrum = spec.spectrum
    if spectrum and min(spectrum.centres_nm) < 600 and max(spectrum.centres_nm) > 500:
        red, green, blue = (spectrum.nearest(length) for length in RGB_NM)
        return red, green, blue
    return (spec.bands - 1) * 3 // 4, (spec.bands - 1) // 2, (spec.bands - 1) // 4


def overview(cube: Cube, bands: Sequence[int], longest: int = 1024) -> NDArray[np.float32]:
    """Some bands of a scene (len(bands), rows, cols), thinned out to at most `longest` pixels."""
    spec, shown = cube.spec, View(cube, bands)
    step = max(1, -(-max(spec.rows, spec.cols) // longest))
    height = _STRIP if step == 1 else 1
    strips = []
    for row in range(0, spec.rows, height * step):
        window = Window(row, 0, min(height, spec.rows - row), spec.cols)
        strips.append(shown.read(window)[..., ::step])
    return np.concatenate(strips, 1)


def stretched(values: NDArray[np.float32], like: NDArray[np.float32] | None = None) -> Image:
    """Three bands (3, h, w) as a picture, each from its 2 % to its 98 % quantile; holes black.

    The quantiles are those of `like`, where given, so that two pictures can be compared.
    """
    source = values if like is None else like
    finite = np.isfinite(source)
    image = np.zeros((*values.shape[1:], 3), np.uint8)
    for channel in range(3):
        there = source[channel][finite[channel]]
        if not there.size:
            continue
        low, high = np.quantile(there, (0.02, 0.98))
        image[:, :, channel] = _shades(values[channel], low, high)
    return image


def grey(values: NDArray[np.float32], low: float, high: float) -> Image:
    """One band (h, w) as a grey picture from `low` to `high`; holes black."""
    return np.repeat(_shades(values, low, high)[:, :, None], 3, 2)


def dominant(abundances: NDArray[np.float32]) -> NDArray[np.intp]:
    """The number of the endmember that a pixel has most of (p, h, w), from 1; 0 for none."""
    there = np.nan_to_num(abundances)
    return np.where(there.max(0) > 0, there.argmax(0) + 1, 0)


def classified(classes: NDArray[np.intp], colours: Sequence[Colour]) -> Image:
    """A class map (h, w) as a picture: 1 in the first of `colours`, and so on; 0 black."""
    return np.array([(0, 0, 0), *colours], np.uint8)[classes]


def _shades(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    above = np.clip(values, low, high) - low
    shades = above * (255 / max(float(high) - float(low), float(np.finfo(np.float32).tiny)))
    return np.asarray(np.nan_to_num(shades).round(), np.uint8)


def enlarged(image: Image, factor: int) -> Image:
    """Every pixel as a square of `factor` x `factor`."""
    return image.repeat(factor, 0).repeat(factor, 1)


def row_of(images: Sequence[Image]) -> Image:
    """Pictures of one height side by side, on white."""
    gap = np.full((images[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], 1)


def sheet(images: Sequence[Image], across: int) -> Image:
    """Pictures of one size in rows of `across`, on white."""
    blank = np.full_like(images[0], 255)
    padded = [*images, *[blank] * (-len(images) % across)]
    rows = [row_of(padded[i : i + across]) for i in range(0, len(padded), across)]
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1], 0)


def write_png(path: Path, image: Image) -> None:
    """Write a picture, whole or not at all."""
    write_durably(path, bytes(imagecodecs.png_encode(np.ascontiguousarray(image))))
