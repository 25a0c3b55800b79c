"""The header of a cube to be written: what its spec says, and what its source's header adds.

Keys come in groups that belong together. Where a cube still is what its source's header says about
a group, the source's own words stay (spatial ones on the finer grid); where it is not, the group is
dropped and written anew from the spec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hsisr.cube import Class, CubeSpec, Spectrum
from hsisr.errors import UsageError
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import COMMENT, Entry, EnviHeader, braced, inner, normal
from hsisr.formats.envi.map_info import geo_entries, number_text, same_place, zoomed
from hsisr.formats.envi.native import EnviNative
from hsisr.formats.envi.spec import DTYPES, read_spec

_PLAIN = str.maketrans({"{": "(", "}": ")", "=": ":", "\n": " ", "\r": " "})


def compose(spec: CubeSpec) -> EnviHeader:
    """The header of `spec`, in nanometres where it is new; raises `UsageError` for its dtype."""
    source = spec.native.header if isinstance(spec.native, EnviNative) else None
    was = None if source is None else read_spec(Fields(source)).upscaled(spec.zoom)
    stale = [group for group in _GROUPS if was is None or not group.holds(was, spec)]
    entries = _layout_entries(spec)
    for group in stale:
        entries += group.entries(spec)
    if source is not None:
        entries += _carried(source, _NEVER_CARRIED.union(*(g.keys for g in stale)), spec.zoom)
    return EnviHeader(tuple(entries))


def _carried(source: EnviHeader, dropped: frozenset[str], zoom: int) -> Iterator[Entry]:
    for key, value in source.entries:
        if not key and value.startswith(COMMENT):
            yield key, value
        if not key or normal(key) in dropped:
            continue
        finer = zoomed(normal(key), value, zoom)
        if finer is not None:
            # GDAL takes a number in braces for 0
            yield key, inner(finer) if normal(key) == "data ignore value" else finer


def _layout_entries(spec: CubeSpec) -> list[Entry]:
    codes = {dtype: code for code, dtype in DTYPES.items()}
    if spec.dtype not in codes:
        known = ", ".join(str(dtype) for dtype in codes)
        raise UsageError(f"ENVI cannot store {spec.dtype}", hint=f"choose one of: {known}")
    return [
        ("samples", str(spec.cols)),
        ("lines", str(spec.rows)),
        ("bands", str(spec.bands)),
        ("header offset", "0"),
        ("file type", "ENVI Standard" if spec.classes is None else "ENVI Classification"),
        ("data type", str(codes[spec.dtype])),
        ("interleave", spec.interleave),
        ("byte order", "0"),
        *_class_entries(spec.classes or ()),
    ]


def _class_entries(classes: Sequence[Class]) -> list[Entry]:
    if not classes:
        return []
    colours = [str(part) for kind in classes for part in kind.colour]
    return [
        ("classes", str(len(classes))),
        ("class lookup", braced(colours)),
        ("class names", braced(list_names([kind.name for kind in classes]))),
    ]


def _description_entries(spec: CubeSpec) -> list[Entry]:
    return [("description", braced([_plain(spec.description)]))] if spec.description else []


def _band_entries(spec: CubeSpec) -> list[Entry]:
    names = [("band names", braced(list_names(spec.band_names)))] if spec.band_names else []
    return spectrum_entries(spec.spectrum) + names


def spectrum_entries(spectrum: Spectrum | None) -> list[Entry]:
    """The entries that say where bands lie, in nanometres with all their digits."""
    if spectrum is None:
        return []
    lists = {
        "wavelength": [repr(float(nm)) for nm in spectrum.centres_nm],
        "fwhm": [repr(float(nm)) for nm in spectrum.widths_nm or ()],
        "bbl": [str(int(good)) for good in spectrum.good or ()],
    }
    given = [(key, braced(texts)) for key, texts in lists.items() if texts]
    return [("wavelength units", "Nanometers"), *given]


def _scaling_entries(spec: CubeSpec) -> list[Entry]:
    if spec.gain is None and spec.offset is None:
        return []
    gain, offset = spec.gain or (1.0,), spec.offset or (0.0,)
    factor = float(round(1 / gain[0]))
    if spec.offset is None and len(gain) == 1 and factor and 1 / factor == gain[0]:
        return [("reflectance scale factor", number_text(factor))]
    return [
        ("data gain values", braced(_per_band(gain, spec.bands))),
        ("data offset values", braced(_per_band(offset, spec.bands))),
    ]


def _nodata_entries(spec: CubeSpec) -> list[Entry]:
    return [] if spec.nodata is None else [("data ignore value", number_text(spec.nodata))]


def _grid_entries(spec: CubeSpec) -> list[Entry]:
    return [] if spec.geo is None else geo_entries(spec.geo)


def list_names(names: Sequence[str]) -> list[str]:
    """Names as items of a list: no comma, brace, equals sign or line break, none empty."""
    plain = (_plain(name).replace(",", ";").strip() for name in names)
    return [name or f"Band {i}" for i, name in enumerate(plain, 1)]


def _plain(text: str) -> str:
    return text.translate(_PLAIN)


def _per_band(numbers: Sequence[float], bands: int) -> list[str]:
    return [repr(float(number)) for number in numbers] * (bands if len(numbers) == 1 else 1)


def _same_bands(was: CubeSpec, spec: CubeSpec) -> bool:
    return (was.bands, was.spectrum, was.band_names) == (spec.bands, spec.spectrum, spec.band_names)


def _same_scaling(was: CubeSpec, spec: CubeSpec) -> bool:
    return _same_bands(was, spec) and (was.gain, was.offset) == (spec.gain, spec.offset)


def _same_nodata(was: CubeSpec, spec: CubeSpec) -> bool:
    if was.nodata is None or spec.nodata is None:
        return was.nodata is spec.nodata
    return was.nodata == spec.nodata or (math.isnan(was.nodata) and math.isnan(spec.nodata))


def _same_grid(was: CubeSpec, spec: CubeSpec) -> bool:
    return (was.rows, was.cols) == (spec.rows, spec.cols) and same_place(was.geo, spec.geo)


@dataclass(frozen=True, slots=True)
class _Group:
    keys: frozenset[str]
    holds: Callable[[CubeSpec, CubeSpec], bool]
    entries: Callable[[CubeSpec], list[Entry]]


_GROUPS = (
    _Group(
        frozenset({"description"}),
        lambda was, spec: was.description == spec.description,
        _description_entries,
    ),
    _Group(
        frozenset(
            {
                *("wavelength", "wavelength units", "fwhm", "bbl", "band names", "default bands"),
                *("default stretch", "z plot range", "z plot titles", "z plot average"),
                *("solar irradiance", "correction factors", "smoothing factors"),
            }
        ),
        _same_bands,
        _band_entries,
    ),
    _Group(
        frozenset(
            {
                *("reflectance scale factor", "data gain values", "data offset values"),
                *("data reflectance gain values", "data reflectance offset values"),
            }
        ),
        _same_scaling,
        _scaling_entries,
    ),
    _Group(frozenset({"data ignore value"}), _same_nodata, _nodata_entries),
    _Group(
        frozenset(
            {
                *("map info", "coordinate system string", "projection info", "pixel size"),
                *("geo points", "rpc info", "x start", "y start"),
            }
        ),
        _same_grid,
        _grid_entries,
    ),
)

_NEVER_CARRIED = frozenset(
    {
        *("samples", "lines", "bands", "header offset", "file type", "data type", "interleave"),
        *("byte order", "file compression", "major frame offsets", "minor frame offsets"),
        *("read procedures", "data file", "classes", "class names", "class lookup"),
    }
)
