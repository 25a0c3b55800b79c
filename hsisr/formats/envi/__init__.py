"""ENVI: a text header and one plain file of numbers, band- line- or pixel-interleaved.

Source: the ENVI header format as documented by NV5 Geospatial, and what GDAL and Spectral Python
make of it where that is silent.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hsisr.cube import CubeSpec
from hsisr.formats import ReadOptions
from hsisr.formats._layout import RawLayout
from hsisr.formats._raw import RawCube, RawFiles, RawWriter
from hsisr.formats.envi.compose import compose
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import read_header
from hsisr.formats.envi.pair import (
    DATA,
    HEADER,
    find_data,
    find_header,
    has_header,
    require_paired,
)
from hsisr.formats.envi.spec import AXES, read_layout, read_spec

NAME = "envi"
SUFFIXES = (HEADER, *DATA)

_OTHER_FORMATS = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, BigTIFF
    *(b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0", b"MATLAB 7.3", b"\x93NUMPY", b"EHFA_HEADER_TAG"),
)
_WIDE = 64


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is an ENVI header, or data with an ENVI header beside them."""
    if path.suffix.lower() == HEADER:
        return True
    if head.startswith(_OTHER_FORMATS):
        return False
    return path.suffix.lower() in DATA or has_header(path)


def read(path: Path, options: ReadOptions) -> RawCube:
    """Open the scene of which `path` is either file; raises `InputError`.

    The data file must be exactly as long as the header says.
    """
    named_header = path.suffix.lower() == HEADER
    header = path if named_header else find_header(path)
    fields = Fields(read_header(header), header)
    spec = read_spec(fields)
    layout = read_layout(fields, spec)
    data = find_data(header) if named_header else path
    require_paired(fields, data)
    fields.note_typos()
    return RawCube(layout, spec, format=NAME, files=(data, header), notes=fields.notes)


def outputs(path: Path) -> tuple[Path, ...]:
    """The data file and the header that `write` makes of `path`, whichever of them it names."""
    if path.suffix.lower() == HEADER:
        return path.with_suffix(DATA[0]), path
    stem = path.with_suffix("") if path.suffix.lower() in DATA else path
    return path, stem.with_name(stem.name + HEADER)


def write(path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False) -> RawWriter:
    """Begin a scene in little-endian order; raises `OutputError`, or `UsageError` for its dtype.

    A wide BIP cube becomes BIL: in programs that read it band by band, the memory needed for BIP
    grows with the square of the number of bands.
    """
    return RawWriter(_files(path, spec), spec, resume=resume, shared=shared)


def room(path: Path, spec: CubeSpec) -> int:
    """The bytes of both files; raises `UsageError`."""
    return sum(_files(path, spec).sizes)


def _files(path: Path, spec: CubeSpec) -> RawFiles:
    if spec.interleave == "bip" and spec.bands > _WIDE:
        spec = replace(spec, interleave="bil")
    data, header = outputs(path)
    text = compose(spec).render().encode(errors="replace")
    layout = RawLayout(AXES[spec.interleave], spec.shape, spec.dtype.newbyteorder("<"))
    return RawFiles(layout, {data: b"", header: text})
