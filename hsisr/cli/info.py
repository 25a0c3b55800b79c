"""`hsisr info`: how a file was understood."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.cube import Cube, CubeSpec, Spectrum
    from hsisr.unmixing.library import Library

_NAMES = 5
"""Names of spectra that are printed of a library."""


def command(
    scene: Annotated[
        Path,
        typer.Argument(
            help="ENVI (either file of the pair), TIFF, MAT, HDF5 or NumPy file; or an ENVI "
            "spectral library (.sli)."
        ),
    ],
    var: options.Var = None,
    axes: options.Axes = None,
    json: options.Json = False,
) -> None:
    """Say how a scene or a library of spectra was understood.

    Its shape, numbers, spectrum, map or names, and every assumption that had to be made.

    Example: hsisr info scene.hdr
    """
    from hsisr.formats import ReadOptions, open_cube
    from hsisr.formats.envi.library import is_library

    if is_library(scene):
        _tell_library(scene, json)
        return
    with open_cube(scene, ReadOptions(var, axes)) as cube:
        if json:
            shared.print_json(_facts(cube))
        else:
            shared.print_lines(_words(cube))


def _tell_library(path: Path, json: bool) -> None:
    from hsisr.unmixing.library import read_library

    library = read_library(path)
    if json:
        shared.print_json(_library_facts(library, path))
    else:
        shared.print_lines(_library_words(library, path))


def _library_facts(library: Library, path: Path) -> dict[str, Any]:
    spectrum = library.spectrum
    return {
        "schema": "hsisr/info-library/1",
        "file": str(path),
        "spectra": len(library.spectra),
        "bands": library.spectra.shape[1],
        "names": library.names,
        "wavelengths_nm": spectrum and spectrum.centres_nm,
        "fwhm_nm": spectrum and spectrum.widths_nm,
        "good_bands": spectrum and spectrum.good,
        "notes": library.notes,
    }


def _library_words(library: Library, path: Path) -> list[str]:
    import numpy as np

    values, names = library.spectra, library.names
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (np.nan, np.nan)
    shape = counted(len(values), "spectrum", "spectra"), counted(values.shape[1], "band")
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return [
        f"ENVI spectral library  {' x '.join(shape)}",
        f"  file      {path}",
        f"  values    {low:g} - {high:g}; {values.size - known.size} missing",
        f"  spectrum  {_spectrum(library.spectrum)}",
        f"  names     {', '.join(names[:_NAMES])}{more}",
        *(f"  note      {note}" for note in library.notes),
    ]


def _facts(cube: Cube) -> dict[str, Any]:
    spec = cube.spec
    spectrum, geo = spec.spectrum, spec.geo
    return {
        "schema": "hsisr/info/1",
        "files": [str(path) for path in cube.files],
        "format": cube.format,
        "bands": spec.bands,
        "rows": spec.rows,
        "cols": spec.cols,
        "dtype": spec.dtype.name,
        "interleave": spec.interleave,
        "bytes": spec.nbytes,
        "nodata": None if spec.nodata is None else str(spec.nodata),
        "gain": spec.gain,
        "offset": spec.offset,
        "wavelengths_nm": spectrum and spectrum.centres_nm,
        "fwhm_nm": spectrum and spectrum.widths_nm,
        "good_bands": spectrum and spectrum.good,
        "band_names": spec.band_names,
        "transform": geo and geo.transform,
        "crs": geo and geo.crs,
        "corners": geo and geo.corners(spec.rows, spec.cols),
        "description": spec.description,
        "notes": cube.notes,
    }


def _words(cube: Cube) -> list[str]:
    from hsisr.files import human_size

    spec = cube.spec
    lines = [
        f"{cube.format.upper()} {spec.interleave.upper()} {spec.dtype.name}  {spec.cols} x "
        f"{spec.rows} pixels x {counted(spec.bands, 'band')}  {human_size(spec.nbytes)}",
        *(f"  file      {path}" for path in cube.files),
        f"  values    {_values(spec)}",
        f"  spectrum  {_spectrum(spec.spectrum)}",
        f"  map       {_map(spec)}",
    ]
    if spec.description:
        lines.append(f"  about     {spec.description[:200]}")
    lines += [f"  note      {note}" for note in cube.notes]
    for scale in (2, 4, 8):
        lines.append(f"  x{scale} output {human_size(spec.upscaled(scale).nbytes)}")
    return lines


def _values(spec: CubeSpec) -> str:
    def told(numbers: tuple[float, ...] | None, neutral: str) -> str:
        if numbers is None:
            return neutral
        return f"{numbers[0]:g}" if len(set(numbers)) == 1 else "one per band"

    nodata = "none" if spec.nodata is None else f"{spec.nodata:g}"
    return f"stored x {told(spec.gain, '1')} + {told(spec.offset, '0')}; no-data value {nodata}"


def _spectrum(spectrum: Spectrum | None) -> str:
    if spectrum is None:
        return "no wavelengths"
    text = f"{min(spectrum.centres_nm):.1f} - {max(spectrum.centres_nm):.1f} nm"
    if spectrum.widths_nm:
        text += f", FWHM {min(spectrum.widths_nm):.1f} - {max(spectrum.widths_nm):.1f} nm"
    if spectrum.good:
        text += f", {counted(spectrum.good.count(False), 'bad band')}"
    return text


def _map(spec: CubeSpec) -> str:
    if spec.geo is None:
        return "no coordinates"
    a, b, _, d, e, _ = spec.geo.transform
    width, height = (a**2 + d**2) ** 0.5, (b**2 + e**2) ** 0.5
    x, y = spec.geo.corners(spec.rows, spec.cols)[0]
    turned = ", rotated" if b or d else ""
    # some files begin with the southernmost row
    side = "lower" if e > 0 == b == d else "upper"
    crs = _system(spec.geo.crs or "unknown reference system")
    return f"{crs}; pixel {width:g} x {height:g}{turned}; {side} left corner {x:.10g}, {y:.10g}"


def _system(crs: str) -> str:
    """A reference system by its name, which WKT tells first."""
    named = re.match(r'\s*[A-Z]+_?[A-Z]*\s*[\[(]\s*"([^"]+)"', crs)
    return named[1] if named else crs.splitlines()[0][:60]
