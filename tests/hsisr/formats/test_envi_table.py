"""Tables of spectra, a column or a row for each, in nanometres or micrometres."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsisr.cube import Spectrum
from hsisr.errors import InputError
from hsisr.formats.envi.library import write_table
from hsisr.formats.envi.table import SpectraFile, read_spectra_table


def read(folder: Path, text: str, encoding: str = "utf-8") -> SpectraFile:
    path = folder / "a.csv"
    path.write_text(text, encoding=encoding)
    return read_spectra_table(path)


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    spectra = rng.random((3, 4))
    spectrum = Spectrum((450.25, 550.1, 650.0, 651.0))
    names = ("soil", "water, deep", "3")
    path = write_table(tmp_path / "a.csv", spectra, names, spectrum)
    found = read_spectra_table(path)
    np.testing.assert_array_equal(found.values, spectra)
    assert (found.names, found.spectrum, found.notes) == (names, spectrum, ())
    found = read_spectra_table(write_table(tmp_path / "b.csv", spectra, names, None))
    np.testing.assert_array_equal(found.values, spectra)
    assert found.spectrum is None


@pytest.mark.parametrize("first", ["Wave_um", "Wavelength (um)", "lambda [micrometers]", "WL"])
def test_micrometres_are_told_by_the_heading_or_by_size(tmp_path: Path, first: str) -> None:
    found = read(tmp_path, f"{first};a\n0.4;1\n0.41;2\n")
    assert found.spectrum == Spectrum((400.0, 410.0))
    assert bool(found.notes) == (first == "WL")


def test_a_heading_that_contradicts_the_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"micrometers for wavelengths up to 0\.41"):
        read(tmp_path, "wavelength_nm,a\n0.4,1\n0.41,2\n")


def test_a_row_for_each_spectrum(tmp_path: Path) -> None:
    text = "ID,Class,350,360.5,370\nx1,soil,0.1,0.2,\nx2,tree,NA,0.4,5e-1\n"
    found = read(tmp_path, text, "utf-8-sig")
    np.testing.assert_array_equal(found.values, [[0.1, 0.2, np.nan], [np.nan, 0.4, 0.5]])
    assert found.names == ("x1", "x2")
    assert found.labels == {"ID": ("x1", "x2"), "Class": ("soil", "tree")}
    assert found.spectrum == Spectrum((350.0, 360.5, 370.0))
    assert "looks like nanometers" in found.notes[0]


def test_the_published_table_is_read_as_by_numpy(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("envi/emit/basic_endmember_library.csv")
    found = read_spectra_table(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    np.testing.assert_array_equal(found.values, np.array([row[1:] for row in rows], float))
    assert found.spectrum is not None
    np.testing.assert_array_equal(found.spectrum.centres_nm, np.array(head[1:], float))
    assert found.labels == {"Class": ("SOIL", "SOIL", "SOIL", "PV", "NPV")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a table"),
        ("wavelength,a\n", "not a table"),
        ("just words\nand more\n", "not a table"),
        ("wavelength,a\n400,1\n410\n", "row 3 has 1 cell; 2 expected"),
        ("wavelength,a\n400,1\n410,x\n", "'x' in the row that begins with '410'"),
        ("wavelength,a\n400,1\n,2\n", "a wavelength is missing"),
        ("name,a\nb,c\n", "number was expected"),
        ("Class,-5,410\nsoil,1,2\n", "lengths of at least 0"),
    ],
)
def test_what_is_no_table_of_spectra_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(tmp_path, text)


def test_a_missing_table_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_spectra_table(tmp_path / "none.csv")
    with pytest.raises(InputError):
        read_spectra_table(tmp_path)
