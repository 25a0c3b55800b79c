"""Wavelengths of ENVI headers: nanometres inside, whatever the header's unit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from rasterio import Affine

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


@pytest.mark.parametrize(
    ("unit", "centres", "widths", "expected", "said"),
    [
        ("um", "0.4, 0.405", "10, 12", (10, 12), "nanometers"),
        ("", "0.4, 2.5", "10, 12", (10, 12), "nanometers"),
        ("nm", "400, 405", "0.01, 0.012", (10, 12), "micrometers"),
        ("nm", "400, 405", "600, 700", None, "not used"),
        ("um", "0.4, 0.405", "1e4, 1e4", None, "not used"),
        ("mm", "0.0004, 0.0005", "10, 12", None, "not used"),
    ],
)
def test_widths_in_another_unit_than_the_wavelengths_are_converted_or_left_out_and_noted(
    unit: str, centres: str, widths: str, expected: tuple[float, float] | None, said: str
) -> None:
    units = f"wavelength units = {unit}\n" if unit else ""
    found, notes = spectrum(f"{units}wavelength = {{{centres}}}\nfwhm = {{{widths}}}")
    assert found is not None
    assert found.widths_nm == expected
    assert said in notes[-1]
    assert notes[-1].startswith("'fwhm' up to ")


@pytest.mark.parametrize(
    ("centres", "widths"),
    [
        ("760, 760.02", "0.02, 0.03"),  # a very fine spectrometer
        ("760, 2200", "0.2, 0.3"),  # a few of the bands of a fine one
        ("490, 560", "280, 70"),  # one that sees grey among others
        ("8000, 12000", "4000, 4000"),
        ("400, 410", "0, 0"),
    ],
)
def test_widths_that_a_sensor_can_have_are_taken_as_they_are(centres: str, widths: str) -> None:
    found, notes = spectrum(
        f"wavelength units = nm\nwavelength = {{{centres}}}\nfwhm = {{{widths}}}"
    )
    assert found is not None
    assert found.widths_nm == tuple(map(float, widths.split(",")))
    assert notes == []


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


def test_what_gdal_makes_of_a_tiff_keeps_wavelengths_in_the_names(tmp_path: Path) -> None:
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 9, 0, -2, 9)}
    shape = {"count": 3, "height": 2, "width": 2, "dtype": "uint8"}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **shape, **place) as file:
        file.descriptions = ("Band 1: 450.5 nm", "Band 2: 550 nm", "Band 3: 2190.25 nm")
    rasterio.shutil.copy(tmp_path / "s.tif", tmp_path / "s.img", driver="ENVI")
    with open_cube(tmp_path / "s.img") as cube:
        assert cube.spec.spectrum == Spectrum((450.5, 550.0, 2190.25))
        assert "the wavelengths are those in the names of the bands" in cube.notes


def test_wavelengths_in_names_go_with_the_bad_bands() -> None:
    found, notes = spectrum("band names = {0.45 Micrometers, b:0.5 Micrometers}\nbbl = {1, 0}")
    assert found == Spectrum((450.0, 500.0), None, (True, False))
    assert not any("bbl" in note for note in notes)


@pytest.mark.parametrize(
    "names",
    ["450 nm, red", "450 nm, 0.55 um", "450, 550", "450 nm, 550 nm, 650 nm", "450 nmol, 550 nmol"],
)
def test_other_names_are_no_wavelengths(names: str) -> None:
    assert spectrum(f"band names = {{{names}}}") == (None, [])


def test_wavelengths_come_before_names() -> None:
    lines = "band names = {1 nm, 2 nm}\nwavelength units = nm\nwavelength = {450, 550}"
    assert spectrum(lines) == (Spectrum((450.0, 550.0)), [])
