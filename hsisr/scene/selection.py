"""Parts of a scene as users name them: bands by number or wavelength, windows, map boxes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Cube, Geo, Spectrum
from hsisr.errors import UsageError
from hsisr.scene.view import View
from hsisr.window import Window
from hsisr.wording import counted

Box = tuple[float, float, float, float]
"""x and y of the lower left corner, then of the upper right one, in map coordinates."""

_RANGE = re.compile(
    r"(?:([\d.]+)\s*([a-zµμ]+)?)?\s*(?:(-)\s*(?:([\d.]+)\s*([a-zµμ]+)?)?)?", re.IGNORECASE
)
_NANOMETRES = {"nm": 1.0, **dict.fromkeys(("um", "µm", "μm"), 1e3)}
_HINT = "for example 1-50,60,100- or 450-900nm"
_EDGE = 1e-6
"""Of a pixel: a box that was computed to end at a pixel's edge does not take the next pixel."""


def selected(cube: Cube, bands: str | None, window: str | None, bbox: str | None) -> Cube:
    """The part of a scene that is asked for, in the words of the functions below.

    The scene itself if nothing is; raises `UsageError`.
    """
    if window and bbox:
        raise UsageError("--window and --bbox contradict each other", hint="leave out one of them")
    if not (bands or window or bbox):
        return cube
    chosen = bands_named(bands, cube) if bands else None
    if bbox:
        return View(cube, chosen, covering(box_named(bbox), cube))
    return View(cube, chosen, window_named(window, cube) if window else None)


def window_named(text: str, cube: Cube) -> Window:
    """The window `ROW,COL,HEIGHT,WIDTH`, pixels counted from 0; raises `UsageError`."""
    parts = text.split(",")
    if len(parts) != 4 or not all(re.fullmatch(r"\s*\d{1,18}\s*", part, re.A) for part in parts):
        raise UsageError(
            f"'{text}' is no window; four whole numbers of at least 0 were expected",
            hint="--window ROW,COL,HEIGHT,WIDTH",
        )
    window = Window(*map(int, parts))
    if not (window.height and window.width and cube.spec.window.contains(window)):
        raise UsageError(
            f"the window {text} is not inside the scene, which has "
            f"{counted(cube.spec.rows, 'row')} and {counted(cube.spec.cols, 'column')}",
            where=cube.files[0],
            hint="--window ROW,COL,HEIGHT,WIDTH, pixels counted from 0",
        )
    return window


def box_named(text: str) -> Box:
    """The box `XMIN,YMIN,XMAX,YMAX` in map coordinates; raises `UsageError`."""
    try:
        left, bottom, right, top = map(float, text.split(","))
        if -math.inf < left < right < math.inf and -math.inf < bottom < top < math.inf:
            return left, bottom, right, top
    except ValueError:
        pass
    raise UsageError(
        f"'{text}' is no box; four numbers, the first two less than the others, were expected",
        hint="--bbox XMIN,YMIN,XMAX,YMAX",
    )


def bands_named(text: str, cube: Cube) -> tuple[int, ...]:
    """The bands that `text` names, counted from 0, each once and in the order of the text.

    Items are separated by commas: bands counted from 1 and ranges of them (`1-50`, `100-`), or
    wavelengths (`450-900nm`, `0.45um-0.9um`; `650nm` is the band nearest to it). Raises
    `UsageError` where the scene has no such band.
    """
    named = [band for item in text.split(",") for band in _bands(item.strip(), cube)]
    return tuple(dict.fromkeys(named))


def stretches(bands: NDArray[np.bool_], spectrum: Spectrum | None) -> str:
    """Bands in the words of `--bands`: by wavelength where that is known, else by number."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], bands.astype(int), [0]))))
    if spectrum is None:
        return ",".join(f"{a + 1}-{b}" for a, b in edges.reshape(-1, 2))
    centres = np.array(spectrum.centres_nm)
    pairs = ((centres[a:b].min(), centres[a:b].max()) for a, b in edges.reshape(-1, 2))
    return ",".join(
        f"{np.floor(low * 100) / 100:g}-{np.ceil(high * 100) / 100:g}nm" for low, high in pairs
    )


def _bands(item: str, cube: Cube) -> Iterator[int]:
    match = _RANGE.fullmatch(item)
    if match is None or not (match[1] or match[4]):
        raise UsageError(f"'{item}' is neither a band nor a range of bands", hint=_HINT)
    first, first_unit, dash, last, last_unit = match.groups()
    if first_unit or last_unit:
        bounds = (
            _nanometres(first, first_unit or last_unit),
            _nanometres(last, last_unit or first_unit),
        )
        return _by_wavelength(item, bounds if dash else (bounds[0], bounds[0]), cube)
    start = _number(first, cube) if first else 0
    stop = (_number(last, cube) if last else cube.spec.bands - 1) if dash else start
    if stop < start:
        raise UsageError(f"the bands {item} end before they begin", hint=_HINT)
    return iter(range(start, stop + 1))


def _number(text: str, cube: Cube) -> int:
    """A band counted from 1, counted from 0."""
    if not re.fullmatch(r"\d{1,9}", text, re.A):
        raise UsageError(f"{text} is no number of a band", hint=f"a wavelength? {text}nm")
    if not 1 <= int(text) <= cube.spec.bands:
        raise UsageError(
            f"there is no band {text}; the scene has bands 1 to {cube.spec.bands}",
            where=cube.files[0],
        )
    return int(text) - 1


def _nanometres(text: str | None, unit: str) -> float | None:
    if text is None:
        return None
    try:
        # 0.4045 um are 404.5 nm, not 404.49999999999994
        return round(float(text) * _NANOMETRES[unit.lower()], 9)
    except (ValueError, KeyError):
        raise UsageError(f"'{text}{unit}' is no wavelength", hint=_HINT) from None


def _by_wavelength(
    item: str, bounds: tuple[float | None, float | None], cube: Cube
) -> Iterator[int]:
    spectrum = cube.spec.spectrum
    if spectrum is None:
        raise UsageError(
            f"no wavelengths are known, of which {item} would be some",
            where=cube.files[0],
            hint=f"name bands by number, 1 to {cube.spec.bands}",
        )
    centres = spectrum.centres_nm
    low, high = bounds
    if low is not None and low == high and min(centres) <= low <= max(centres):
        return iter([min(range(len(centres)), key=lambda band: abs(centres[band] - low))])
    found = [
        band
        for band, centre in enumerate(centres)
        if (low is None or low <= centre) and (high is None or centre <= high)
    ]
    if not found:
        raise UsageError(
            f"no band lies in {item}; the scene has {min(centres):g} to {max(centres):g} nm",
            where=cube.files[0],
        )
    return iter(found)


def covering(box: Box, cube: Cube) -> Window:
    """The smallest window that covers what the scene has of `box`.

    Raises `UsageError` where that is nothing, or the scene has no map coordinates.
    """
    spec = cube.spec
    if spec.geo is None:
        raise UsageError(
            "the scene has no map coordinates",
            where=cube.files[0],
            hint="--window ROW,COL,HEIGHT,WIDTH, in pixels",
        )
    left, bottom, right, top = box
    cols, rows = zip(
        *(_pixel(spec.geo, x, y) for x in (left, right) for y in (bottom, top)), strict=True
    )
    row, row_stop = _within(rows, spec.rows)
    col, col_stop = _within(cols, spec.cols)
    xs, ys = zip(*spec.geo.corners(spec.rows, spec.cols), strict=True)
    # of a rotated scene the box may lie beside a corner, among rows and columns that it has
    beside = right <= min(xs) or max(xs) <= left or top <= min(ys) or max(ys) <= bottom
    if beside or row_stop <= row or col_stop <= col:
        extent = ",".join(f"{number:.10g}" for number in (min(xs), min(ys), max(xs), max(ys)))
        system = (spec.geo.crs or "a system without a name").splitlines()[0][:60]
        raise UsageError(
            f"the scene has nothing of this box; it extends over {extent}",
            where=cube.files[0],
            hint=f"give XMIN,YMIN,XMAX,YMAX in the scene's own coordinates, {system}",
        )
    return Window(row, col, row_stop - row, col_stop - col)


def _pixel(geo: Geo, x: float, y: float) -> tuple[float, float]:
    """The column and row of a point on the map, counted from the corner of the first pixel."""
    a, b, left, d, e, top = geo.transform
    right, down, size = x - left, y - top, a * e - b * d
    return (e * right - b * down) / size, (a * down - d * right) / size


def _within(positions: Sequence[float], length: int) -> tuple[int, int]:
    """The first pixel that the positions span and the one after the last, of those there are."""
    start = math.floor(min(positions) + _EDGE)
    stop = max(math.ceil(max(positions) - _EDGE), start + 1)
    return max(start, 0), min(stop, length)
