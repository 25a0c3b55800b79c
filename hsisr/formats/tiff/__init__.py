"""TIFF, BigTIFF and GeoTIFF, with the metadata of GDAL, its `NAME.tif.aux.xml`, and of products.

Bands are the samples of the only image, side by side or plane by plane, or the images of a file
that holds several of one band each. Overviews and masks are passed over. What is written is
uncompressed and, unless it is small, in tiles: every window has its place in the file before
anything is computed, and programs that look at a part of it need not read whole rows.
"""

from __future__ import annotations

from pathlib import Path

from hsisr.cube import Cube, CubeSpec, CubeWriter
from hsisr.errors import OutputError
from hsisr.files import explained
from hsisr.formats import ReadOptions
from hsisr.formats._raw import RawFiles, RawWriter
from hsisr.formats.tiff.cube import open_tiff
from hsisr.formats.tiff.gdal_metadata import side_file
from hsisr.formats.tiff.header import render_header, render_side
from hsisr.formats.tiff.layout import layout_of
from hsisr.formats.tiff.structure import MAGIC

NAME = "tiff"
SUFFIXES = (".tif", ".tiff")

_MOST_BANDS = 65535


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file begins as a TIFF or BigTIFF of either byte order."""
    return head[:4] in MAGIC


def read(path: Path, options: ReadOptions) -> Cube:
    """Open the TIFF file at `path`; raises `InputError`."""
    return open_tiff(path, options)


def write(path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False) -> CubeWriter:
    """Begin a TIFF file at `path`; raises `OutputError`."""
    return TiffWriter(path, spec, resume=resume, shared=shared)


def room(path: Path, spec: CubeSpec) -> int:
    """The bytes of the file, with what tiles have beyond the scene, and of what is beside it."""
    return sum(_files(path, spec).sizes)


def _files(path: Path, spec: CubeSpec) -> RawFiles:
    if spec.dtype.kind not in "uif" or spec.dtype.itemsize < (4 if spec.dtype.kind == "f" else 1):
        raise OutputError(f"a TIFF file cannot hold samples of type {spec.dtype}", where=path)
    if spec.bands > _MOST_BANDS:
        raise OutputError(
            f"a TIFF file holds at most {_MOST_BANDS} bands, not {spec.bands}",
            where=path,
            hint="write ENVI instead",
        )
    with explained(path):
        header = render_header(spec)
    side = render_side(spec)
    texts = {path: header} | ({side_file(path): side} if side else {})
    return RawFiles(layout_of(spec, len(header)), texts)


def outputs(path: Path) -> tuple[Path, ...]:
    """The files that `write` may make appear; the second only where tags do not hold all."""
    return path, side_file(path)


class TiffWriter(RawWriter):
    """A TIFF file under construction, all samples in their place from the beginning."""

    def __init__(self, path: Path, spec: CubeSpec, *, resume: bool, shared: bool) -> None:
        self._side = side_file(path)
        super().__init__(_files(path, spec), spec, resume=resume, shared=shared)

    def _finish(self) -> None:
        super()._finish()
        if self._side not in self.files:
            # GDAL believes a side file more than the file, and this one described another
            with explained(self._side):
                self._side.unlink(missing_ok=True)
