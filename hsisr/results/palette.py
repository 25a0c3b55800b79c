"""Colours for materials that colour-blind eyes can tell apart, too."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from hsisr.cube import Class

Colour = tuple[int, int, int]

_NONE = Class("none", (0, 0, 0))
_DISTINCT: tuple[Colour, ...] = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0)),
    *((204, 121, 167), (86, 180, 233), (240, 228, 66), (102, 17, 0)),
    *((148, 0, 230), (34, 34, 85), (0, 252, 207), (136, 34, 85)),
)
"""The colours of Okabe and Ito 2008 without black, then those farthest from all before them by the
worst of four kinds of sight (Machado et al. 2009)."""
_TURN = (5**0.5 - 1) / 2
"""Hues this far apart, in turns, never come close to one another."""


def colours(count: int) -> list[Colour]:
    """`count` colours: the first 12 are distinct to colour-blind eyes, the others by their hue."""
    return [*_DISTINCT, *(_hue(i * _TURN) for i in range(count - len(_DISTINCT)))][:count]


def _hue(turn: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(turn % 1, 0.6, 0.85))
    return red, green, blue


def classes(names: Sequence[str]) -> tuple[Class, ...]:
    """The classes of a map of materials: 0 for none, then each with its name and colour."""
    return _NONE, *map(Class, names, colours(len(names)))
