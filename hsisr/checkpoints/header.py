"""The header of a model file: its card and sizes, read without the tensors."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hsisr.errors import ModelError

FORMAT = "hsisr/1"
MODEL = "model.safetensors"
"""The file of a model in a folder of its own."""
_LIMIT = 1 << 24
_REFUSALS = (LookupError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True)
class Header:
    """The card of a model as its file states it; only reading the whole file verifies it."""

    about: dict[str, Any]
    """The card (`checkpoint.Card`) as JSON."""
    sha256: str
    parameters: int
    scale: int


def read_header(path: Path) -> Header:
    """The header of a model file; raises `ModelError`."""
    try:
        with path.open("rb") as file:
            metadata, tensors = tables(file, path)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=path) from error
    try:
        about = json.loads(metadata["about"])
        parameters = sum(math.prod(entry["shape"]) for entry in tensors.values())
        return Header(about, str(metadata["sha256"]), int(parameters), int(about["scale"]))
    except _REFUSALS as error:
        raise ModelError(f"its header is malformed: {error}", where=path) from error


def tables(file: BinaryIO, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a file (format, about, sha256), and its entry for each tensor.

    Raises `ModelError`.
    """
    start = file.read(8)
    length = int.from_bytes(start, "little")
    text = file.read(min(length, _LIMIT))
    if length != len(text) or text[:1] != b"{":
        raise ModelError(
            "not a .safetensors file",
            where=path,
            hint="hsisr never opens pickled models (.pt, .pth, .ckpt): they can run code",
        )
    try:
        tensors = json.loads(text)
        metadata = tensors.pop("__metadata__")
    except (ValueError, KeyError, RecursionError) as error:
        raise ModelError("not a model of hsisr: its header has no card", where=path) from error
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found != FORMAT:
        raise ModelError(f"has format {found!r}, this hsisr reads {FORMAT!r}", where=path)
    return metadata, tensors
