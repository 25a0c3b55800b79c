"""Cubes of PRISMA, levels 1 to 2D, which attributes at the root of the file describe.

Stored as rows x bands x columns; below level 2D, which lies on the map, each row runs along the
track. The corners that are told are taken as centres of pixels, as most readers do. A band that the
sensor does not have is flagged 0, and so may be its wavelength. Level 2 maps
the unsigned 16 bits to L2Scale...Min to Max; level 1 is divided by ScaleFactor_... to W/(m2 sr um).

Source: ASI, PRISMA Products Specification Document, issue 2.3, 2020, as prismaread, acolite,
EnMAP-Box and HyperCoast read the products.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from hsisr.formats._axes import Axes
from hsisr.formats._metadata import Value
from hsisr.formats.hdf5.metadata import Description
from hsisr.formats.hdf5.values import read_values
from hsisr.wording import counted

_CUBE = re.compile(r"HDFEOS/SWATHS/PRS_L(1|2B|2C|2D)_H(?:CO|RC)/Data Fields/(VNIR|SWIR)_Cube")
_CORNERS = (
    *("Epsg_Code", "Product_ULcorner_easting", "Product_ULcorner_northing"),
    *("Product_LRcorner_easting", "Product_LRcorner_northing"),
)
_AXES = Axes("YBX")
_LARGEST = 2**16 - 1

Numbers = tuple[float, ...]


def read_description(file: h5py.File, name: str, path: Path) -> Description | None:
    """What the file says about the data set `name`; None if that is no cube of PRISMA."""
    product = _CUBE.fullmatch(name)
    if product is None:
        return None
    level, sensor = product[1], product[2].capitalize()

    def numbers(key: str) -> Numbers:
        plain = read_values(file, [("/", key)], path).get(("/", key), ())
        return tuple(number for number in plain if isinstance(number, float))

    found, notes = _spectrum(
        numbers(f"List_Cw_{sensor}"),
        numbers(f"List_Fwhm_{sensor}"),
        numbers(f"List_Cw_{sensor}_Flags"),
    )
    if level == "1":
        scale = _radiance(numbers(f"ScaleFactor_{sensor}"), numbers(f"Offset_{sensor}"))
    else:
        scale = _mapped(numbers(f"L2Scale{sensor}Min"), numbers(f"L2Scale{sensor}Max"))
    place = _place(list(map(numbers, _CORNERS)), file[name].shape) if level == "2D" else {}
    if place:
        notes.append("on the map, the corners that are told are taken as centres of pixels")
    if level != "2D":
        notes.append("in the geometry of the sensor: each row of pixels runs along the track")
    if not scale:
        notes.append("numbers as stored: how they are scaled is not certain")
    return Description({**found, **scale, **place}, "nm", _AXES, tuple(notes))


def _spectrum(
    centres: Numbers, widths: Numbers, flags: Numbers
) -> tuple[dict[str, Value], list[str]]:
    """Centres, widths and which bands are good; absent bands lie in line with the others."""
    known = np.flatnonzero(np.isfinite(centres) & (np.array(centres) > 0))
    if len(known) < 2:
        return {}, ["the file tells no wavelengths"]
    bands = np.arange(len(centres))
    present = np.isin(bands, known)
    good = present & np.array(flags, bool) if len(flags) == len(centres) else present
    found: dict[str, Value] = {
        "wavelength": _in_line(centres, known),
        "good_wavelengths": tuple(good.astype(float).tolist()),
    }
    if len(widths) == len(centres):
        found["fwhm"] = tuple(np.interp(bands, known, np.array(widths)[known]).tolist())
    absent = len(centres) - len(known)
    if not absent:
        return found, []
    without = f"{counted(absent, 'band')} without a wavelength"
    return found, [f"{without}: taken as bad, placed in line with the neighbours"]


def _in_line(centres: Numbers, known: NDArray[np.intp]) -> Numbers:
    """The centres, those beside the `known` ones on the straight line through the nearest two."""
    bands, values = np.arange(len(centres)), np.array(centres)
    line = np.interp(bands, known, values[known])
    for end, inner in (known[:2], known[-2:][::-1]):
        outside = bands < end if end < inner else bands > end
        slope = (values[inner] - values[end]) / (inner - end)
        line[outside] = values[end] + (bands[outside] - end) * slope
    return tuple(line.tolist())


def _place(told: Sequence[Numbers], shape: tuple[int, int, int]) -> dict[str, Value]:
    """The grid between the centres of the first and the last pixel, by the `told` corners."""
    rows, _, cols = shape
    if not all(len(number) == 1 for number in told) or min(rows, cols) < 2:
        return {}
    code, left, top, right, bottom = (number[0] for number in told)
    width, height = (right - left) / (cols - 1), (bottom - top) / (rows - 1)
    transform = (width, 0.0, left - width / 2, 0.0, height, top - height / 2)
    return {"transform": transform, "crs": f"EPSG:{code:.0f}"}


def _mapped(least: Numbers, most: Numbers) -> dict[str, Value]:
    if len(least) != 1 or len(most) != 1:
        return {}
    return {"scale_factor": ((most[0] - least[0]) / _LARGEST,), "add_offset": least}


def _radiance(divisor: Numbers, offset: Numbers) -> dict[str, Value]:
    # readers disagree on the sign of an offset; in products it is 0
    if len(divisor) != 1 or not divisor[0] or offset != (0.0,):
        return {}
    return {"scale_factor": (1 / divisor[0],)}
