"""One figure of what methods make of a scene: pictures, errors, and the spectra of a few pixels.

Needs matplotlib, which is an extra: importing this module raises `ImportError` without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from hsisr.cube import ArrayCube, Block, CubeSpec, Spectrum
from hsisr.results.palette import colours
from hsisr.results.picture import rgb_bands, stretched
from hsisr.results.plot import curves, over_bands, web, write
from hsisr.scene.spectra import good_bands
from hsisr_models.metrics import SHELF as METRICS

Map = NDArray[np.float32]
Pixel = tuple[int, int]
"""Row and column."""

_ACROSS = 6
"""Pictures in a row, that of the truth among them."""
_WIDTH, _NARROWEST = 2.2, 9.0
"""Inches, of a picture and of the figure."""
_SHAPES = (0.3, 2.0)
"""Height to width of the room for a picture, whatever its shape."""
_TITLE, _SPECTRA = 0.5, 2.8
"""Inches, the height of what stands above a picture, and of the lines below."""
_LONGEST = 32
"""Of a name, in characters."""
_COLOURS, _NO_DATA = "magma", "0.6"
_BRIGHTEST = 0.99
"""Quantile of the first one's errors that is shown as the largest."""
_SHARES = (0.5, 0.9, 0.99)
"""Of the pixels, so many err less than those whose spectra are shown."""


def draw(
    path: Path, truth: Block, estimates: Mapping[str, Block], spectrum: Spectrum | None
) -> None:
    """Write the figure as PNG.

    `truth` and the `estimates`, by name, are (B, H, W) and normalised to a peak of 1, NaN where
    there is no data.
    """
    write(path, composed(truth, estimates, spectrum))


def composed(truth: Block, estimates: Mapping[str, Block], spectrum: Spectrum | None) -> Figure:
    """The figure: a picture of each in the same colours, its error on one scale, and spectra.

    The pixels are those of the median, the 90 % and the 99 % quantile of the first one's error. By
    the last the scale ends too, so that one that has failed does not darken all others.
    """
    errors = {name: _error(truth, estimate) for name, estimate in estimates.items()}
    first = next(iter(errors.values()))
    pixels = _pixels(first)
    figure, grid, below = _room(len(estimates) + 1, truth.shape[1:])
    spec = ArrayCube(truth, Path(), spectrum).spec
    bands = list(rgb_bands(spec))
    scale = Normalize(0, _largest(first))
    _picture(grid[0][0], truth[bands], truth[bands], "truth")
    _scale(grid[0][1], scale)
    for (above, under), (name, estimate) in zip(grid[1:], estimates.items(), strict=True):
        title = f"{name:.{_LONGEST}}\nPSNR {_psnr(truth, estimate):.2f} dB"
        _picture(above, estimate[bands], truth[bands], title)
        under.imshow(errors[name], cmap=_COLOURS, norm=scale, interpolation="nearest")
    for axes in [grid[0][0], *(under for _, under in grid[1:])]:
        _mark(axes, pixels)
    _lines(below, {"truth": truth, **estimates}, pixels, spec)
    return figure


def _error(truth: Block, estimate: Block) -> Map:
    """The mean absolute error over the bands that a pixel has, (H, W); NaN if it has none."""
    apart = np.abs(estimate - truth)
    known = np.isfinite(apart)
    count = known.sum(0)
    mean = np.where(known, apart, 0).sum(0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan).astype(np.float32)


def _largest(error: Map) -> float:
    known = error[np.isfinite(error)]
    largest = float(np.quantile(known, _BRIGHTEST)) if known.size else 0.0
    return largest or 1.0


def _psnr(truth: Block, estimate: Block) -> float:
    meter = METRICS["psnr"].meter(peak=1.0, ratio=1)
    meter.update(torch.from_numpy(truth), torch.from_numpy(estimate))
    return meter.result()


def _pixels(error: Map) -> list[Pixel]:
    """The pixels at given quantiles of the error."""
    order = np.argsort(error, axis=None)[: np.isfinite(error).sum()]
    chosen = [int(order[int(share * (len(order) - 1))]) for share in _SHARES if len(order)]
    return [divmod(at, error.shape[1]) for at in chosen]


def _room(count: int, size: Sequence[int]) -> tuple[Figure, list[tuple[Axes, Axes]], SubFigure]:
    """A figure with places for so many pictures (h, w), each with one below it; and for lines."""
    across = min(count, _ACROSS)
    down = -(-count // across)
    high = _WIDTH * float(np.clip(size[0] / size[1], *_SHAPES))
    heights = down * (2 * high + _TITLE), _SPECTRA
    figure = Figure(figsize=(max(across * _WIDTH, _NARROWEST), sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    grid = above.subplots(2 * down, across, squeeze=False)
    pairs = [pair for row in range(down) for pair in zip(*grid[2 * row : 2 * row + 2], strict=True)]
    for axes in (axes for pair in pairs for axes in pair):
        axes.set(xticks=[], yticks=[], facecolor=_NO_DATA)
    for axes in (axes for pair in pairs[count:] for axes in pair):
        axes.set_visible(False)
    return figure, pairs[:count], below


def _picture(axes: Axes, values: Block, like: Block, title: str) -> None:
    axes.imshow(stretched(values, like), interpolation="nearest")
    axes.set_title(title, fontsize="medium", parse_math=False)


def _scale(axes: Axes, scale: Normalize) -> None:
    """Say what the colours of the errors mean, in the place of a map."""
    axes.set_axis_off()
    bar = axes.inset_axes((0.1, 0.55, 0.8, 0.07))
    colours = ScalarMappable(scale, _COLOURS)
    axes.figure.colorbar(colours, cax=bar, orientation="horizontal", extend="max")
    bar.tick_params(labelsize="small")
    bar.locator_params(nbins=4)
    words = "mean absolute error over bands,\nof the peak; PSNR: mean over bands"
    axes.text(0.5, 0.75, words, ha="center", transform=axes.transAxes, fontsize="small")


def _letters(pixels: Sequence[Pixel]) -> Iterator[tuple[str, Pixel]]:
    return zip("ABC", pixels, strict=False)


def _mark(axes: Axes, pixels: Sequence[Pixel]) -> None:
    """Show where the pixels are, legibly on any ground."""
    for letter, (row, col) in _letters(pixels):
        for colour, width in (("black", 3.0), ("white", 1.2)):
            axes.plot(col, row, "s", mfc="none", mec=colour, mew=width, ms=7)
        axes.annotate(
            letter,
            (col, row),
            (6, 4),
            textcoords="offset points",
            color="white",
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="black")],
        )


def _lines(
    figure: SubFigure, blocks: Mapping[str, Block], pixels: Sequence[Pixel], spec: CubeSpec
) -> None:
    """The spectra of each pixel beside one another, that of the truth broad and grey."""
    _, first, *_ = blocks
    shades = ["0.5", *map(web, colours(len(blocks) - 1))]
    grid = figure.subplots(1, len(_SHARES), sharex=True)
    for axes, share, (letter, (row, col)) in zip(grid, _SHARES, _letters(pixels), strict=False):
        values = np.stack([block[:, row, col] for block in blocks.values()])
        places, lines = curves(values, spec.spectrum, good_bands(spec))
        for line, shade in zip(lines, shades, strict=True):
            axes.plot(places, line, color=shade, linewidth=3 if shade == "0.5" else 1.2)
        title = f"{letter}: row {row}, column {col}\n{share:.0%} quantile of the error of {first}"
        axes.set_title(title, fontsize="small", parse_math=False)
        over_bands(axes, spec.spectrum)
    grid[0].set_ylabel("of the peak")
    _name(figure, grid[0].lines, list(blocks))


def _name(figure: SubFigure, lines: Sequence[Line2D], names: Sequence[str]) -> None:
    """A legend beside the lines, in which a name may begin with anything."""
    named = figure.legend(
        lines, [" "] * len(lines), loc="outside right upper", frameon=False, fontsize="small"
    )
    for text, name in zip(named.get_texts(), names, strict=False):
        text.set(text=f"{name:.{_LONGEST}}", parse_math=False)
