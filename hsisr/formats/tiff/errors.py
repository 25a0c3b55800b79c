"""What can be wrong with a TIFF file, and the border where library exceptions end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from hsisr.errors import HsisrError, InputError

# tifffile logs what it repairs; here the same ends in an error, so nothing is printed twice
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class MalformedError(ValueError):
    """A file that contradicts itself or the TIFF specification, in words."""


class UnsupportedError(ValueError):
    """A valid file that is not a cube of plain numbers, in words, and what can be done."""

    hint = "GDAL may convert it: gdal_translate -co COMPRESS=DEFLATE IN.tif OUT.tif"


class PaletteError(UnsupportedError):
    """A file of numbers of colours."""

    hint = "a map of classes or a picture, not a scene; QGIS opens it"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with the file at `path` into an `InputError`."""
    try:
        yield
    except (HsisrError, MemoryError):
        raise
    except UnsupportedError as error:
        raise InputError(
            f"cannot be read as a cube: {error}",
            where=path,
            hint=error.hint,
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from error
    # tifffile and the codecs raise whatever they stumble over in a broken file
    except Exception as error:
        raise InputError(
            f"not a sound TIFF file: {error!s:.200}",
            where=path,
            hint="the file may be damaged or incomplete: fetch it again",
        ) from error
