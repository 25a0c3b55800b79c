"""A variable of a MAT file as an array, decoded by a confined process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsisr.errors import InputError, OutputError
from hsisr.files import human_size, require_room
from hsisr.formats._confined import Confined
from hsisr.formats._metadata import Value
from hsisr.formats._variables import Variable

_COPIES = 3
"""Inflated bytes, the array and a converted copy may live at the same time."""
_LARGEST = 2**31
"""The format's limit for one variable in bytes."""
_INFLATION = 1032 * 8
"""Deflate's best ratio, and a double that is stored as one byte."""
_CLASSES = {"double": "float64", "single": "float32"}


def dtype_of(variable: Variable) -> np.dtype[Any]:
    """The type of a numeric variable's numbers, of which the file has MATLAB's name."""
    return np.dtype(_CLASSES.get(variable.kind, variable.kind))


def list_variables(decoder: Confined, path: Path) -> list[Variable]:
    """Everything the file holds; raises `InputError` if that cannot be told."""
    found = decoder.ask("mat_variables", size=path.stat().st_size)
    return [Variable(name, tuple(shape), kind) for name, shape, kind in found]


def extract(
    decoder: Confined, path: Path, wanted: Variable, metadata: Mapping[str, Variable]
) -> tuple[NDArray[Any], dict[str, Value]]:
    """The array of a variable as a map of a nameless file; the metadata by key."""
    size = prod(wanted.shape) * dtype_of(wanted).itemsize
    _require_plausible(path, wanted, size)
    with tempfile.TemporaryDirectory(prefix="hsisr-") as folder:
        target = Path(folder) / "wanted.npy"
        require_room(target, size)
        found = decoder.ask(
            "mat_extract",
            size=size,
            copies=_COPIES,
            wanted=wanted.name,
            metadata={key: variable.name for key, variable in metadata.items()},
            target=str(target),
        )
        # the map outlives the name, so nothing is left behind however this process ends
        stored = np.load(target, mmap_mode="r", allow_pickle=False)
    if stored.shape != wanted.shape:
        raise decoder.failed(f"{wanted} turned out to have the shape {stored.shape}")
    return stored, {key: v if isinstance(v, str) else tuple(v) for key, v in found.items() if v}


def _require_plausible(path: Path, wanted: Variable, size: int) -> None:
    if size > min(_LARGEST, path.stat().st_size * _INFLATION):
        raise InputError(
            f"variable {wanted} declares {human_size(size)}, more than this file can hold",
            where=path,
        )
    if size > _available_memory() / 2:
        raise OutputError(
            f"not enough memory to decode {wanted}: it takes {human_size(size)}",
            where=path,
            hint="save it with -v7.3 in MATLAB; such files are read in pieces",
        )


def _available_memory() -> int:
    try:
        with Path("/proc/meminfo").open() as lines:
            found = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return found["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
