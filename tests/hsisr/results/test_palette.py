"""Materials have colours that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import rgb2lab

from hsisr.results.palette import classes, colours

SIGHT = {
    "normal": np.eye(3),
    "without red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "without green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "without blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Machado, Oliveira and Fernandes 2009, for linear RGB."""


def seen(rgb: NDArray[np.float64], sight: str) -> NDArray[np.float64]:
    """In CIELAB."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    left = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    shown = np.where(left <= 0.0031308, 12.92 * left, 1.055 * left ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(shown[None])[0])


@pytest.mark.parametrize("sight", SIGHT)
def test_twelve_colours_and_black_are_distinct_to_all_eyes(sight: str) -> None:
    lab = seen(np.array([(0, 0, 0), *colours(12)]) / 255, sight)
    apart = np.linalg.norm(lab[:, None] - lab, axis=2)[np.triu_indices(13, 1)]
    # 2.3 is just noticeable
    assert apart.min() > 12


def test_more_colours_differ_and_the_first_stay() -> None:
    many = colours(62)
    assert len(set(many)) == len(many) == 62
    assert many[:5] == colours(5)
    assert colours(0) == []


def test_classes_begin_with_none_which_is_black() -> None:
    none, first, second = classes(["water", "soil"])
    assert (none.name, none.colour) == ("none", (0, 0, 0))
    assert [first.name, second.name] == ["water", "soil"]
    assert [first.colour, second.colour] == colours(2)
