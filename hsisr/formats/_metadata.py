"""The metadata of a cube as named numbers and texts, for files that hold variables.

Written names, and what they mean:

    wavelength, fwhm          centre and full width at half maximum of each band, nanometres
    good_wavelengths          0 for a band that its producer marked as bad
    scale_factor, add_offset  physical = stored * scale_factor + add_offset; one for all or per band
    fill_value                the stored value that means "no data"
    transform                 (a, b, c, d, e, f) of `hsisr.cube.Geo`
    crs, band_names, description    texts, several lines separated by line feeds
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from hsisr.cube import CubeSpec, Geo, Spectrum
from hsisr.formats._variables import Origin, Variable
from hsisr.formats.envi.map_info import read_geo
from hsisr.wording import counted

Value = tuple[float, ...] | str

_ALIASES = {
    "wavelengths": "wavelength",
    "wavelength_nm": "wavelength",
    "wavelength_3d": "wavelength",
    "center_wavelengths": "wavelength",
    "centre_wavelengths": "wavelength",
    "centers": "wavelength",
    "lambda": "wavelength",
    "wave": "wavelength",
    "wl": "wavelength",
    "bands": "wavelength",
    "bbl": "good_wavelengths",
    "good_bands": "good_wavelengths",
    "epsg code": "epsg",
}
_PER_BAND = frozenset({"wavelength", "fwhm", "good_wavelengths"})
_EXACT = frozenset({"scale_factor", "add_offset", "fill_value", "transform"})
_TEXTS = frozenset({"crs", "band_names", "description", "map_info", "epsg"})
_NANOMETRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "micrometer", "micrometre"), 1e3),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
}
TEXT_KINDS = frozenset({"char", "text"})
_LONGEST_TEXT = 2**16
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def meaning(name: str) -> str | None:
    """What a variable called `name` says about the scene, as a key of `fields`; None if nothing."""
    base = name.rsplit("/", 1)[-1]
    key = _ALIASES.get(base.lower(), base.lower())
    if key in _PER_BAND or key in _TEXTS:
        return key
    return base if base in _EXACT else None


def is_text(key: str) -> bool:
    """Whether the value of `key` is a text."""
    return key in _TEXTS


def candidates(variables: Sequence[Variable], cube: Variable) -> dict[str, Variable]:
    """The variables that describe `cube`, by key; of several the one that lies closest to it."""
    best: dict[str, Variable] = {}
    for variable in variables:
        key = meaning(variable.name)
        if key is None or variable is cube or not _fits(key, variable, cube.shape):
            continue
        if key not in best or _closeness(variable, cube) > _closeness(best[key], cube):
            best[key] = variable
    return best


def _closeness(variable: Variable, cube: Variable) -> tuple[int, bool]:
    pairs = zip(variable.name.split("/"), cube.name.split("/"), strict=False)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return shared, variable.base.lower() == meaning(variable.name)


def _fits(key: str, variable: Variable, shape: tuple[int, ...]) -> bool:
    size = math.prod(variable.shape)
    if key in _TEXTS:
        return variable.kind in TEXT_KINDS and size <= _LONGEST_TEXT
    if not variable.is_numeric:
        return False
    if key in _PER_BAND:
        return size in shape
    if key in ("scale_factor", "add_offset"):
        return size == 1 or size in shape
    return size == (6 if key == "transform" else 1)


def cube_name(spec: CubeSpec) -> str:
    """The name of the variable to write: as it was read if MATLAB allows it, else `cube`."""
    if not isinstance(spec.native, Origin):
        return "cube"
    name = spec.native.variable.rsplit("/", 1)[-1]
    return name if _NAME.fullmatch(name) and meaning(name) is None else "cube"


def as_matlab(spec: CubeSpec) -> CubeSpec:
    """The same cube in a type that MATLAB has: half precision becomes single."""
    return replace(spec, dtype=np.dtype(np.float32)) if spec.dtype == np.float16 else spec


def describe(spec: CubeSpec) -> dict[str, Value]:
    """The metadata of `spec` under the names listed above."""
    found: dict[str, Value | None] = {
        "scale_factor": spec.gain,
        "add_offset": spec.offset,
        "fill_value": None if spec.nodata is None or math.isnan(spec.nodata) else (spec.nodata,),
        "band_names": "\n".join(spec.band_names or ()),
        "description": spec.description,
    }
    if spec.geo is not None:
        found["transform"] = spec.geo.transform
        found["crs"] = spec.geo.crs
    if spec.spectrum is not None:
        good = spec.spectrum.good
        found["wavelength"] = spec.spectrum.centres_nm
        found["fwhm"] = spec.spectrum.widths_nm
        found["good_wavelengths"] = good and tuple(map(float, good))
    return {name: _storable(value) for name, value in found.items() if value}


def _storable(value: Value) -> Value:
    """Plain floats, or a text that any file can hold."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    return tuple(map(float, value))


def fields(
    found: Mapping[str, Value], units: str | None, bands: int
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a `CubeSpec` that `found` describes, and notes on what was assumed.

    `found` maps the keys of `meaning` to values, `units` is the unit of the wavelengths if known.
    Values that contradict the number of bands are left out and noted.
    """
    notes: list[str] = []
    numbers = {key: value for key, value in found.items() if not isinstance(value, str)}
    texts = {key: value for key, value in found.items() if isinstance(value, str)}
    names = texts.get("band_names", "").split("\n")
    result: dict[str, Any] = {
        "spectrum": _spectrum(numbers, units, bands, notes),
        "geo": _geo(numbers.get("transform"), texts, notes),
        "nodata": numbers.get("fill_value", (None,))[0],
        "band_names": tuple(names) if len(names) == bands and all(names) else None,
        "description": texts.get("description"),
    }
    for field, key in (("gain", "scale_factor"), ("offset", "add_offset")):
        value = numbers.get(key)
        if value and len(value) in (1, bands):
            result[field] = value
            notes.append(f"{key} applied to the stored values")
    return result, notes


def _spectrum(
    numbers: Mapping[str, tuple[float, ...]], units: str | None, bands: int, notes: list[str]
) -> Spectrum | None:
    centres = numbers.get("wavelength")
    if centres is None:
        return None
    if len(centres) != bands:
        notes.append(f"{counted(len(centres), 'wavelength')} for {counted(bands, 'band')}: ignored")
        return None
    factor, unit = _nanometres(centres, units)
    if factor is None:
        notes.append(f"wavelengths ignored: {unit}")
        return None
    if units is None:
        notes.append(f"wavelengths have no unit; taken as {unit}")
    widths = _of_length(numbers.get("fwhm"), bands)
    good = _of_length(numbers.get("good_wavelengths"), bands)
    return Spectrum(
        _scaled(centres, factor),
        None if widths is None else _scaled(widths, factor),
        None if good is None else tuple(value != 0 for value in good),
    )


def _scaled(lengths: tuple[float, ...], factor: float) -> tuple[float, ...]:
    # 0.4045 um are 404.5 nm, not 404.49999999999994
    return lengths if factor == 1 else tuple(round(length * factor, 9) for length in lengths)


def _of_length(values: tuple[float, ...] | None, bands: int) -> tuple[float, ...] | None:
    return values if values is not None and len(values) == bands else None


def _nanometres(centres: tuple[float, ...], units: str | None) -> tuple[float | None, str]:
    """The factor to nanometres and the unit in words, or None and what is wrong."""
    if not all(math.isfinite(centre) and centre > 0 for centre in centres):
        return None, "not all are positive numbers"
    if units is not None:
        unit = units.strip().lower().removesuffix("s")
        return _NANOMETRES.get(unit), f"unknown unit '{units}'"
    if all(centre == index for index, centre in enumerate(centres, 1)):
        return None, "they only count the bands"
    # optical sensors work between 0.1 and 30 micrometres, which leaves no overlap
    if max(centres) <= 30:
        return 1e3, "micrometres"
    return (1.0, "nanometres") if min(centres) >= 100 else (None, "neither nm nor micrometres")


def _geo(
    transform: tuple[float, ...] | None, texts: Mapping[str, str], notes: list[str]
) -> Geo | None:
    if transform is None:
        return _from_map_info(texts, notes)
    a, b, c, d, e, f = transform
    if not all(map(math.isfinite, transform)) or a * e == b * d:
        notes.append("transform ignored: it does not describe a grid")
        return None
    return Geo((a, b, c, d, e, f), texts.get("crs"))


def _from_map_info(texts: Mapping[str, str], notes: list[str]) -> Geo | None:
    if "map_info" not in texts:
        return None
    geo, note = read_geo(texts["map_info"])
    notes.extend([note] if note else [])
    epsg = texts.get("epsg", "").strip()
    return replace(geo, crs=f"EPSG:{epsg}") if geo and epsg.isdigit() else geo
