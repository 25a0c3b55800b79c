"""What an ENVI header says about a cube, as a `CubeSpec` and the layout of its data file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hsisr.cube import CubeSpec, Geo, Interleave
from hsisr.formats._axes import Axes
from hsisr.formats._layout import RawLayout
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import shown, to_number
from hsisr.formats.envi.map_info import read_geo
from hsisr.formats.envi.native import EnviNative
from hsisr.formats.envi.spectrum import read_spectrum
from hsisr.wording import counted

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.int16),
    3: np.dtype(np.int32),
    4: np.dtype(np.float32),
    5: np.dtype(np.float64),
    12: np.dtype(np.uint16),
    13: np.dtype(np.uint32),
    14: np.dtype(np.int64),
    15: np.dtype(np.uint64),
}
AXES: dict[Interleave, Axes] = {"bsq": Axes("BYX"), "bil": Axes("YBX"), "bip": Axes("YXB")}

Numbers = tuple[float, ...]

_COMPLEX = (6, 9)
_STANDARD = ("envi standard", "envi")
_OTHERS = {
    "envi classification": "a map of classes, not a scene; QGIS and ENVI open it",
    "envi spectral library": "a library of spectra, not a scene; hsisr unmix --library or "
    "--identify take it",
    "tiff": "name the .tif file beside it",
}
"""Files that are no ENVI images, and what to do with them."""
_TINY, _HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_spec(fields: Fields) -> CubeSpec:
    """The cube that a header describes; raises `InputError`."""
    _require_plain(fields)
    bands = fields.integer("bands", least=1)
    dtype = _dtype(fields)
    gain, offset = _scaling(fields, bands)
    return CubeSpec(
        bands=bands,
        rows=fields.integer("lines", least=1),
        cols=fields.integer("samples", least=1),
        dtype=dtype,
        nodata=_nodata(fields, dtype),
        gain=gain,
        offset=offset,
        spectrum=read_spectrum(fields, bands),
        geo=_geo(fields),
        band_names=_names(fields, bands),
        description=fields.text("description") or None,
        interleave=_interleave(fields),
        native=EnviNative(fields.header),
    )


def read_layout(fields: Fields, spec: CubeSpec) -> RawLayout:
    """Where the samples of `spec` lie in the data file; raises `InputError`."""
    if not fields.header.values("byte order"):
        fields.note("'byte order' is missing; 0 (least significant byte first) is assumed")
    order = fields.integer("byte order", least=0, default=0)
    if order > 1:
        raise fields.wrong("byte order", str(order), "0 or 1 was")
    return RawLayout(
        axes=AXES[spec.interleave],
        shape=spec.shape,
        dtype=spec.dtype.newbyteorder(">" if order else "<"),
        offset=fields.integer("header offset", least=0, default=0),
    )


def _require_plain(fields: Fields) -> None:
    kind = " ".join((fields.text("file type") or _STANDARD[0]).lower().split())
    if kind not in _STANDARD:
        error = fields.wrong("file type", shown(kind), "'ENVI Standard' (an image) was")
        error.hint = _OTHERS.get(kind)
        raise error
    fields.refuse_nonzero("file compression", "compressed; decompress the data file first")
    fields.refuse_nonzero("major frame offsets", "bytes between the lines")
    fields.refuse_nonzero("minor frame offsets", "bytes between the lines")


def _dtype(fields: Fields) -> np.dtype[Any]:
    code = fields.integer("data type", least=1)
    if code in _COMPLEX:
        raise fields.wrong("data type", f"{code} (complex numbers)", "a real type was")
    if code not in DTYPES:
        raise fields.wrong("data type", str(code), f"one of {', '.join(map(str, DTYPES))} was")
    return DTYPES[code]


def _interleave(fields: Fields) -> Interleave:
    stated = fields.text("interleave")
    for interleave in AXES:
        if stated is not None and stated.strip("\"' ").lower() == interleave:
            return interleave
    raise fields.wrong(
        "interleave", "missing" if stated is None else shown(stated), "bsq, bil or bip was"
    )


def _nodata(fields: Fields, dtype: np.dtype[Any]) -> float | None:
    text = fields.text("data ignore value")
    if not text:
        return None
    number = float(text) if _NOT_FINITE.fullmatch(text) else to_number(text)
    if number is None:
        raise fields.wrong("data ignore value", shown(text), "a number was")
    if dtype.kind in "iu" and not (
        np.iinfo(dtype).min <= number <= np.iinfo(dtype).max and number.is_integer()
    ):
        fields.note(f"the 'data ignore value' {text} cannot occur in {dtype} numbers")
    return number


def _scaling(fields: Fields, bands: int) -> tuple[Numbers | None, Numbers | None]:
    """Gain and offset; identities are None."""
    gain, offset = (
        fields.numbers("data gain values", bands),
        fields.numbers("data offset values", bands),
    )
    factor = _scale_factor(fields)
    if gain and not all(_TINY <= abs(number) <= _HUGE for number in gain):
        raise fields.wrong("data gain values", "a list with zero, or beyond float32", "gains were")
    if offset and not all(abs(number) <= _HUGE for number in offset):
        raise fields.wrong("data offset values", "a list beyond float32", "offsets were")
    gain = None if gain and set(gain) == {1.0} else gain
    offset = None if offset and set(offset) == {0.0} else offset
    if factor in (None, 1.0):
        return gain, offset
    if gain or offset:
        fields.note("of the scale factor and the gains given, only the scale factor is applied")
    return (1 / factor,), None


def _scale_factor(fields: Fields) -> float | None:
    """What stored numbers are divided by."""
    text = fields.text("reflectance scale factor")
    if not text:
        return None
    factor = to_number(text)
    if factor is None or not _TINY <= factor <= 1 / _TINY:
        raise fields.wrong("reflectance scale factor", shown(text), "a positive number was")
    if factor < 1:
        fields.note(
            f"stored numbers are divided by the 'reflectance scale factor' {text}, as ENVI does: "
            f"1 becomes {1 / factor:g}"
        )
    return factor


def _geo(fields: Fields) -> Geo | None:
    map_info = fields.text("map info")
    wkt = fields.text("coordinate system string")
    if not map_info:
        return None
    geo, note = read_geo(map_info, wkt)
    if note:
        fields.note(note)
    return geo


def _names(fields: Fields, bands: int) -> tuple[str, ...] | None:
    names = fields.texts("band names")
    if names and len(names) != bands:
        fields.note(f"'band names' are not used: {len(names)} for {counted(bands, 'band')}")
        return None
    return tuple(names) if names else None
