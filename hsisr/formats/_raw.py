"""Cubes stored as one plain run of numbers: where a window lies in it, reading and writing it.

Files are read with `preadv` and written with `pwrite`, never mapped: a file that shrinks under a
map, or a disk that fills under one, kills the process without a word.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import ALL, Block, CubeSpec
from hsisr.encoding import decode
from hsisr.errors import InputError
from hsisr.files import PartFile
from hsisr.formats._axes import Axes
from hsisr.formats._writer import PartsWriter
from hsisr.window import Window

_SLAB = 2**20
"""Bytes read or written at once: what passes through memory more than once is still in cache."""
_PAGE = 2**12

Box = tuple[range, range, range]
"""The places on the axes of a cube as it is stored."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """A cube that begins at byte `offset` and is stored without gaps."""

    axes: Axes
    shape: tuple[int, int, int]
    """(bands, rows, cols)."""
    dtype: np.dtype[Any]
    """In the byte order of the file."""
    offset: int = 0

    @property
    def file_size(self) -> int:
        """The bytes from the beginning of the file to the end of the cube."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def box(self, window: Window, bands: slice = ALL) -> Box:
        """The places on each axis as stored; raises `ValueError` beyond the scene."""
        if not Window(0, 0, *self.shape[1:]).contains(window):
            raise ValueError(f"{window} is not inside a scene of {self.shape[1:]} pixels")
        index = zip(self.axes.index(window, bands), self.axes.stored(self.shape), strict=True)
        first, second, third = (range(*part.indices(length)) for part, length in index)
        return first, second, third

    def widened(self, box: Box) -> Box:
        """The box and what lies between its pieces, if that is on pages that are read anyway."""
        wide, size = list(box), self.dtype.itemsize
        for axis in (2, 1):
            whole = range(self.axes.stored(self.shape)[axis])
            if (len(whole) - len(box[axis])) * size > _PAGE:
                break
            wide[axis] = whole
            size *= len(whole)
        return wide[0], wide[1], wide[2]

    def slabs(self, box: Box) -> Iterator[tuple[slice, tuple[int, int, int], list[int]]]:
        """Cut a box along the slowest axis into slabs that stay in cache.

        Each is told by its place on that axis of the box, its shape as stored, and the bytes at
        which its contiguous pieces begin, all of one length.
        """
        count, *rest = map(len, box)
        step = max(1, _SLAB // (math.prod(rest) * self.dtype.itemsize))
        for first in range(0, count, step):
            shape = min(step, count - first), rest[0], rest[1]
            offsets = self._pieces((box[0][first], box[1][0], box[2][0]), shape)
            yield slice(first, first + shape[0]), shape, offsets

    def _pieces(self, starts: tuple[int, int, int], part: tuple[int, int, int]) -> list[int]:
        """The bytes at which the contiguous pieces of a box begin.

        The fastest axes join in one piece as far as the box covers them wholly: full rows are one
        piece in BIL and BIP, and one per band in BSQ.
        """
        whole, size = self.axes.stored(self.shape), self.dtype.itemsize
        strides = (whole[1] * whole[2] * size, whole[2] * size, size)
        axis = 2
        while axis and part[axis] == whole[axis]:
            axis -= 1
        offsets = np.array([self.offset + sum(map(operator.mul, starts, strides))])
        for count, stride in zip(part[:axis], strides[:axis], strict=True):
            offsets = np.add.outer(offsets, np.arange(count) * stride).ravel()
        return [int(offset) for offset in offsets]


class RawCube:
    """A scene in one plain file, opened for reading."""

    def __init__(
        self,
        layout: RawLayout,
        spec: CubeSpec,
        *,
        format: str,  # noqa: A002 - the protocol's name
        files: tuple[Path, ...],
        notes: Sequence[str],
    ) -> None:
        self.spec = spec
        self.format = format
        self.files = files
        self.notes = tuple(notes)
        self._layout = layout
        self._fd = _open(files[0])
        self._stamp = self._now()
        if self._stamp[0] != layout.file_size:
            self.close()
            raise _wrong_size(files[0], layout, self._stamp[0])

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`; raises `InputError` if the file changed or cannot be read."""
        axes, box = self._layout.axes, self._layout.box(window, bands)
        wide = self._layout.widened(box)
        inner = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(box[1:], wide[1:], strict=True)
        )
        chosen, by_band = box[axes.order.index("B")], axes.order.startswith("B")
        block = np.empty(axes.shape([*map(len, box)]), np.float32)
        target = axes.from_block(block)
        for place, shape, offsets in self._layout.slabs(wide):
            stored = np.empty(shape, self._layout.dtype)
            self._gather(stored.reshape(-1).view(np.uint8).data, offsets)
            these = chosen[place] if by_band else chosen
            decode(
                axes.to_block(stored[:, *inner]),
                self.spec,
                slice(these.start, these.stop),
                axes.to_block(target[place]),
            )
        if self._now() != self._stamp:
            raise InputError("changed while it was being read", where=self.files[0])
        return block

    def _gather(self, view: memoryview, offsets: Sequence[int]) -> None:
        length = len(view) // len(offsets)
        for i, offset in enumerate(offsets):
            self._fill(view[i * length : (i + 1) * length], offset)

    def _fill(self, view: memoryview, offset: int) -> None:
        while view:
            try:
                count = os.preadv(self._fd, [view], offset)
            except OSError as error:
                raise InputError(
                    f"cannot be read at byte {offset}: {error.strerror}", where=self.files[0]
                ) from error
            if not count:
                raise InputError(
                    f"ended at byte {offset} while it was being read", where=self.files[0]
                )
            view, offset = view[count:], offset + count

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RawWriter(PartsWriter):
    """A scene in one plain file under construction; `texts` are the small files around it.

    The text of the data file itself, if any, stands before the samples; every other file holds
    nothing but its text and is published after the data.
    """

    def __init__(
        self,
        path: Path,
        layout: RawLayout,
        spec: CubeSpec,
        texts: dict[Path, bytes],
        *,
        resume: bool = False,
        shared: bool = False,
    ) -> None:
        self._layout = layout
        self._texts = {path: b"", **texts}
        super().__init__(spec, tuple(self._texts), resume=resume, shared=shared)

    def _heads(self) -> Iterator[tuple[PartFile, int, bytes]]:
        """Each part, its size and how it begins."""
        sizes = [self._layout.file_size, *map(len, list(self._texts.values())[1:])]
        return zip(self._parts, sizes, self._texts.values(), strict=True)

    def _fits(self) -> bool:
        return all(part.holds(size, text) for part, size, text in self._heads())

    def _begin(self) -> None:
        for part, size, text in self._heads():
            part.reserve(size)
            part.pwrite(text, 0)

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) at `window`; raises `OutputError`."""
        source = self._layout.axes.from_block(stored)
        for place, _, offsets in self._layout.slabs(self._layout.box(window)):
            samples = self._layout.axes.laid_out(source[place], self._layout.dtype)
            self._parts[0].scatter(samples.reshape(-1).view(np.uint8).data, offsets)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error


def _wrong_size(path: Path, layout: RawLayout, found: int) -> InputError:
    bands, rows, cols = layout.shape
    surplus = found - layout.file_size
    return InputError(
        f"has {found} bytes; {layout.file_size} were expected: offset {layout.offset} + "
        f"{bands} bands x {rows} rows x {cols} columns x {layout.dtype.itemsize} bytes",
        where=path,
        hint=f"{surplus} bytes too many: is the header offset {layout.offset + surplus}?"
        if surplus > 0
        else "the file is cut short, or the numbers in its header are wrong",
    )
