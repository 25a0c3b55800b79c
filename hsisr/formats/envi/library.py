"""Spectra as files: an ENVI Spectral Library, read and written, and a table.

Source: the `ENVI Spectral Library` file type, an image of one band whose lines are spectra.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Spectrum
from hsisr.errors import InputError
from hsisr.files import write_durably
from hsisr.formats._raw import RawCube
from hsisr.formats.envi.compose import list_names, spectrum_entries
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import EnviHeader, braced, normal, read_header, shown
from hsisr.formats.envi.pair import DATA, HEADER, is_file
from hsisr.formats.envi.spec import read_layout, read_spec
from hsisr.formats.envi.spectrum import read_spectrum
from hsisr.formats.envi.table import SpectraFile, name_column, read_labels
from hsisr.wording import counted

_LIBRARY = (".sli", ".lib", ".esl", *DATA)
_TABLE = ".csv"
_KIND = "envi spectral library"
_MISSPELT = 0.01
"""Of the names: so many may differ in a table whose rows are in the order of the spectra."""
_OF_SAMPLES = ("file type", "wavelength", "wavelength units", "fwhm", "bbl", "band names")
"""What in the header of a library is not about an image of one band."""


def read_library(path: Path) -> SpectraFile:
    """The spectra of the library of which `path` is the data file or the header.

    Divided by the scale factor, NaN where there is no data; raises `InputError`.
    """
    data, header = _pair(path)
    fields = Fields(read_header(header), header)
    kind = _kind(fields)
    if kind != _KIND:
        raise fields.wrong("file type", shown(kind), "'ENVI Spectral Library' was")
    plain = ((key, text) for key, text in fields.header.entries if normal(key) not in _OF_SAMPLES)
    image = Fields(EnviHeader(tuple(plain)), header)
    spec = read_spec(image)
    if spec.bands != 1:
        raise fields.wrong("bands", str(spec.bands), "1 for a library was")
    layout = read_layout(image, spec)
    with RawCube(layout, spec, format="envi", files=(data, header), notes=()) as cube:
        values = cube.read(spec.window)[0].astype(np.float64)
    spectrum = read_spectrum(fields, spec.cols)
    names = fields.texts("spectra names")
    if names and len(names) != spec.rows:
        fields.note(f"'spectra names' are not used: {len(names)} for {spec.rows} spectra")
        names = None
    notes = (*image.notes, *fields.notes)
    return SpectraFile(values, tuple(names) if names else None, spectrum, {}, notes)


def is_library(path: Path) -> bool:
    """Whether `path` is the data file or the header of what calls itself a library of spectra."""
    try:
        _, header = _pair(path)
        return _kind(Fields(read_header(header), header)) == _KIND
    except InputError:
        return False


def _kind(fields: Fields) -> str:
    return " ".join((fields.text("file type") or "").lower().split())


def labels_beside(
    path: Path, names: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """What the table (.csv) beside a library tells of its spectra, by column; and notes.

    Its rows are in the order of the spectra, or have their names; raises `InputError`.
    """
    table = path.with_name(path.name.removesuffix(HEADER)).with_suffix(_TABLE)
    if not is_file(table):
        return {}, ()
    labels = read_labels(table)
    named = labels[name_column(labels)]
    if len(named) == len(names):
        others = sum(a != b for a, b in zip(named, names, strict=True))
        if others <= _MISSPELT * len(names):
            note = f"{table.name} names {others} of {len(names)} spectra otherwise"
            return labels, (note,) if others else ()
    rows = {name: row for row, name in enumerate(named)}
    if missing := [name for name in names if name not in rows]:
        many = counted(len(names), "spectrum", "spectra")
        told = f"says nothing of {len(missing)} of {many}, as of {shown(missing[0])}"
        raise InputError(told, where=table)
    return {key: tuple(cells[rows[name]] for name in names) for key, cells in labels.items()}, ()


def _pair(path: Path) -> tuple[Path, Path]:
    """The data file and the header of a library, beside each other; raises `InputError`."""
    if path.suffix.lower() == HEADER:
        stem = path.with_suffix("")
        tried = [stem, *(stem.with_name(stem.name + end) for end in _LIBRARY)]
        return _existing(tried, "data file", path), path
    tried = [path.with_name(path.name + HEADER), path.with_suffix(HEADER)]
    return path, _existing(tried, "ENVI header", path)


def _existing(tried: Sequence[Path], what: str, path: Path) -> Path:
    found = [other for other in tried if is_file(other)]
    if not is_file(path):
        raise InputError("no such library of spectra", where=path)
    if not found:
        names = ", ".join(other.name for other in tried)
        raise InputError(f"has no {what}; looked for {names}", where=path)
    return found[0]


def write_library(
    path: Path, spectra: NDArray[np.floating], names: Sequence[str], spectrum: Spectrum | None
) -> tuple[Path, Path]:
    """Write `spectra` (p, bands) as float32 to `path` (.sli), with a header beside it.

    Returns the two files, the header being the last to appear; raises `OutputError`.
    """
    count, bands = spectra.shape
    entries = [
        ("samples", str(bands)),
        ("lines", str(count)),
        ("bands", "1"),
        ("header offset", "0"),
        ("file type", "ENVI Spectral Library"),
        ("data type", "4"),
        ("interleave", "bsq"),
        ("byte order", "0"),
        ("spectra names", braced(list_names(names))),
        *spectrum_entries(spectrum),
    ]
    header = path.with_suffix(".hdr")
    write_durably(path, spectra.astype("<f4").tobytes())
    write_durably(header, EnviHeader(tuple(entries)).render().encode())
    return path, header


def write_table(
    path: Path, spectra: NDArray[np.floating], names: Sequence[str], spectrum: Spectrum | None
) -> Path:
    """Write `spectra` (p, bands) as comma-separated columns, one row per band.

    The first column is the wavelength in nanometres, or the number of the band where the
    wavelengths are unknown. Raises `OutputError`.
    """
    bands = range(1, spectra.shape[1] + 1)
    first = ("band", bands) if spectrum is None else ("wavelength_nm", spectrum.centres_nm)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([first[0], *names])
    for place, values in zip(first[1], spectra.T.tolist(), strict=True):
        table.writerow([place, *values])
    write_durably(path, text.getvalue().encode())
    return path
