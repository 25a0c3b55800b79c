"""What an HDF5 file holds, and whether it may be read: nothing outside the file, nothing absurd.

HDF5 can point to other files (external links, external storage, virtual data sets), declare arrays
that were never written, and name filters that load code. All that is refused before any pixel is
read; soft links stay inside the file but are not followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from hsisr.errors import HsisrError, InputError
from hsisr.files import human_size
from hsisr.formats._variables import NUMBERS, Variable, printable
from hsisr.formats.hdf5.values import fixed_text

_MOST_OBJECTS = 10_000
_INFLATION = 1000
_LARGEST_CHUNK = 2**28
# deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lzf: the ones that need no plug-in
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
_LENGTH_ONLY = "This is a netCDF dimension but not a netCDF variable"
_MATLAB_INTERNAL = frozenset({"#refs#", "#subsystem#"})


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever h5py raises about the file at `path` into an `InputError`."""
    try:
        yield
    except (HsisrError, MemoryError):
        raise
    except Exception as error:
        reason = printable(str(error).split("\n")[0])
        raise InputError(
            f"damaged HDF5 file: {reason}",
            where=path,
            hint="it may be cut off, or was not closed properly by the program that wrote it",
        ) from error


def open_file(path: Path) -> h5py.File:
    """Open for reading only and without locks, which fail on network and read-only disks."""
    with explained(path):
        return h5py.File(path, "r", locking=False)


def is_matlab(dataset: h5py.Dataset) -> bool:
    """Whether MATLAB wrote it, whose axes are reversed in the file."""
    return "MATLAB_class" in dataset.attrs


def walk(file: h5py.File, path: Path) -> list[Variable]:
    """Every data set and link of the file; raises `InputError` if the file is not to be trusted."""
    found: list[Variable] = []
    declared = 0
    for name, member in _members(file, path):
        if isinstance(member, str):
            found.append(Variable(name, (), member))
            continue
        _require_inside(name, member, path)
        shape = member.shape or ()
        found.append(Variable(name, shape[::-1] if is_matlab(member) else shape, _kind(member)))
        declared += prod(shape) * member.id.get_type().get_size()
    size = path.stat().st_size
    if declared > size * _INFLATION:
        raise InputError(
            f"declares {human_size(declared)} of data in a file of {human_size(size)}", where=path
        )
    return found


def require_readable(dataset: h5py.Dataset, path: Path) -> int:
    """Raise `InputError` unless all pixels can be read within bounds; how many chunks are missing.

    A chunk that was never written reads as the fill value, a data set without any as a blank.
    """
    name = f"'{printable(dataset.name)}'"
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(index)[0] for index in range(plist.get_nfilters())}
    if filters - _FILTERS:
        raise InputError(
            f"{name} is compressed with a filter that needs a plug-in: {min(filters - _FILTERS)}",
            where=path,
            hint="store it again without, or with gzip: h5repack -f GZIP=4 IN OUT",
        )
    if not dataset.id.get_storage_size():
        raise InputError(f"{name} is declared but was never written", where=path)
    if dataset.chunks is not None:
        return _require_sane_chunks(name, dataset, path)
    offset = dataset.id.get_offset()
    if offset is not None and offset + dataset.nbytes > path.stat().st_size:
        raise InputError(f"{name} reaches beyond the end of the file", where=path)
    return 0


def loaded(file: h5py.File, variable: Variable, path: Path) -> NDArray[Any]:
    """All of a data set, in the order of the file; raises `InputError`."""
    dataset = file[variable.name]
    require_readable(dataset, path)
    stored: NDArray[Any] = dataset[()]
    return stored


def _require_sane_chunks(name: str, dataset: h5py.Dataset, path: Path) -> int:
    size = prod(dataset.chunks) * dataset.dtype.itemsize
    stored: list[int] = []
    if size <= _LARGEST_CHUNK:
        dataset.id.chunk_iter(lambda chunk: stored.append(chunk.size))
    # a stream longer than its chunk would inflate without bound
    if size > _LARGEST_CHUNK or max(stored) > size * 1.01 + 1024:
        raise InputError(
            f"{name} is stored in chunks of {human_size(max([size, *stored]))}", where=path
        )
    counts = (-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return int(prod(counts)) - len(stored)


def _members(file: h5py.File, path: Path) -> Iterator[tuple[str, h5py.Dataset | str]]:
    """Every data set by its name, or in words what else the name stands for."""
    groups, seen, objects = [("", file["/"])], set(), 0
    for prefix, group in groups:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        objects += len(group)
        if objects > _MOST_OBJECTS:
            raise InputError(f"holds more than {_MOST_OBJECTS} objects", where=path)
        for key in group:
            item = _linked(group, key, prefix + key, path)
            if isinstance(item, h5py.Dataset | str):
                yield prefix + key, item
            elif isinstance(item, h5py.Group) and key not in _MATLAB_INTERNAL:
                groups.append((f"{prefix}{key}/", item))


def _linked(group: h5py.Group, key: str, name: str, path: Path) -> Any:
    link = group.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise _foreign(name, "is a link to another file", path)
    if not isinstance(link, h5py.HardLink):
        return "soft link"
    item = group[key]
    is_sparse = isinstance(item, h5py.Group) and "MATLAB_sparse" in item.attrs
    return "sparse" if is_sparse else item


def _foreign(name: str, what: str, path: Path) -> InputError:
    return InputError(
        f"'{printable(name)}' {what}",
        where=path,
        hint="only what is inside the file is read; copy the data into it, e.g. with h5repack",
    )


def _require_inside(name: str, dataset: h5py.Dataset, path: Path) -> None:
    if dataset.external:
        raise _foreign(name, "keeps its data in another file", path)
    if dataset.is_virtual:
        raise _foreign(name, "is a virtual data set made of other files", path)


def _kind(dataset: h5py.Dataset) -> str:
    if "MATLAB_empty" in dataset.attrs:
        return "empty"
    if (fixed_text(dataset, "NAME") or "").startswith(_LENGTH_ONLY):
        return "dimension"
    matlab = fixed_text(dataset, "MATLAB_class")
    if matlab is not None and matlab not in NUMBERS:
        return matlab
    try:
        dtype = dataset.dtype
    except (TypeError, ValueError):
        return "of a type that NumPy lacks"
    if h5py.check_string_dtype(dtype) is not None:
        return "text"
    if dtype.kind in "iuf":
        return str(dtype.newbyteorder("=").name)
    return "complex" if dtype.kind in "cV" else str(dtype.name)
