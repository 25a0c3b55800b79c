"""A cube in an array that is sliced when it is read: what MAT and HDF5 files have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import ALL, Block, CubeSpec, Interleave
from hsisr.encoding import decode
from hsisr.formats import ReadOptions
from hsisr.formats._axes import Axes, guess_axes, parse_axes
from hsisr.formats._metadata import Value, fields
from hsisr.formats._variables import Origin, Variable
from hsisr.window import Window

_INTERLEAVES: tuple[Interleave, ...] = ("bsq", "bil", "bip")


class Source(Protocol):
    """What gives stored numbers: a map of a file or a data set."""

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> NDArray[Any]: ...


@dataclass
class VariableCube:
    """A `Cube` whose pixels lie in `source` in the order `axes`."""

    spec: CubeSpec
    format: str
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    source: Source
    axes: Axes
    release: Callable[[], None]
    """What `close` does."""

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`: float32 (bands, rows, cols), physical, NaN = no data."""
        stored = self.axes.to_block(self.source[self.axes.index(window, bands)])
        return decode(stored, self.spec, bands)

    def close(self) -> None:
        """Release the file."""
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Found:
    """The variable that was chosen, and everything the file says about it."""

    variable: Variable
    why: str
    dtype: np.dtype[Any]
    metadata: Mapping[str, Value]
    """By the keys of `_metadata.meaning`."""
    units: str | None = None
    """The unit of the wavelengths."""
    order: Literal["C", "F"] = "C"
    """F if the file names the axis that varies fastest first, as MATLAB does."""
    axes: Axes | None = None
    """If the file tells them."""

    def cube(
        self,
        name: str,
        path: Path,
        source: Source,
        options: ReadOptions,
        release: Callable[[], None],
    ) -> VariableCube:
        """The cube in `source`, an array in C order, whatever order the file names."""
        named, reason = self._named_axes(options)
        bands, rows, cols = named.shape(self.variable.shape)
        more, notes = fields(self.metadata, self.units, bands)
        axes = Axes(str(named)[::-1]) if self.order == "F" else named
        spec = CubeSpec(
            bands,
            rows,
            cols,
            self.dtype,
            interleave=_INTERLEAVES[str(axes).index("B")],
            native=Origin(self.variable.name),
            **more,
        )
        notes[:0] = [f"variable {self.variable}: {self.why}", f"axes {named}: {reason}"]
        return VariableCube(spec, name, (path,), tuple(notes), source, axes, release)

    def _named_axes(self, options: ReadOptions) -> tuple[Axes, str]:
        if options.axes is not None:
            return parse_axes(options.axes), "as asked"
        if self.axes is not None:
            return self.axes, "as the file tells"
        wavelengths = len(self.metadata.get("wavelength", ())) or None
        return guess_axes(self.variable.shape, wavelengths=wavelengths)
