"""Small values of an HDF5 file: attributes and short data sets.

Values of variable length lie in heaps where the library, given a damaged file, crashes or loops for
ever (seen with HDF5 2.0); only a confined process touches them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hsisr.formats._confined import Confined

Place = tuple[str, str | None]
"""The name of a data set, and of its attribute or None for the data themselves."""
Plain = tuple[float, ...] | tuple[str, ...]

_LARGEST = 2**20


def read_values(file: h5py.File, places: Iterable[Place], path: Path) -> dict[Place, Plain]:
    """What stands at `places`, as numbers or texts; what is missing or long is left out."""
    found: dict[Place, Plain] = {}
    deferred: list[Place] = []
    for place in places:
        source = _source(file, place)
        if source is None or source.get_storage_size() > _LARGEST:
            continue
        if source.dtype.hasobject:
            deferred.append(place)
        else:
            found[place] = _plain(_value(file, place))
    if deferred:
        with Confined(path) as process:
            texts = process.ask("hdf5_texts", size=path.stat().st_size, places=deferred)
        found |= {place: tuple(text) for place, text in zip(deferred, texts, strict=True)}
    return found


def text(plain: Plain) -> str:
    """The first text; MATLAB stores texts as the numbers of their characters."""
    texts = [item for item in plain if isinstance(item, str)]
    return texts[0] if texts else "".join(chr(int(item)) for item in plain)


def fixed_text(dataset: h5py.Dataset, attribute: str) -> str | None:
    """The text of an attribute if it is stored with a fixed length."""
    if attribute not in dataset.attrs:
        return None
    if h5py.h5a.open(dataset.id, attribute.encode()).dtype.hasobject:
        return None
    value = _plain(dataset.attrs[attribute])
    return value[0] if value and isinstance(value[0], str) else None


def _source(file: h5py.File, place: Place) -> Any:
    name, attribute = place
    dataset = file[name]
    if attribute is None:
        return dataset.id
    if attribute not in dataset.attrs:
        return None
    return h5py.h5a.open(dataset.id, attribute.encode())


def _value(file: h5py.File, place: Place) -> Any:
    name, attribute = place
    return file[name][()] if attribute is None else file[name].attrs[attribute]


def _plain(value: Any) -> Plain:
    array = np.asarray(value)
    if array.dtype.kind in "iuf":
        return tuple(float(number) for number in array.flat)
    if array.dtype.kind == "S":
        return tuple(text.decode("utf-8", "replace") for text in array.flat)
    return tuple(array.flat) if array.dtype.kind == "U" else ()
