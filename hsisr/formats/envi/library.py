"""Endmembers as files: an ENVI Spectral Library and a table.

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
from hsisr.formats.envi.compose import list_names, spectrum_entries
from hsisr.formats.envi.header import EnviHeader, braced


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


def read_table(path: Path) -> NDArray[np.float64]:
    """The spectra (p, bands) of a table as `write_table` writes it; raises `InputError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        values = np.array([[float(cell) for cell in row] for row in rows[1:]])
    except FileNotFoundError:
        raise InputError("no such table of spectra", where=path) from None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"not a table of numbers: {error}", where=path) from None
    if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise InputError(
            "not a table of spectra",
            where=path,
            hint="a line of names, then a line per band: wavelength, value, value, ...",
        )
    return np.ascontiguousarray(values[:, 1:].T)
