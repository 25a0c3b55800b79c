"""Typed access to the keys of an ENVI header; whatever is malformed is named in an `InputError`."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from hsisr.errors import InputError
from hsisr.formats.envi.header import EnviHeader, inner, items, shown, to_integer, to_number

_KNOWN = (
    *("samples", "lines", "bands", "header offset", "file type", "data type", "interleave"),
    *("byte order", "wavelength", "wavelength units", "fwhm", "bbl", "band names", "map info"),
    *("coordinate system string", "data ignore value", "reflectance scale factor"),
    *("data gain values", "data offset values", "description", "default bands"),
)
_CHECKED_FOR_TYPOS = 200


@dataclass(frozen=True, slots=True)
class Fields:
    """The header of the file at `path`, asked key by key; `notes` gathers what was assumed."""

    header: EnviHeader
    path: Path | None = None
    notes: list[str] = field(default_factory=list)

    def wrong(self, key: str, found: str, expected: str) -> InputError:
        """The error for the value of `key`."""
        return InputError(f"'{key}' is {found}; {expected} expected", where=self.path)

    def text(self, key: str) -> str | None:
        """The value without braces; None where the key is missing."""
        value = self._value(key)
        return None if value is None else inner(value)

    def texts(self, key: str) -> list[str] | None:
        """The items of a list; None where the key is missing."""
        value = self._value(key)
        return None if value is None else items(value)

    def _value(self, key: str) -> str | None:
        values = self.header.values(key)
        if len(set(values)) > 1:
            twice = f"{shown(values[0])} and {shown(values[1])}"
            raise InputError(f"'{key}' is given twice: {twice}; one was expected", where=self.path)
        if len(values) > 1:
            self.note(f"'{key}' is given {len(values)} times, always the same")
        return values[0] if values else None

    def note(self, text: str) -> None:
        """Remember something to tell the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    def integer(self, key: str, *, least: int, default: int | None = None) -> int:
        """A whole number; a missing key is an error unless there is a `default`."""
        text = self._value(key)
        if text is None:
            if default is None:
                raise self.wrong(key, "missing", f"a whole number of at least {least} was")
            return default
        number = to_integer(text)
        if number is None or number < least:
            raise self.wrong(key, shown(text), f"a whole number of at least {least} was")
        return number

    def numbers(self, key: str, count: int) -> tuple[float, ...] | None:
        """A list of `count` finite numbers; None where the key is missing."""
        texts = self.texts(key)
        if texts is None:
            return None
        numbers = tuple(number for text in texts if (number := to_number(text)) is not None)
        if len(numbers) != len(texts):
            wrong = next(text for text in texts if to_number(text) is None)
            raise self.wrong(key, f"a list with {shown(wrong)}", "finite numbers were")
        if len(numbers) != count:
            raise self.wrong(key, f"a list of {len(numbers)}", f"{count}, one per band, were")
        return numbers

    def refuse_nonzero(self, key: str, meaning: str) -> None:
        """Raise `InputError` where `key` is anything but zeros."""
        if any(to_number(text) != 0 for text in self.texts(key) or ()):
            raise self.wrong(key, f"{shown(self.text(key) or '')} ({meaning})", "0 was")

    def note_typos(self) -> None:
        """Note keys that look like a misspelt known one."""
        unknown = [key for key in self.header.keys if key not in _KNOWN]
        for key in unknown[:_CHECKED_FOR_TYPOS]:
            if match := get_close_matches(key, _KNOWN, n=1, cutoff=0.85):
                self.note(f"the key {shown(key)} is not known; is '{match[0]}' meant?")
