"""Endmembers on disk: an ENVI Spectral Library that Spectral Python opens, and a plain table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import spectral

from hsisr.cube import Spectrum
from hsisr.errors import InputError, OutputError
from hsisr.formats import open_cube
from hsisr.formats.envi.library import write_library, write_table

SPECTRUM = Spectrum((450.25, 550.1, 650.0), (5.5, 6.0, 7.25))
NAMES = ["soil", "water, deep", "a = {b}"]


def test_spectral_opens_the_library(tmp_path: Path, rng: np.random.Generator) -> None:
    spectra = rng.random((3, 3))
    files = write_library(tmp_path / "endmembers.sli", spectra, NAMES, SPECTRUM)
    assert sorted(tmp_path.iterdir()) == sorted(files)
    library = spectral.envi.open(str(files[1]))
    assert library.names == ["soil", "water; deep", "a : (b)"]
    assert library.bands.centers == [450.25, 550.1, 650.0]
    assert library.bands.bandwidths == [5.5, 6.0, 7.25]
    assert library.bands.band_unit == "Nanometers"
    np.testing.assert_array_equal(library.spectra, spectra.astype(np.float32))


def test_a_library_without_wavelengths_has_none(tmp_path: Path) -> None:
    _, header = write_library(tmp_path / "a.sli", np.eye(2), ["a", "b"], None)
    assert "wavelength" not in spectral.envi.read_envi_header(str(header))


def test_a_library_is_no_scene(tmp_path: Path) -> None:
    _, header = write_library(tmp_path / "a.sli", np.eye(2), ["a", "b"], None)
    with pytest.raises(InputError, match="spectral library"):
        open_cube(header)


@pytest.mark.parametrize(
    ("spectrum", "first", "places"),
    [(SPECTRUM, "wavelength_nm", [450.25, 550.1, 650.0]), (None, "band", [1, 2, 3])],
)
def test_the_table_has_a_row_per_band_and_a_column_per_endmember(
    tmp_path: Path,
    rng: np.random.Generator,
    spectrum: Spectrum | None,
    first: str,
    places: list[float],
) -> None:
    spectra = rng.random((3, 3), np.float32)
    path = write_table(tmp_path / "a.csv", spectra, NAMES, spectrum)
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    table = np.array(rows, float)
    assert head == [first, *NAMES]
    np.testing.assert_array_equal(table[:, 0], places)
    np.testing.assert_array_equal(table[:, 1:].T.astype(np.float32), spectra)


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_library(tmp_path / "none" / "a.sli", np.eye(2), ["a", "b"], None)
    with pytest.raises(OutputError):
        write_table(tmp_path / "none" / "a.csv", np.eye(2), ["a", "b"], None)
