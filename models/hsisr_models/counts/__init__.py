"""How many endmembers a scene has, one estimate per file."""

from collections.abc import Iterable

from hsisr_models.contract import CountFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[CountFile]("counts")

FEWEST, MOST = 2, 12


def capped(estimates: Iterable[int]) -> int:
    """The count to go by: the smallest of the estimates, at least 2 and at most 12.

    On real scenes, estimates by the noise count every variation of a material as another.
    """
    return min(max(min(estimates), FEWEST), MOST)
