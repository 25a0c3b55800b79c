"""What a cube is: its spectrum, its place on the map, its numbers; the protocols of both ends.

Inside hsisr a block of pixels is always float32 (bands, rows, cols) in physical values, with NaN
where there is no data. How a file stores them (integers, gains, a no-data value) is described by
`CubeSpec`, and `hsisr.encoding` is the only place that converts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hsisr.window import Window

Block = NDArray[np.float32]
Interleave = Literal["bsq", "bil", "bip"]
ALL = slice(None)
"""All bands."""


@dataclass(frozen=True)
class Spectrum:
    """Where the bands lie; all lengths are nanometres whatever unit the file used."""

    centres_nm: tuple[float, ...]
    widths_nm: tuple[float, ...] | None = None
    """Full width at half maximum of each band."""
    good: tuple[bool, ...] | None = None
    """False for a band that the producer marked as bad (ENVI `bbl` = 0)."""

    def nearest(self, wavelength_nm: float) -> int:
        """The index of the good band whose centre is closest to `wavelength_nm`."""
        good = self.good if self.good and any(self.good) else (True,) * len(self.centres_nm)
        usable = [i for i, fine in enumerate(good) if fine]
        return min(usable, key=lambda i: abs(self.centres_nm[i] - wavelength_nm))


def spectral_mismatch(scene: Spectrum | None, known: Spectrum | None) -> str | None:
    """Where two spectra differ by more than half a band spacing, in words."""
    found, expected = (spectrum.centres_nm if spectrum else () for spectrum in (scene, known))
    if not found or not expected or len(expected) < 2:
        return None
    spacing = float(np.median(np.abs(np.diff(expected))))
    errors = np.abs(np.asarray(found) - np.asarray(expected))
    band = int(errors.argmax())
    if errors[band] <= max(spacing / 2, 1.0):
        return None
    return f"band {band + 1} lies at {found[band]:.1f} nm, but at {expected[band]:.1f} nm"


@dataclass(frozen=True)
class Geo:
    """Where the pixels lie on the map.

    `transform` = (a, b, c, d, e, f): the point at column `col` and row `row`, counted from the
    upper left *corner* of the first pixel, is x = a col + b row + c, y = d col + e row + f.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None
    """A WKT string or `EPSG:n`."""

    def zoomed(self, scale: int) -> Geo:
        """The same ground on a grid `scale` times finer: pixels shrink, the corner stays."""
        a, b, c, d, e, f = self.transform
        return replace(self, transform=(a / scale, b / scale, c, d / scale, e / scale, f))

    def corners(self, rows: int, cols: int) -> tuple[tuple[float, float], ...]:
        """The map coordinates of the four outer corners, clockwise from the upper left."""
        a, b, c, d, e, f = self.transform
        points = ((0, 0), (cols, 0), (cols, rows), (0, rows))
        return tuple((a * x + b * y + c, d * x + e * y + f) for x, y in points)


@dataclass(frozen=True)
class Class:
    """What a number in a map of classes stands for."""

    name: str
    colour: tuple[int, int, int]
    """Red, green and blue, up to 255."""


class Native(Protocol):
    """What a format keeps of a file beyond a `CubeSpec`, for a writer of the same format."""

    def part(self, bands: Sequence[int], window: Window) -> Native:
        """What a file of only these bands and pixels would have said."""


@dataclass(frozen=True)
class CubeSpec:
    """Everything about a cube but its pixels."""

    bands: int
    rows: int
    cols: int
    dtype: np.dtype[Any]
    """The numbers as stored in the file, in native byte order."""
    nodata: float | None = None
    """The stored value that means "no data"."""
    gain: tuple[float, ...] | None = None
    """physical = stored * gain + offset, one number for all bands or one per band."""
    offset: tuple[float, ...] | None = None
    spectrum: Spectrum | None = None
    geo: Geo | None = None
    band_names: tuple[str, ...] | None = None
    description: str | None = None
    interleave: Interleave = "bsq"
    classes: tuple[Class, ...] | None = None
    """In a map of classes, what the values 0, 1, ... of its only band stand for."""
    zoom: int = 1
    """How much finer this grid is than the one `native` describes."""
    native: Native | None = field(default=None, repr=False)
    """The metadata of the file this came from, for a writer of the same format to carry over."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.bands, self.rows, self.cols

    @property
    def window(self) -> Window:
        """The whole scene."""
        return Window(0, 0, self.rows, self.cols)

    @property
    def nbytes(self) -> int:
        """The size of the pixels as stored, uncompressed."""
        return self.bands * self.rows * self.cols * self.dtype.itemsize

    def upscaled(self, scale: int) -> CubeSpec:
        """The same scene on a grid `scale` times finer; corners, bands and numbers unchanged."""
        return replace(
            self,
            rows=self.rows * scale,
            cols=self.cols * scale,
            geo=self.geo and self.geo.zoomed(scale),
            zoom=self.zoom * scale,
        )

    def with_bands(self, names: Sequence[str], *, description: str | None = None) -> CubeSpec:
        """The same grid with other bands: float32 in plain units, NaN as no data, no spectrum."""
        return replace(
            self,
            bands=len(names),
            dtype=np.dtype(np.float32),
            nodata=float("nan"),
            gain=None,
            offset=None,
            spectrum=None,
            band_names=tuple(names),
            description=description,
            interleave="bsq",
            classes=None,
        )

    def classified(self, classes: Sequence[Class], *, description: str | None = None) -> CubeSpec:
        """A map of classes on the same grid, of which 0, the first, is no data.

        Bytes, or words where bytes are too short.
        """
        one = self.with_bands(["class"], description=description)
        dtype = np.min_scalar_type(len(classes) - 1)
        return replace(one, dtype=dtype, nodata=0.0, classes=tuple(classes))


class Cube(Protocol):
    """A scene opened for reading; nothing is loaded before `read`."""

    @property
    def spec(self) -> CubeSpec:
        """The shape and metadata."""

    @property
    def format(self) -> str:
        """The name of the file format."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file the scene consists of, the one to name first."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided or assumed while opening, in words."""

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`: float32 (bands, rows, cols), physical, NaN = no data.

        Of consecutive `bands`, all by default.
        """

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class CubeWriter(Protocol):
    """A scene being written; it appears under its name only when left without an error."""

    @property
    def spec(self) -> CubeSpec:
        """How the numbers are stored, for `encode`: not always what the writer was asked for."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that will appear."""

    @property
    def resumed(self) -> bool:
        """Whether what an earlier run stored is there, or what others at work store."""

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) as `encode` gives them at `window`.

        Every pixel at least once, in any order, from any thread; again only with the same numbers.
        """

    def sync(self) -> None:
        """Bring everything stored to the disk: it survives a crash of the machine."""

    def keep(self, kept: bool = True) -> None:
        """Whether leaving, in whatever way, leaves the parts for a run that resumes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ArrayCube:
    """A cube held in memory, for blocks that are on disk in a form of our own."""

    format = "array"
    notes: tuple[str, ...] = ()

    def __init__(self, block: Block, path: Path, spectrum: Spectrum | None = None) -> None:
        bands, rows, cols = block.shape
        self._block = block
        self.files = (path,)
        self.spec = CubeSpec(bands, rows, cols, np.dtype(np.float32), spectrum=spectrum)

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """A copy of the pixels of `window`."""
        return np.array(self._block[bands, *window.slices])

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
