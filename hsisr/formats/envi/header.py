"""The text of an ENVI header, kept word for word: keys in order, values as written, comments.

A header is the line `ENVI` and lines `key = value`. A value that begins with `{` may span lines;
it ends with a line that ends in `}`, if its braces are balanced there or another entry follows
(text in braces may hold braces of its own). A line that begins with `;` is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hsisr.errors import InputError

MAGIC = b"ENVI"
COMMENT = ";"

_LIMIT = 1 << 20
_PER_LINE = 8
_BYTE_ORDER_MARK = "\ufeff"
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]+)?")
_ESRI = re.compile(r"\s*(BYTEORDER|LAYOUT|NROWS|NCOLS|NBANDS|NBITS)\s", re.IGNORECASE)

Entry = tuple[str, str]
"""A key and its value, or an empty key and a line that is no entry (a comment)."""


@dataclass(frozen=True)
class EnviHeader:
    """The entries of a header in order; keys are looked up in any case and spacing."""

    entries: tuple[Entry, ...]

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for key, value in self.entries:
            if key:
                index.setdefault(normal(key), []).append(value)
        return index

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key once, in lower case and single-spaced."""
        return tuple(self._values)

    def values(self, key: str) -> list[str]:
        """Everything the header says about `key`, braces included."""
        return self._values.get(normal(key), [])

    def render(self) -> str:
        """The text of the header; `parse_header` gives an equal header back."""
        lines = (f"{key} = {value}" if key else value for key, value in self.entries)
        return "\n".join([MAGIC.decode(), *lines, ""])


def normal(key: str) -> str:
    """A key as it is compared: lower case, single-spaced."""
    return " ".join(key.lower().split())


def shown(text: str) -> str:
    """Text from a file, safe and short enough for a message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def inner(value: str) -> str:
    """The text of a value without its outer braces."""
    return _unbraced(value).strip()


def items(value: str) -> list[str]:
    """The items of a list; comment lines and a comma after the last item are ignored."""
    first, *lines = _unbraced(value).split("\n")
    lines = [line for line in lines if not line.startswith(COMMENT)]
    found = [item.strip() for item in "\n".join([first, *lines]).split(",")]
    return found if found[-1] else found[:-1]


def braced(texts: Sequence[str]) -> str:
    """A list as the value of a key."""
    # in short lines: GDAL reads none longer than 10,000 characters
    lines = (texts[i : i + _PER_LINE] for i in range(0, len(texts), _PER_LINE))
    return "{\n " + ",\n ".join(", ".join(line) for line in lines) + "}"


def _unbraced(value: str) -> str:
    return value[1:].removesuffix("}") if value.startswith("{") else value


def to_integer(text: str) -> int | None:
    """A whole number in ASCII digits (`5` or `5.0`), or None."""
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else None


def to_number(text: str) -> float | None:
    """A finite number in ASCII digits, also with the `D` exponent of IDL, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.lower().replace("d", "e"))
    return value if abs(value) != float("inf") else None


def read_header(path: Path) -> EnviHeader:
    """The header in the file at `path`; raises `InputError`."""
    try:
        with path.open("rb") as handle:
            data = handle.read(_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    if len(data) > _LIMIT:
        raise InputError(f"longer than {_LIMIT} bytes; not an ENVI header", where=path)
    return parse_header(_decoded(data, path), path)


def parse_header(text: str, path: Path | None = None) -> EnviHeader:
    """The entries of a header's text; raises `InputError`, which names `path`."""
    text = text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")
    first, *lines = text.split("\n")
    if first.strip() != MAGIC.decode():
        raise _not_envi(first, path)
    return EnviHeader(tuple(_entries(lines, path)))


def _decoded(data: bytes, path: Path) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("UTF-16 text; an ENVI header is UTF-8 or Latin-1", where=path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _not_envi(first: str, path: Path | None) -> InputError:
    if first.strip().upper().startswith("ENVI META"):
        return InputError("an ENVI META file, which only lists other files", where=path)
    if _ESRI.match(first):
        return InputError("an ESRI header, not an ENVI header", where=path)
    return InputError(f"the first line is {shown(first)}; 'ENVI' was expected", where=path)


def _entries(lines: list[str], path: Path | None) -> Iterator[Entry]:
    at = 0
    while at < len(lines):
        key, value = _split(lines[at])
        end = at + 1
        if key and value.startswith("{"):
            end = _closing_line(lines, at, path)
            value = "\n".join([value, *lines[at + 1 : end]]).strip()
        if key or value:
            yield key, value
        at = end


def _split(line: str) -> Entry:
    """A line as an entry; a comment, or a line that is no entry, has no key."""
    key, equals, value = line.partition("=")
    key = key.strip()
    if not equals or not key or key.startswith(COMMENT):
        return "", line.strip()
    return key, value.strip()


def _closing_line(lines: list[str], opening: int, path: Path | None) -> int:
    """One past the last line of the value in braces that begins on line `opening`."""
    depth, text = 0, _split(lines[opening])[1]
    for end in range(opening + 1, len(lines) + 1):
        depth += text.count("{") - text.count("}")
        if text.rstrip().endswith("}") and (depth <= 0 or _entry_follows(lines, end)):
            return end
        text = lines[end] if end < len(lines) else ""
    # people count lines from 1, and the line `ENVI` was taken off
    raise InputError(f"the brace opened on line {opening + 2} is never closed", where=path)


def _entry_follows(lines: list[str], at: int) -> bool:
    """Whether the next line that is not blank is an entry or a comment, or there is none."""
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at == len(lines) or bool(_split(lines[at])[0]) or lines[at].lstrip().startswith(COMMENT)
