"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: float, one: str, many: str = "") -> str:
    """`1 band`, `2 bands`, `1,000 bands`; the plural is `many`, or what is `one` with an s."""
    return f"{number:,.12g} {one if number == 1 else many or f'{one}s'}"


def listed(items: Iterable[str], most: int = 5) -> str:
    """The first items, and how many more there are."""
    known = list(items)
    more = [f"and {len(known) - most} more"] if len(known) > most else []
    return "; ".join([*known[:most], *more])
