"""Windows of an image, for tests that compare a part with the whole."""

from __future__ import annotations

import random


def windows(size: tuple[int, int], count: int) -> list[tuple[slice, slice]]:
    """Random rectangles, seeded by the size, and then the first and the last pixel."""
    draw = random.Random(size[0] * 100 + size[1])

    def stretch(length: int) -> slice:
        first = draw.randrange(length)
        return slice(first, draw.randint(first + 1, length))

    corners = [
        tuple(slice(i, i + 1) for i in corner) for corner in ((0, 0), (size[0] - 1, size[1] - 1))
    ]
    return [(stretch(size[0]), stretch(size[1])) for _ in range(count)] + corners
