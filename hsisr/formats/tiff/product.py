"""What the METADATA.XML beside an image of EnMAP or DESIS says about its bands.

The images themselves tell neither wavelengths nor scales. What is told becomes items, as if GDAL
had written them into the image. Level 1B of EnMAP is an image of each detector; the bands of VNIR
are listed first. A band of which all pixels are background has a mean of -1e6 in the statistics.

Sources: DLR's product specifications of EnMAP (EN-PCV-ICD-2009) and DESIS (PAV-DLR-ICD-003), as
EnPT, EnMAP-Box, SNAP and HyTools read the products.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from xml.etree.ElementTree import Element

from hsisr.formats.tiff.bands import read_bands
from hsisr.formats.tiff.gdal_metadata import ROLE, Items, read_xml
from hsisr.wording import counted

BACKGROUND = ("product", None, "background")
"""The item with the stored value that means "no data"."""

_IMAGE = re.compile(r"(.+)-SPECTRAL_IMAGE(_VNIR|_SWIR)?(?:_COG)?", re.I)
_LAYER = re.compile(r"(.+)-QL_.+", re.I)
# as delivered, and as catalogues save it
_METADATA = ("-METADATA.XML", "-METADATA.xml", "-METADATA.XML.XML")

_ELEMENTS = {
    ("", "wavelength"): ("wavelengthCenterOfBand",),
    ("", "fwhm"): ("FWHMOfBand", "wavelengthWidthOfBand"),
    (ROLE, "scale"): ("GainOfBand", "gainOfBand"),
    (ROLE, "offset"): ("OffsetOfBand", "offsetOfBand"),
}
"""What an item of a band is called in the metadata of EnMAP and of DESIS; lengths in nm."""
_NO_MEAN = -1e6


def metadata_file(image: Path, notes: list[str]) -> Path | None:
    """The metadata of the product that `image` is of by its name; notes what the name tells."""
    named = _IMAGE.fullmatch(image.stem)
    if named is None:
        return None
    if named[2]:
        notes.append("one detector in the geometry of the sensor: any place on the map is rough")
    beside = (image.with_name(named[1] + ending) for ending in _METADATA)
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        notes.append(f"no {named[1]}{_METADATA[0]} beside it to tell of wavelengths and scales")
    return found


def is_layer(path: Path) -> bool:
    """Whether `path` is a mask, a flag or a preview of a product whose image lies beside it."""
    named = _LAYER.fullmatch(path.stem)
    return named is not None and any(path.parent.glob(f"{escape(named[1])}-SPECTRAL_IMAGE*"))


def read_product(path: Path, image: Path, bands: int) -> Items:
    """The items of the `bands` of `image` in the metadata at `path`.

    Raises `ValueError`, also if these are about other bands, and `OSError`.
    """
    root = read_xml(path)
    listed = root.findall(".//bandCharacterisation/*")
    named = _IMAGE.fullmatch(image.stem)
    detector = (named[2] or "").upper() if named else ""
    if len(listed) != bands and not (detector and len(listed) > bands):
        raise ValueError(f"it is about {counted(len(listed), 'band')}, the image has {bands}")
    chosen = slice(-bands, None) if detector == "_SWIR" else slice(bands)
    items = _band_items(listed[chosen])
    if not detector:
        items |= _background_bands(root, bands)
    read_bands(items, bands)
    background = root.findtext(".//backgroundValue")
    return items if background is None else {**items, BACKGROUND: background.strip()}


def _band_items(listed: Sequence[Element]) -> Items:
    items: Items = {}
    for (domain, name), elements in _ELEMENTS.items():
        for element in elements:
            texts = [(band.findtext(element) or "").strip() for band in listed]
            if any(texts) and not all(texts):
                raise ValueError(f"{element} is not told of all bands")
            if all(texts):
                items |= {(domain, band, name): text for band, text in enumerate(texts)}
    units = {("", band, "wavelength_units"): "nm" for band in range(len(listed))}
    return items | units


def _background_bands(root: Element, bands: int) -> Items:
    """Which bands hold pixels, if the statistics are about all of them."""
    means = [mean.text or "" for mean in root.findall(".//bandStatistics/bandID/mean")]
    if len(means) != bands:
        return {}
    return {("", i, "good_band"): str(int(float(mean) != _NO_MEAN)) for i, mean in enumerate(means)}
