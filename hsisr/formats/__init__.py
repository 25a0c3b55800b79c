"""File formats, one per file; the format of a file is told by its bytes, not by its name.

A format module defines NAME, SUFFIXES, `sniff(path, head)`, `read(path, options)` and, where it
can write, `write(path, spec, resume, shared)`, `room(path, spec)` and `outputs(path)`. Adding a
format is adding such a file.
"""

from __future__ import annotations

import importlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from hsisr.cube import Cube, CubeSpec, CubeWriter
from hsisr.errors import InputError, UsageError

FORMATS = ("envi", "tiff", "mat5", "hdf5", "npy")
"""That can be read and written, in the order in which they are asked whether a file is theirs."""
READ_ONLY = ("png",)
"""That are asked last."""

_HEAD = 4096
_READABLE = (
    "ENVI (with its .hdr), TIFF, MAT, HDF5 or NumPy files can be read, and PNG bands; "
    "GDAL converts most others: gdal_translate -of ENVI IN OUT.img"
)


@dataclass(frozen=True)
class ReadOptions:
    """What a user may have to say about a file that does not say it itself."""

    var: str | None = None
    """The variable of a MAT or HDF5 file."""
    axes: str | None = None
    """The order of the axes as stored, e.g. `YXB` for rows, columns, bands."""


class Format(Protocol):
    """What a module of this folder provides."""

    NAME: str
    SUFFIXES: tuple[str, ...]

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this format, told by its first 4096 bytes."""

    def read(self, path: Path, options: ReadOptions) -> Cube:
        """Open the file at `path`; raises `InputError`."""

    def write(
        self, path: Path, spec: CubeSpec, *, resume: bool = False, shared: bool = False
    ) -> CubeWriter:
        """Begin or resume a file at `path`; raises `OutputError`, `UsageError`."""

    def room(self, path: Path, spec: CubeSpec) -> int:
        """The bytes on the disk that `write` needs; raises as `write` where it cannot."""

    def outputs(self, path: Path) -> tuple[Path, ...]:
        """The files that `write` would make appear."""


def load(name: str) -> Format:
    """The format to write called `name`; raises `UsageError`."""
    if name not in FORMATS:
        raise UsageError(f"no format '{name}'", hint=f"one of: {', '.join(FORMATS)}")
    return _module(name)


def _module(name: str) -> Format:
    return cast(Format, importlib.import_module(f"hsisr.formats.{name}"))


def open_cube(path: str | Path, options: ReadOptions | None = None) -> Cube:
    """Open a scene in any known format; raises `InputError`.

    Of an ENVI pair either file may be named. Nothing but metadata is read.
    """
    path = Path(path)
    module = recognised(path)
    if module is None:
        raise InputError("not a format that hsisr knows", where=path, hint=_advice(path))
    return module.read(path, options or ReadOptions())


def _advice(path: Path) -> str:
    """What to do with a file of no known format."""
    if path.suffix.lower() == ".xml":
        return "name the image that it describes"
    header = path.with_suffix(".hdr")
    if header.is_file():
        return f"if {header.name} is its ENVI header, copy that to {path.name}.hdr"
    return _READABLE


def recognised(path: Path) -> Format | None:
    """The format that a file seems to have, if any; raises `InputError` if it cannot be read."""
    head = _head(path)
    modules = map(_module, (*FORMATS, *READ_ONLY))
    return next((module for module in modules if module.sniff(path, head)), None)


def create_cube(
    path: Path, spec: CubeSpec, format_name: str, *, resume: bool = False, shared: bool = False
) -> CubeWriter:
    """Begin a new cube at `path`; it appears when the writer is left without an error.

    With `resume`, the parts that an earlier run of the same `spec` left are continued, if they are
    there. With `shared`, several processes write disjoint windows of one cube: whoever comes while
    others are at work joins them, with or without `resume`. All but one leave with `keep`; the last
    one publishes. Raises `OutputError`, also if another run has the output, and `UsageError`.
    """
    return load(format_name).write(path, spec, resume=resume, shared=shared)


def _head(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("not a regular file", where=path)
        with path.open("rb") as handle:
            return handle.read(_HEAD)
    except FileNotFoundError:
        raise InputError("no such file", where=path, hint=_similar(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {os.strerror(error.errno or 0)}", where=path) from error


def _similar(path: Path) -> str | None:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return None
    names = get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=3)
    return f"did you mean {' or '.join(names)}?" if names else None
