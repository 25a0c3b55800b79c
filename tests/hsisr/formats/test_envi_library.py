"""Endmembers on disk: an ENVI Spectral Library that Spectral Python opens, and a plain table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spectral

from hsisr.cube import Spectrum
from hsisr.errors import InputError, OutputError
from hsisr.formats import open_cube
from hsisr.formats.envi.library import labels_beside, read_library, write_library, write_table

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


def hand_made(folder: Path, numbers: np.ndarray, code: int, **more: str) -> Path:
    """A library written without our help, its header beside it as `a.sli.hdr`."""
    (folder / "a.sli").write_bytes(numbers.tobytes())
    entries = {
        "samples": str(numbers.shape[1]),
        "lines": str(len(numbers)),
        "bands": "1",
        "header offset": "0",
        "file type": "ENVI Spectral Library",
        "data type": str(code),
        "interleave": "bsq",
        "byte order": "1" if numbers.dtype.byteorder == ">" else "0",
        "wavelength units": "Micrometers",
        "wavelength": "{"
        + ", ".join(f"{0.4 + i / 100:.2f}" for i in range(numbers.shape[1]))
        + "}",
    } | {key.replace("_", " "): value for key, value in more.items()}
    header = folder / "a.sli.hdr"
    header.write_text("ENVI\n" + "\n".join(f"{k} = {v}" for k, v in entries.items()))
    return folder / "a.sli"


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    spectra = rng.random((3, 3))
    data, header = write_library(tmp_path / "endmembers.sli", spectra, NAMES, SPECTRUM)
    for path in (data, header):
        found = read_library(path)
        np.testing.assert_array_equal(found.values, spectra.astype(np.float32))
        assert found.names == ("soil", "water; deep", "a : (b)")
        assert found.spectrum == SPECTRUM


@pytest.mark.parametrize(
    ("dtype", "code"), [("<i2", 2), (">i2", 2), ("<u2", 12), (">f4", 4), ("<f8", 5), ("u1", 1)]
)
def test_types_byte_orders_and_the_scale_factor_are_those_of_spectral(
    tmp_path: Path, rng: np.random.Generator, dtype: str, code: int
) -> None:
    numbers = rng.integers(0, 200, (4, 6)).astype(dtype)
    path = hand_made(tmp_path, numbers, code, reflectance_scale_factor="200")
    found = read_library(path)
    reference = spectral.envi.open(str(path) + ".hdr")
    np.testing.assert_allclose(found.values, reference.spectra / 200, rtol=1e-6)
    assert found.spectrum is not None
    np.testing.assert_allclose(found.spectrum.centres_nm, np.array(reference.bands.centers) * 1000)
    assert found.names is None


def test_the_published_library_is_read_as_by_spectral(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("libraries/spectra.sli")
    found, reference = read_library(path), spectral.envi.open(f"{path}.hdr")
    np.testing.assert_array_equal(found.values, reference.spectra)
    assert found.names == tuple(name.strip() for name in reference.names)
    labels, notes = labels_beside(path, found.names)
    assert labels["LEVEL_2"][0] == "bare"
    assert sorted(set(labels["LEVEL_2"])) == ["bare", "built", "burned", "npv", "vegetation"]
    assert "names 1 of 7261 spectra otherwise" in notes[0]


def test_values_that_are_none_are_none(tmp_path: Path) -> None:
    numbers = np.array([[1, 2, -999], [3, 4, 5]], "<i2")
    found = read_library(hand_made(tmp_path, numbers, 2, data_ignore_value="-999"))
    np.testing.assert_array_equal(found.values, [[1, 2, np.nan], [3, 4, 5]])


def test_names_that_are_too_few_are_not_used(tmp_path: Path) -> None:
    numbers = np.ones((3, 2), "<f4")
    found = read_library(hand_made(tmp_path, numbers, 4, spectra_names="{a, b}"))
    assert found.names is None
    assert "'spectra names' are not used: 2 for 3 spectra" in found.notes


def test_labels_in_another_order_are_found_by_name(tmp_path: Path) -> None:
    path = hand_made(tmp_path, np.ones((2, 2), "<f4"), 4, spectra_names="{a, b}")
    (tmp_path / "a.csv").write_text("Name,Kind\nb,water\nc,ice\na,soil\n")
    assert labels_beside(path, ("a", "b")) == ({"Name": ("a", "b"), "Kind": ("soil", "water")}, ())
    with pytest.raises(InputError, match="1 of 2 spectra, as of 'd'"):
        labels_beside(path, ("a", "d"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"file type": "ENVI Standard"}, "Spectral Library"),
        ({"bands": "2"}, "1 for a library"),
        ({"lines": "9"}, "bytes"),
        ({"data type": "6"}, "complex"),
        ({"wavelength": "{0.4}"}, "wavelength"),
    ],
)
def test_a_header_that_is_wrong_is_named(tmp_path: Path, change: dict[str, str], told: str) -> None:
    path = hand_made(tmp_path, np.ones((3, 4), "<f4"), 4, **change)
    with pytest.raises(InputError, match=told):
        read_library(path)


def test_a_library_without_its_other_half_is_refused(tmp_path: Path) -> None:
    path = hand_made(tmp_path, np.ones((3, 4), "<f4"), 4)
    path.unlink()
    with pytest.raises(InputError, match="data file"):
        read_library(tmp_path / "a.sli.hdr")
    with pytest.raises(InputError, match="no such library"):
        read_library(path)
    path.touch()
    (tmp_path / "a.sli.hdr").unlink()
    with pytest.raises(InputError, match=r"looked for a.sli.hdr, a.hdr"):
        read_library(path)
