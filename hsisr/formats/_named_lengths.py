"""Wavelengths in the names of bands, where a file has no better place for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LENGTH = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?)\b", re.IGNORECASE
)


def named_lengths(names: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The first number with a unit in each name, and the units; None if a name has none."""
    found = [match for name in names if (match := _LENGTH.search(name))]
    if not names or len(found) < len(names):
        return None
    return [match[1] for match in found], [match[2].lower() for match in found]
