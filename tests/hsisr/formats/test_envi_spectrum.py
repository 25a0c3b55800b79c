"""Wavelengths of ENVI headers: nanometres inside, whatever the header's unit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hsisr.cube import Spectrum
from hsisr.formats import open_cube
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import parse_header
from hsisr.formats.envi.spectrum import read_spectrum


def spectrum(lines: str, bands: int = 2) -> tuple[Spectrum | None, list[str]]:
    fields = Fields(parse_header("ENVI\n" + lines))
    return read_spectrum(fields, bands), fields.notes


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *((unit, 1e-3) for unit in ("nm", "Nanometers", "nanometer", "Nanometres", "NM")),
        *((unit, 1.0) for unit in ("um", "Micrometers", "micron", "Microns", "µm", "μm")),
        *((unit, 1e3) for unit in ("mm", "Millimeters")),
        ("Centimeters", 1e4),
        ("Meters", 1e6),
        ("Angstroms", 1e-4),
    ],
)
def test_every_spelling_of_a_length_is_understood(unit: str, factor: float) -> None:
    numbers = [0.45 / factor, 2.5 / factor]
    found, notes = spectrum(
        f"wavelength units = {unit}\nwavelength = {{{numbers[0]!r}, {numbers[1]!r}}}\n"
        f"fwhm = {{{0.005 / factor!r}, {0.01 / factor!r}}}\n"
    )
    assert found is not None
    assert found.centres_nm == pytest.approx((450, 2500), rel=1e-12)
    assert found.widths_nm == pytest.approx((5, 10), rel=1e-12)
    assert notes == []


def test_micrometres_become_the_nanometres_one_would_write() -> None:
    found, _ = spectrum("wavelength units = um\nwavelength = {0.4045, 1.0011}")
    assert found == Spectrum((404.5, 1001.1))


@pytest.mark.parametrize("unit", ["", "wavelength units = Unknown\n", "wavelength units =\n"])
@pytest.mark.parametrize(
    ("numbers", "expected", "word"),
    [
        ("400, 500", (400, 500), "nanometers"),
        ("0.4, 0.5", (400, 500), "micrometers"),
        ("8, 12.5", (8000, 12500), "micrometers"),
        ("99, 100", (99_000, 100_000), "micrometers"),
        ("99, 100.1", (99, 100.1), "nanometers"),
    ],
)
def test_a_unit_that_is_not_stated_is_told_by_the_size_and_noted(
    unit: str, numbers: str, expected: tuple[float, float], word: str
) -> None:
    found, notes = spectrum(f"{unit}wavelength = {{{numbers}}}")
    assert found is not None
    assert found.centres_nm == expected
    assert len(notes) == 1
    assert word in notes[0]


@pytest.mark.parametrize("unit", ["Wavenumber", "cm-1", "1/cm", "Index", "GHz"])
def test_what_is_no_length_gives_no_spectrum_and_a_note(unit: str) -> None:
    found, notes = spectrum(f"wavelength units = {unit}\nwavelength = {{4000, 3990}}")
    assert found is None
    assert unit in notes[0]


def test_one_marks_a_good_band() -> None:
    found, _ = spectrum("wavelength = {400, 500, 600}\nbbl = {1, 0, 1.0}", bands=3)
    assert found is not None
    assert found.good == (True, False, True)
    assert found.nearest(499) == 0


def test_bad_bands_without_wavelengths_are_noted() -> None:
    found, notes = spectrum("bbl = {1, 0}")
    assert found is None
    assert "'bbl'" in notes[0]


@pytest.mark.parametrize("name", ["fwhm", "implicit_nm", "implicit_um"])
def test_real_headers_that_leave_the_unit_open(
    shared_data: Callable[[str], Path], name: str
) -> None:
    with open_cube(shared_data(f"tiff/wavelength/envi_wl_{name}.hdr")) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.centres_nm == (400, 500)
        if name == "fwhm":
            assert cube.spec.spectrum.widths_nm == (10, 20)
            assert cube.spec.spectrum.good == (False, True)
