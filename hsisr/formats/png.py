"""Folders of PNG files, one per band: any of them names the cube.

The files of a cube are numbered from 0 or 1 with at least two digits, `balloons_ms_01.png` to
`balloons_ms_31.png`, as the CAVE scenes come. They can be read, not written.
"""

from __future__ import annotations

import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from hsisr.cube import CubeSpec
from hsisr.errors import InputError, NoCubeError
from hsisr.files import explained
from hsisr.formats import ReadOptions
from hsisr.formats._axes import Axes
from hsisr.formats._variable_cube import VariableCube
from hsisr.wording import counted

NAME = "png"
SUFFIXES = (".png",)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBERED = re.compile(r"(.*?)(\d{2,})\.png", re.IGNORECASE)
_COLOURED = (2, 3, 6)
"""Colour types of the PNG specification: in colour, by a palette, in colour with opacity."""
_INFLATION = 1032
"""Deflate's best ratio."""


@dataclass(frozen=True)
class _Header:
    """What a PNG file says about itself."""

    width: int
    height: int
    depth: int
    """Bits of a sample: 8 or 16."""
    coloured: bool
    """Whether it is stored in colour, which a grey picture may be, too."""


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is a PNG file with a number in its name."""
    return head.startswith(_SIGNATURE) and _NUMBERED.fullmatch(path.name) is not None


def read(path: Path, options: ReadOptions) -> VariableCube:
    """Open the cube that the band at `path` belongs to; raises `InputError`."""
    bands = _siblings(path)
    first = _header(bands[0])
    for band in bands[1:]:
        _require_alike(first, _header(band), band, bands[0])
    dtype = np.dtype(np.uint16 if first.depth > 8 else np.uint8)
    spec = CubeSpec(len(bands), first.height, first.width, dtype)
    if first.coloured:
        _grey(bands[0], spec)
    notes = (f"read as bands: {counted(len(bands), 'file')}, {bands[0].name} to {bands[-1].name}",)
    source = _Bands(bands, spec)
    return VariableCube(spec, NAME, bands, notes, source, Axes("BYX"), release=source.forget)


class _Bands:
    """The pixels of all files, decoded into a nameless temporary one when they are first asked for.

    A PNG file has no pixel but the first that can be read without those before it.
    """

    def __init__(self, bands: tuple[Path, ...], spec: CubeSpec) -> None:
        self._bands, self._spec = bands, spec
        self._decoded: NDArray[Any] | None = None

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> NDArray[Any]:
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded[index]

    def forget(self) -> None:
        """Give the room on the disk back."""
        self._decoded = None

    def _decode(self) -> NDArray[Any]:
        with tempfile.TemporaryFile(prefix="hsisr-") as file:
            for path in self._bands:
                band = _grey(path, self._spec)
                with explained(Path(tempfile.gettempdir()), self._spec.nbytes):
                    file.write(band.data)
            file.flush()
            return np.memmap(file, self._spec.dtype, "r", shape=self._spec.shape)


def _siblings(path: Path) -> tuple[Path, ...]:
    """All bands, in the order of their numbers; raises `InputError` where one is missing."""
    stem = _parted(path)[0]
    found: dict[int, Path] = {}
    for other in path.parent.iterdir():
        if _NUMBERED.fullmatch(other.name) and _parted(other)[0] == stem:
            if (number := _parted(other)[1]) in found:
                raise InputError(f"the same band as {found[number].name}", where=other)
            found[number] = other
    first, last = min(min(found), 1), max(found)
    missing = [number for number in range(first, last + 1) if number not in found]
    if missing:
        # a number that is a year, or that of a scene
        kind = InputError if len(found) > 1 else NoCubeError
        raise kind(
            f"band {missing[0]} of {stem}... is missing; found {counted(len(found), 'file')}, "
            f"the last is {found[last].name}",
            where=path.parent,
            hint="bands are PNG files numbered from 0 or 1 without a gap",
        )
    return tuple(found[number] for number in range(first, last + 1))


def _parted(path: Path) -> tuple[str, int]:
    match = _NUMBERED.fullmatch(path.name)
    assert match is not None
    return match[1], int(match[2])


def _header(path: Path) -> _Header:
    """Width, height and depth; raises `InputError`."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    if len(head) < 26 or not head.startswith(_SIGNATURE) or head[12:16] != b"IHDR":
        raise InputError("is not a PNG file, or is cut off", where=path)
    width, height, depth = struct.unpack(">IIB", head[16:25])
    if not 0 < width * height * depth <= 8 * _INFLATION * path.stat().st_size:
        raise InputError(
            f"declares {height} x {width} pixels of {depth} bits, more than it can hold", where=path
        )
    return _Header(width, height, max(depth, 8), head[25] in _COLOURED)


def _require_alike(first: _Header, other: _Header, path: Path, leader: Path) -> None:
    if (other.height, other.width) != (first.height, first.width):
        raise InputError(
            f"is {other.height} x {other.width} pixels, {leader.name} is "
            f"{first.height} x {first.width}",
            where=path,
        )
    if other.depth != first.depth:
        raise InputError(f"has {other.depth} bits, {leader.name} has {first.depth}", where=path)


def _grey(path: Path, spec: CubeSpec) -> NDArray[Any]:
    """The pixels (rows, cols) of a grey picture, be it stored as one in colour."""
    try:
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except (imagecodecs.PngError, OSError, ValueError) as error:
        raise InputError(f"could not be decoded: {error}", where=path) from error
    if pixels.ndim == 3:
        colours = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
        if (colours != colours[..., :1]).any():
            raise NoCubeError(
                "is a picture in colour, not a band",
                where=path,
                hint="a cube is one grey PNG file per band",
            )
        pixels = colours[..., 0]
    if pixels.shape != (spec.rows, spec.cols) or pixels.dtype != spec.dtype:
        raise InputError(f"turned out to hold {pixels.shape} {pixels.dtype}", where=path)
    return np.ascontiguousarray(pixels)
