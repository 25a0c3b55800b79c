"""Fields of an outcome that a term requires."""

from __future__ import annotations

from torch import Tensor


def needed(field: Tensor | None, name: str) -> Tensor:
    """The field; raises `ValueError` where the training step did not produce it."""
    if field is None:
        raise ValueError(f"this term needs the {name}, which the training step does not produce")
    return field
