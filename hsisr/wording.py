"""Numbers in sentences."""

from __future__ import annotations


def counted(number: float, one: str, many: str = "") -> str:
    """`1 band`, `2 bands`, `1,000 bands`; the plural is `many`, or what is `one` with an s."""
    return f"{number:,.12g} {one if number == 1 else many or f'{one}s'}"
