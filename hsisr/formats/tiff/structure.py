"""The chain of directories in a TIFF file, checked before a library that repairs gets to see it.

tifffile drops tags that it cannot read, shortens lists that are too long and stops at offsets that
lead nowhere. That turns a damaged scene into one of another shape; here it becomes an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hsisr.formats.tiff.errors import MalformedError, UnsupportedError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first four bytes: little and big endian, classic and BigTIFF."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}

_MAX_PAGES = 4096
_MAX_TAGS = 1024

# MetaMorph, FluoView, Zeiss LSM, NIH Image, NDPI: tifffile leaves the standard for these
_MICROSCOPES = frozenset((33628, 33629, 33630, 33631, 34361, 34412, 43314, 65420, 65426))


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How wide the numbers of a directory are: classic TIFF or BigTIFF."""

    order: str
    offset: str
    entries: str
    inline: int

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(f"{self.order}HH{self.offset}{self.inline}s")


def count_pages(file: BinaryIO) -> int:
    """How many directories a TIFF file holds; raises `MalformedError` if any of them is not sound.

    Every tag has a known type and a value inside the file, no tag comes twice, and the chain of
    directories ends without a loop.
    """
    size = file.seek(0, 2)
    dialect, offset = _header(file)
    seen: set[int] = set()
    values = 0
    while offset:
        if offset in seen:
            raise MalformedError(f"the directories form a loop at byte {offset}")
        if len(seen) == _MAX_PAGES:
            raise MalformedError(f"more than {_MAX_PAGES} directories")
        seen.add(offset)
        entries, offset = _directory(file, dialect, offset)
        values += sum(_check_tags(dialect, entries, size))
        if values > size:
            raise MalformedError("the values of the tags overlap")
    if not seen:
        raise MalformedError("the file holds no image")
    return len(seen)


def _header(file: BinaryIO) -> tuple[_Dialect, int]:
    file.seek(0)
    magic = _take(file, 4)
    order = "<" if magic[:2] == b"II" else ">"
    if magic in (b"II*\0", b"MM\0*"):
        dialect = _Dialect(order, "I", "H", 4)
    elif magic in MAGIC and _take(file, 4) == struct.pack(f"{order}HH", 8, 0):
        dialect = _Dialect(order, "Q", "Q", 8)
    else:
        raise MalformedError("the file does not begin as a TIFF")
    return dialect, _number(file, order + dialect.offset)


def _directory(file: BinaryIO, dialect: _Dialect, offset: int) -> tuple[bytes, int]:
    """The bytes of all entries of the directory at `offset`, and where the next one is."""
    file.seek(min(offset, 2**63 - 1))
    count = _number(file, dialect.order + dialect.entries)
    if not 0 < count <= _MAX_TAGS:
        raise MalformedError(f"a directory of {count} tags at byte {offset}")
    entries = _take(file, count * dialect.entry.size)
    return entries, _number(file, dialect.order + dialect.offset)


def _check_tags(dialect: _Dialect, entries: bytes, size: int) -> Iterator[int]:
    """The sizes of the values stored outside the entries."""
    codes = set()
    for code, kind, count, value in dialect.entry.iter_unpack(entries):
        if code in codes:
            raise MalformedError(f"tag {code} comes twice")
        if code in _MICROSCOPES:
            raise UnsupportedError(f"tag {code} marks the file of a microscope")
        codes.add(code)
        if kind not in _TYPE_BYTES:
            raise MalformedError(f"tag {code} has the unknown type {kind}")
        length = count * _TYPE_BYTES[kind]
        if length <= dialect.inline:
            continue
        (start,) = struct.unpack(dialect.order + dialect.offset, value)
        if start < 8 or start + length > size:
            raise MalformedError(f"the value of tag {code} lies outside the file")
        yield length


def _number(file: BinaryIO, form: str) -> int:
    (value,) = struct.unpack(form, _take(file, struct.calcsize(form)))
    return int(value)


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise MalformedError("the file ends inside a directory")
    return data
