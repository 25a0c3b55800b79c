"""Numbers in sentences agree with their nouns, lists are short."""

from __future__ import annotations

import numpy as np
import pytest

from hsisr.wording import counted, listed


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0 bands"),
        (1, "1 band"),
        (2, "2 bands"),
        (1.0, "1 band"),
        (0.5, "0.5 bands"),
        (1234567890, "1,234,567,890 bands"),
        (np.int64(1), "1 band"),
    ],
)
def test_a_noun_is_in_the_plural_unless_there_is_one(number, told):
    assert counted(number, "band") == told


def test_a_plural_can_be_given():
    assert counted(1, "spectrum", "spectra") == "1 spectrum"
    assert counted(2, "spectrum", "spectra") == "2 spectra"


def test_a_long_list_tells_how_much_more_there_is():
    assert listed("abc") == "a; b; c"
    assert listed("abc", most=2) == "a; b; and 1 more"
