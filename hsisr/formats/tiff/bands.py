"""What the items of a raster say about its bands: wavelengths, names, scales; and back to items.

Wavelengths are looked for where GDAL, EnMAP-Box and older tools put them, in this order: the band
items `wavelength` and `wavelength_units`, GDAL's domain IMAGERY, the domain ENVI (by band or as
one list), and numbers with a unit in the descriptions of the bands. What the metadata of a product
tell (see `product`) stand among the items.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hsisr.cube import CubeSpec, Spectrum
from hsisr.formats import _metadata
from hsisr.formats._named_lengths import named_lengths
from hsisr.formats.tiff.errors import MalformedError
from hsisr.formats.tiff.gdal_metadata import ROLE, Items, Key

_UNIT_NAMES = ("wavelength_units", "wavelength units")
_NOT_A_UNIT = ("", "unknown")
_FALSE = ("0", "false")

Found = tuple[list[str], list[str] | None, list[str] | None]
"""The centres, their units, and the widths in the same units, as written."""


def read_bands(items: Items, bands: int) -> tuple[dict[str, Any], list[str]]:
    """The fields of a `CubeSpec` about its bands, and notes; raises `MalformedError`."""
    # to GDAL WAVELENGTH and wavelength are one name
    items = {(domain, band, name.lower()): text for (domain, band, name), text in items.items()}
    spectrum, notes = _spectrum(items, bands)
    fields = {
        "gain": _factors(items, bands, "scale", 1.0),
        "offset": _factors(items, bands, "offset", 0.0),
        "spectrum": spectrum,
        "band_names": _names(items, bands),
    }
    if fields["gain"] or fields["offset"]:
        notes.append("the scale and offset of the bands are applied to the stored numbers")
    return fields, notes


def band_items(spec: CubeSpec) -> Items:
    """The items that say about the bands of `spec` what `read_bands` reads."""
    items: Items = {}
    if spec.spectrum is not None:
        items |= _spectrum_items(spec.spectrum)
    for name, factors in (("scale", spec.gain), ("offset", spec.offset)):
        if factors:
            each = factors if len(factors) > 1 else factors * spec.bands
            items |= {(ROLE, band, name): repr(float(each[band])) for band in range(spec.bands)}
    for band, text in enumerate(spec.band_names or _wavelength_names(spec.spectrum)):
        items[ROLE, band, "description"] = text
    return items


def _spectrum_items(spectrum: Spectrum) -> Items:
    items: Items = {}
    widths, good = spectrum.widths_nm, spectrum.good
    for band, centre in enumerate(spectrum.centres_nm):
        items["IMAGERY", band, "CENTRAL_WAVELENGTH_UM"] = f"{centre / 1000:.12g}"
        items["", band, "wavelength"] = repr(float(centre))
        items["", band, "wavelength_units"] = "Nanometers"
        if widths is not None:
            items["IMAGERY", band, "FWHM_UM"] = f"{widths[band] / 1000:.12g}"
            items["", band, "fwhm"] = repr(float(widths[band]))
        if good is not None:
            items["", band, "good_band"] = "true" if good[band] else "false"
    items["ENVI", None, "wavelength"] = _braced(
        repr(float(centre)) for centre in spectrum.centres_nm
    )
    items["ENVI", None, "wavelength_units"] = "Nanometers"
    if widths is not None:
        items["ENVI", None, "fwhm"] = _braced(repr(float(width)) for width in widths)
    if good is not None:
        items["ENVI", None, "bbl"] = _braced(str(int(fine)) for fine in good)
    return items


def _braced(texts: Iterator[str]) -> str:
    return "{" + ",".join(texts) + "}"


def _wavelength_names(spectrum: Spectrum | None) -> tuple[str, ...]:
    return () if spectrum is None else tuple(f"{nm:.2f} nm" for nm in spectrum.centres_nm)


def _factors(items: Items, bands: int, role: str, default: float) -> tuple[float, ...] | None:
    texts = [items.get((ROLE, band, role), repr(default)) for band in range(bands)]
    numbers = _numbers(texts)
    if numbers is None or (role == "scale" and 0 in numbers):
        raise MalformedError(f"a {role} of the bands is not a number that can be applied")
    if set(numbers) == {default}:
        return None
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def _names(items: Items, bands: int) -> tuple[str, ...] | None:
    texts = [items.get((ROLE, band, "description"), "") for band in range(bands)]
    if not any(texts):
        return None
    return tuple(text or f"Band {band}" for band, text in enumerate(texts, 1))


def _spectrum(items: Items, bands: int) -> tuple[Spectrum | None, list[str]]:
    found = _wavelengths(items, bands)
    centres = None if found is None else _numbers(found[0])
    if found is None or centres is None:
        return None, [] if found is None else ["the wavelengths are not numbers: ignored"]
    values: dict[str, _metadata.Value] = {"wavelength": centres}
    widths, good = _numbers(found[2] or ()), _good(items, bands)
    if widths:
        values["fwhm"] = widths
    if good:
        values["good_wavelengths"] = good
    fields, notes = _metadata.fields(values, _common(found[1]), bands)
    spectrum: Spectrum | None = fields["spectrum"]
    if spectrum is not None and not 100 <= max(spectrum.centres_nm) <= 1e5:
        raise MalformedError(f"wavelengths up to {max(centres):g} cannot be {_common(found[1])}")
    imagery = _numbers(_per_band(items, bands, "IMAGERY", "fwhm_um") or ())
    if spectrum is not None and spectrum.widths_nm is None and imagery:
        spectrum = replace(spectrum, widths_nm=tuple(1e3 * width for width in imagery))
    return spectrum, notes


def _wavelengths(items: Items, bands: int) -> Found | None:
    own = _per_band(items, bands, "", "wavelength")
    if own:
        units = _per_band(items, bands, "", *_UNIT_NAMES)
        return own, units, _per_band(items, bands, "", "fwhm")
    imagery = _per_band(items, bands, "IMAGERY", "central_wavelength_um")
    if imagery:
        return imagery, ["um"], _per_band(items, bands, "IMAGERY", "fwhm_um")
    envi = _envi(items, bands, "wavelength")
    if envi:
        units = [items["ENVI", None, name] for name in _UNIT_NAMES if ("ENVI", None, name) in items]
        return (
            envi,
            units or _per_band(items, bands, "ENVI", *_UNIT_NAMES),
            _envi(items, bands, "fwhm"),
        )
    return _described(items, bands)


def _described(items: Items, bands: int) -> Found | None:
    texts = [items.get((ROLE, band, "description"), "") for band in range(bands)]
    found = named_lengths(texts)
    return None if found is None else (*found, None)


def _good(items: Items, bands: int) -> tuple[float, ...] | None:
    texts = _per_band(items, bands, "", "good_band", "bbl") or _envi(items, bands, "bbl")
    return None if texts is None else tuple(float(text.lower() not in _FALSE) for text in texts)


def _envi(items: Items, bands: int, name: str) -> list[str] | None:
    """What the domain ENVI says about every band: one item each, or one list for all."""
    key: Key = ("ENVI", None, name)
    texts = [text.strip() for text in items.get(key, "").strip("{} \n").split(",")]
    return texts if len(texts) == bands and all(texts) else _per_band(items, bands, "ENVI", name)


def _per_band(items: Items, bands: int, domain: str, *names: str) -> list[str] | None:
    """What is said about every band, under the first of `names` that all bands have."""
    for name in names:
        found = [items[key] for band in range(bands) if (key := (domain, band, name)) in items]
        if len(found) == bands:
            return found
    return None


def _common(units: list[str] | None) -> str | None:
    """The unit of all bands; None if it is not stated or not the same."""
    distinct = {unit.lower() for unit in units or () if unit.lower() not in _NOT_A_UNIT}
    return distinct.pop() if len(distinct) == 1 else None


def _numbers(texts: Any) -> tuple[float, ...] | None:
    try:
        numbers = tuple(map(float, texts))
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
