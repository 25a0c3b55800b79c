"""Figures with names and numbers: spectra over the wavelength, and all maps of an unmixing.

Needs matplotlib, which is an extra: importing this module raises `ImportError` without.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hsisr.cube import Spectrum
from hsisr.files import write_durably
from hsisr.results.palette import Colour, colours
from hsisr.results.picture import Image, classified, dominant

_DPI = 120
_ACROSS, _MOST = 4, 34
"""Maps in a row, and materials that are shown at most."""
_LINES, _COLUMNS = 20, 3
"""Entries and columns of a legend, which names no more."""
_LONGEST = 32
"""Characters of a name that are shown."""
_WIDTH = 2.6
"""Of a map, in inches; of one that is much wider than high, twice that."""
_SHAPES = (0.1, 2.5)
"""Height to width of the room for a map, whatever its shape."""
_TITLE, _SCALE, _MARGIN = 0.45, 0.75, 0.1
"""Inches around a map, for what stands there."""
_NO_DATA = "0.88"
_FAR = 5
"""Bands this many times farther apart than usual have others between them that were left out."""


def spectra(
    values: NDArray[np.floating],
    kinds: Sequence[str],
    spectrum: Spectrum | None,
    good: NDArray[np.bool_],
) -> Figure:
    """Endmembers (p, B) as lines over the wavelength, in the colours of the `kinds` they are of.

    There are gaps where bands are not good, or far apart.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    places, shown = curves(values, spectrum, good)
    materials = dict.fromkeys(kinds)
    palette = dict(zip(materials, colours(len(materials)), strict=True))
    for line, kind in zip(shown, kinds, strict=True):
        axes.plot(places, line, color=web(palette[kind]), label=kind, linewidth=1.6)
    axes.set_ylabel("in the units of the scene")
    over_bands(axes, spectrum)
    _name(figure, dict(zip(kinds, axes.lines, strict=True)))
    return figure


def curves(
    values: NDArray[np.floating], spectrum: Spectrum | None, good: NDArray[np.bool_]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Wavelengths in order (n,), or numbers of bands, and what spectra (p, B) are there (p, n).

    NaN where bands are not good, and in between where they are far apart.
    """
    places = np.arange(1, len(good) + 1.0) if spectrum is None else np.array(spectrum.centres_nm)
    order = np.argsort(places, kind="stable")
    places, shown = places[order], np.where(good, values, np.nan)[:, order]
    holes = _holes(places[good[order]])
    at = np.searchsorted(places, holes)
    return np.insert(places, at, holes), np.insert(shown, at, np.nan, axis=1)


def over_bands(axes: Axes, spectrum: Spectrum | None) -> None:
    """Label the spectral axis, and draw a light grid."""
    axes.set_xlabel("band" if spectrum is None else "wavelength [nm]")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _name(figure: Figure, lines: Mapping[str, Line2D]) -> None:
    """A legend beside the lines."""
    columns = min(-(-len(lines) // _LINES), _COLUMNS)
    figure.set_figwidth(6 + 2 * columns)
    named = list(lines)[: columns * _LINES]
    figure.legend(
        *([lines[name] for name in named], [f"{name:.{_LONGEST}}" for name in named]),
        loc="outside right upper",
        frameon=False,
        fontsize="small",
        ncols=columns,
    )


def _holes(places: NDArray[np.floating]) -> NDArray[np.floating]:
    """Places between bands that are far apart."""
    steps = np.diff(places)
    far = steps > _FAR * np.median(steps) if len(steps) else np.zeros(0, bool)
    return np.asarray(places[:-1][far] + steps[far] / 2)


def maps(
    scene: Image,
    abundances: NDArray[np.float32],
    names: Sequence[str],
    others: Mapping[str, NDArray[np.float32]],
) -> Figure:
    """A sheet of maps: the scene, its abundances (p, h, w), and other maps (h, w).

    Of very many materials only the most abundant are shown.
    """
    palette = colours(len(names))
    shown = np.sort(np.argsort(-np.nan_to_num(abundances).mean((1, 2)), kind="stable")[:_MOST])
    titles = ["scene", "dominant material", *(names[i] for i in shown), *others]
    figure, grid = _grid(titles, abundances.shape[1:])
    grid[0].imshow(scene)
    grid[1].imshow(classified(dominant(abundances), palette), interpolation="nearest")
    for axes, i in zip(grid[2:], shown, strict=False):
        _draw(axes, abundances[i], "viridis", 0, 1)
        _frame(axes, web(palette[i]))
    for axes, values in zip(grid[2 + len(shown) :], others.values(), strict=True):
        finite = values[np.isfinite(values)]
        low, high = np.quantile(finite, (0.02, 0.98)) if finite.size else (0, 1)
        _draw(axes, values, "magma", low, high)
    return figure


def _grid(titles: Sequence[str], size: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """A figure with room for so many maps, each (h, w), and for a scale beside it."""
    shape = float(np.clip(size[0] / size[1], *_SHAPES))
    wide, across = (_WIDTH, _ACROSS) if shape > 0.5 else (2 * _WIDTH, _ACROSS // 2)
    across, high = min(len(titles), across), wide * shape
    down = -(-len(titles) // across)
    width, height = across * (wide + _SCALE), down * (high + _TITLE)
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=_MARGIN / width,
        right=1 - (_SCALE - _MARGIN) / width,
        bottom=_MARGIN / height,
        top=1 - (_TITLE - _MARGIN) / height,
        wspace=_SCALE / wide,
        hspace=_TITLE / high,
    )
    grid = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(f"{title:.{_LONGEST}}", fontsize="medium")
        axes.set(xticks=[], yticks=[], facecolor=_NO_DATA)
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    return figure, grid[: len(titles)]


def _draw(axes: Axes, values: NDArray[np.float32], name: str, low: float, high: float) -> None:
    """A map with its scale beside it."""
    shown = axes.imshow(values, cmap=name, vmin=low, vmax=high)
    wide, high = (side / axes.figure.dpi for side in (axes.bbox.width, axes.bbox.height))
    scale = axes.inset_axes((1 + 0.1 / wide, 0, 0.13 / wide, 1))
    ticks = MaxNLocator(int(np.clip(2 * high, 1, 5)))
    axes.figure.colorbar(shown, cax=scale, ticks=ticks).ax.tick_params(labelsize="small")


def _frame(axes: Axes, colour: str) -> None:
    """Frame a map in the colour that its material has in other pictures."""
    for side in axes.spines.values():
        side.set(color=colour, linewidth=4)


def web(colour: Colour) -> str:
    """A colour as it is written on the web and understood by matplotlib."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def write(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    write_durably(path, data.getvalue())
