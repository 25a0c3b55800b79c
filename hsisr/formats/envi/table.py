"""Tables of spectra in both forms that people keep: a column for each spectrum, or a row for each.

In the first, the first column holds the wavelengths. In the second, the names of most columns are
wavelengths, and the other columns tell what each spectrum is of.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Spectrum
from hsisr.errors import InputError
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import EnviHeader, braced, shown, to_number
from hsisr.formats.envi.spectrum import read_spectrum
from hsisr.wording import counted

_LIMIT = 1 << 29
_PLACE = re.compile(r"\s*(wave|lambda|wl|nm|um|µm|μm|band|channel)", re.IGNORECASE)
_UNIT = re.compile(r"(?<![a-z])(nm|um|µm|μm|nanomet|micromet|micron)", re.IGNORECASE)
_NAMES = ("name", "names", "spectrum", "spectrum name", "id")
_EMPTY = ("", "nan", "na", "n/a", "null")


@dataclass(frozen=True)
class SpectraFile:
    """What a file of spectra says, word for word."""

    values: NDArray[np.float64]
    """(n, B), NaN where there is none."""
    names: tuple[str, ...] | None
    spectrum: Spectrum | None
    labels: dict[str, tuple[str, ...]]
    """What each spectrum is of, by what is told."""
    notes: tuple[str, ...]
    """What had to be assumed, in words."""


def read_spectra_table(path: Path) -> SpectraFile:
    """The spectra in a table with a line of headings; raises `InputError`.

    Wavelengths are nanometres or micrometres by the heading of their column, else by their size.
    """
    head, rows = read_cells(path)
    places = {i: place for i, cell in enumerate(head) if (place := to_number(cell)) is not None}
    if _PLACE.match(head[0]) or len(places) < 2:
        return _by_columns(head, rows, path)
    return _by_rows(head, rows, places, path)


def read_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of a table of words, by their headings; raises `InputError`."""
    head, rows = read_cells(path)
    return _columns(head, rows, range(len(head)))


def read_cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """The headings and the rows below, all of one length; commas, semicolons or tabs between."""
    try:
        if path.stat().st_size > _LIMIT:
            raise InputError("longer than 512 MiB; not a table of spectra", where=path)
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        lines = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    except csv.Error as error:
        raise InputError(f"not a table: {error}", where=path) from None
    if len(lines) < 2 or len(lines[0]) < 2:
        raise _no_spectra(path)
    width = len(lines[0])
    for number, row in enumerate(lines, 1):
        if len(row) != width:
            raise InputError(
                f"row {number} has {counted(len(row), 'cell')}; {width} expected", where=path
            )
    return [cell.strip() for cell in lines[0]], lines[1:]


def name_column(labels: dict[str, tuple[str, ...]]) -> str:
    """The column that names the spectra: called so, or else the first."""
    called = (key for key in labels if key.lower() in _NAMES)
    return next(called, next(iter(labels)))


def _by_columns(head: list[str], rows: list[list[str]], path: Path) -> SpectraFile:
    cells = _numbers(rows, path)
    spectrum: Spectrum | None = None
    notes: tuple[str, ...] = ()
    if not re.match(r"\s*(band|channel)", head[0], re.IGNORECASE):
        unit = _UNIT.search(head[0])
        spectrum, notes = _spectrum(cells[:, 0].tolist(), unit and unit[0], path)
    values = np.ascontiguousarray(cells[:, 1:].T)
    return SpectraFile(values, tuple(head[1:]), spectrum, {}, notes)


def _by_rows(
    head: list[str], rows: list[list[str]], places: dict[int, float], path: Path
) -> SpectraFile:
    labels = _columns(head, rows, [i for i in range(len(head)) if i not in places])
    values = _numbers([[row[i] for i in places] for row in rows], path)
    spectrum, notes = _spectrum(list(places.values()), None, path)
    names = labels[name_column(labels)] if labels else None
    return SpectraFile(values, names, spectrum, labels, notes)


def _columns(
    head: list[str], rows: list[list[str]], which: Sequence[int]
) -> dict[str, tuple[str, ...]]:
    return {head[i]: tuple(row[i].strip() for row in rows) for i in which}


def _spectrum(
    places: list[float], unit: str | None, path: Path
) -> tuple[Spectrum | None, tuple[str, ...]]:
    """Wavelengths by the rules for ENVI headers."""
    if not np.isfinite(places).all():
        raise InputError("a wavelength is missing", where=path)
    words = {"nanomet": "nanometers", "micromet": "micrometers"}
    stated = (unit or "").lower()
    entries = (
        ("wavelength", braced([repr(place) for place in places])),
        ("wavelength units", words.get(stated, stated)),
    )
    fields = Fields(EnviHeader(entries), path)
    return read_spectrum(fields, len(places)), tuple(fields.notes)


def _numbers(rows: list[list[str]], path: Path) -> NDArray[np.float64]:
    """The cells as numbers, NaN where they are empty."""
    return np.array([[_number(cell.strip(), row, path) for cell in row] for row in rows])


def _number(cell: str, row: list[str], path: Path) -> float:
    if cell.lower() in _EMPTY:
        return np.nan
    number = to_number(cell)
    if number is None:
        raise InputError(
            f"{shown(cell)} in the row that begins with {shown(row[0])}; a number was expected",
            where=path,
            hint="a line of headings, then numbers; see hsisr unmix --help",
        )
    return number


def _no_spectra(path: Path) -> InputError:
    return InputError(
        "not a table of spectra",
        where=path,
        hint="a line of names, then a line per band: wavelength, value, value, ...; "
        "or a line of wavelengths, then a line per spectrum",
    )
