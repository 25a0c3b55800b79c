"""Cubes stored as plain numbers, each in its place: reading and writing windows of them.

Files are read with `preadv` and written with `pwrite`, never mapped: a file that shrinks under a
map, or a disk that fills under one, kills the process without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
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
from hsisr.formats._layout import Layout, RawLayout
from hsisr.formats._writer import PartsWriter
from hsisr.window import Window
from hsisr.wording import counted


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


@dataclass(frozen=True)
class RawFiles:
    """A file of plain numbers and the small ones around it, as they are written."""

    layout: Layout
    texts: Mapping[Path, bytes]
    """What stands before the numbers, in the first file; all that the others hold."""

    @property
    def sizes(self) -> list[int]:
        """The bytes of each."""
        _, *others = map(len, self.texts.values())
        return [self.layout.file_size, *others]


class RawWriter(PartsWriter):
    """A scene in plain files under construction; that of the numbers is published first."""

    def __init__(
        self, files: RawFiles, spec: CubeSpec, *, resume: bool = False, shared: bool = False
    ) -> None:
        self._plain = files
        super().__init__(spec, tuple(files.texts), resume=resume, shared=shared)

    def _heads(self) -> Iterator[tuple[PartFile, int, bytes]]:
        """Each part, its size and how it begins."""
        return zip(self._parts, self._plain.sizes, self._plain.texts.values(), strict=True)

    def _fits(self) -> bool:
        return all(part.holds(size, text) for part, size, text in self._heads())

    def _begin(self) -> None:
        for part, size, text in self._heads():
            part.reserve(size)
            part.pwrite(text, 0)

    def store(self, window: Window, stored: NDArray[Any]) -> None:
        """Store numbers (bands, rows, cols) at `window`; raises `OutputError`."""
        for layout, inside, part in self._plain.layout.parts(window):
            source = layout.axes.from_block(stored[:, *part.slices])
            for place, shape, offsets in layout.slabs(layout.box(inside)):
                samples = layout.axes.laid_out(source[place], layout.dtype, shape)
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
        f"{counted(bands, 'band')} x {counted(rows, 'row')} x {counted(cols, 'column')} x "
        f"{counted(layout.dtype.itemsize, 'byte')}",
        where=path,
        hint=f"{surplus} bytes too many: is the header offset {layout.offset + surplus}?"
        if surplus > 0
        else "the file is cut short, or the numbers in its header are wrong",
    )
