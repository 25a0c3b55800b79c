"""Wavelengths of ENVI headers: whatever unit they are in, nanometres inside."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from hsisr.cube import Spectrum
from hsisr.formats._named_lengths import named_lengths
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import shown

Lengths = tuple[float, ...]

_NANOMETRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "micrometer", "micrometre"), 1e3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    **dict.fromkeys(("angstrom", "\u00e5ngstr\u00f6m"), 0.1),
}
_NOT_STATED = ("", "unknown")
_MOST_MICROMETRES = 100.0
"""Optical sensors end far below 100 um and begin above 100 nm, so the size tells the unit."""
_NARROWEST = 1e-4
"""Of a wavelength: bands are hardly narrower."""
_SPARSE = 0.05
"""Of the way to the next band: narrower bands leave out nearly all of the spectrum."""


def read_spectrum(fields: Fields, bands: int) -> Spectrum | None:
    """The bands' place in the spectrum; None where it is not given, or not as wavelengths."""
    good = _good_bands(fields, bands)
    centres = _lengths(fields, "wavelength", bands)
    if centres is None:
        spectrum = _named(fields, bands, good)
        if good and not all(good) and spectrum is None:
            fields.note("'bbl' is kept but not used, because there are no wavelengths")
        return spectrum
    factor = _unit(fields, max(centres))
    if factor is None:
        return None
    widths = _widths(fields, centres, factor)
    if any(a >= b for a, b in pairwise(centres)):
        fields.note("the wavelengths do not increase from band to band")
    return Spectrum(
        centres_nm=_scaled(centres, factor),
        widths_nm=widths,
        good=good,
    )


def _named(fields: Fields, bands: int, good: tuple[bool, ...] | None) -> Spectrum | None:
    """What the names of the bands tell, as those that GDAL makes of a TIFF file do."""
    found = named_lengths(fields.texts("band names") or ())
    if found is None or len(found[0]) != bands or len(set(found[1])) > 1:
        return None
    fields.note("the wavelengths are those in the names of the bands")
    factor = _NANOMETRES[found[1][0].removesuffix("s")]
    return Spectrum(_scaled(tuple(map(float, found[0])), factor), good=good)


def _widths(fields: Fields, centres: Lengths, factor: float) -> Lengths | None:
    """In nanometres; None where they are not given, or are in an unknown unit of their own."""
    widths = _lengths(fields, "fwhm", len(centres))
    if widths is None or _comparable(widths, centres):
        return widths and _scaled(widths, factor)
    other = {1.0: 1e3, 1e3: 1.0}.get(factor)
    told = f"'fwhm' up to {max(widths):g} for wavelengths up to {max(centres):g}"
    if other and _comparable(_scaled(widths, other / factor), centres):
        fields.note(f"{told} looks like {'micro' if other > factor else 'nano'}meters")
        return _scaled(widths, other)
    fields.note(f"{told} is not in the same unit and not used")
    return None


def _comparable(widths: Lengths, centres: Lengths) -> bool:
    """Whether both can be in one unit: bands are not wider than their wavelengths, nor all gaps."""
    width, centre = median(widths), median(centres)
    steps = [abs(b - a) for a, b in pairwise(centres)]
    gaps = bool(steps) and width < _SPARSE * median(steps)
    return width <= centre and not (0 < width < _NARROWEST * centre and gaps)


def _lengths(fields: Fields, key: str, bands: int) -> Lengths | None:
    numbers = fields.numbers(key, bands)
    if numbers and min(numbers) < 0:
        raise fields.wrong(key, f"a list with {min(numbers)}", "lengths of at least 0 were")
    return numbers


def _scaled(lengths: Lengths, factor: float) -> Lengths:
    # 0.4045 um are 404.5 nm, not 404.49999999999994
    return lengths if factor == 1 else tuple(round(length * factor, 9) for length in lengths)


def _unit(fields: Fields, longest: float) -> float | None:
    """How many nanometres the unit is; None for what is not a length (wavenumbers, an index)."""
    stated = fields.text("wavelength units") or ""
    likely = "nanometers" if longest > _MOST_MICROMETRES else "micrometers"
    unit = stated.lower().removesuffix("s")
    if unit in _NOT_STATED:
        fields.note(f"'wavelength units' is not stated; up to {longest:g} looks like {likely}")
        return _NANOMETRES[likely.removesuffix("s")]
    factor = _NANOMETRES.get(unit)
    if factor is None:
        fields.note(f"wavelengths in {shown(stated)} are kept but not used")
    elif factor in (1.0, 1e3) and factor != _NANOMETRES[likely.removesuffix("s")]:
        raise fields.wrong(
            "wavelength units", shown(stated), f"{likely} for wavelengths up to {longest:g} were"
        )
    return factor


def _good_bands(fields: Fields, bands: int) -> tuple[bool, ...] | None:
    numbers = fields.numbers("bbl", bands)
    if numbers is None:
        return None
    if not any(numbers):
        raise fields.wrong("bbl", "0 for every band", "1 for at least one good band was")
    return tuple(number != 0 for number in numbers)
