"""Which header and which data file belong together.

A data file `scene.img` has the header `scene.img.hdr` or else `scene.hdr`; the data of `scene.hdr`
are `scene`, or `scene` with one of the usual endings. Nothing but these names is ever opened.
"""

from __future__ import annotations

import re
from pathlib import Path

from hsisr.errors import InputError
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import shown

HEADER = ".hdr"
DATA = (".img", ".dat", ".bil", ".bsq", ".bip", ".raw", ".hyspex", ".cube", ".bin")


def header_names(data: Path) -> list[Path]:
    """The names a header of `data` may have, the first to be preferred."""
    stems = [data, data.with_suffix("")] if data.suffix.lower() in DATA else [data]
    return [stem.with_name(stem.name + end) for stem in stems for end in _cases(HEADER)]


def data_names(header: Path) -> list[Path]:
    """The names the data file of `header` may have."""
    stem = header.with_suffix("")
    ends = [end for suffix in DATA for end in _cases(suffix)]
    return [stem, *(stem.with_name(stem.name + end) for end in ends)]


def find_header(data: Path) -> Path:
    """The header of `data`; raises `InputError`."""
    found = _distinct(header_names(data))
    if not found:
        names = ", ".join(name.name for name in header_names(data))
        raise InputError(f"has no ENVI header; looked for {names}", where=data)
    return found[0]


def has_header(data: Path) -> bool:
    """Whether a header lies beside `data`."""
    return bool(_distinct(header_names(data)))


def find_data(header: Path) -> Path:
    """The one data file of `header`; raises `InputError` where there is none or are several."""
    found = _distinct(data_names(header))
    if not found:
        stem = header.with_suffix("").name
        near = (path for path in header.parent.iterdir() if path.stem == stem and path != header)
        others = sorted(path.name for path in near)
        raise InputError(
            f"has no data file; looked for {stem} and {stem} with {', '.join(DATA)}",
            where=header,
            hint=f"if it describes {others[0]}, copy it to {others[0]}.hdr" if others else None,
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(
            f"could describe {len(found)} data files: {names}",
            where=header,
            hint="name the data file instead of the header",
        )
    target = found[0].resolve()
    if target.parent != header.resolve().parent and target.parent != header.parent.resolve():
        raise InputError(
            f"the data file {found[0].name} is a link to another folder: {target}",
            where=header,
            hint="name the data file itself, if that is what you want",
        )
    return found[0]


def require_paired(fields: Fields, data: Path) -> None:
    """Raise `InputError` where the header says it describes another file than `data`.

    That other file is not opened.
    """
    stated = fields.text("data file")
    if stated and re.split(r"[/\\]", stated)[-1] != data.name:
        raise fields.wrong(
            "data file", shown(stated), f"{data.name}, the file beside the header, was"
        )
    headers = _distinct(header_names(data))
    if len(headers) > 1:
        unused = ", ".join(header.name for header in headers if header != fields.path)
        fields.note(f"{data.name} has several headers; {unused} was not used")


def _cases(suffix: str) -> tuple[str, str]:
    return suffix, suffix.upper()


def _distinct(paths: list[Path]) -> list[Path]:
    """The files among `paths`, each once where the system does not tell upper from lower case."""
    found: list[Path] = []
    for path in paths:
        if is_file(path) and not any(path.samefile(other) for other in found):
            found.append(path)
    return found


def is_file(path: Path) -> bool:
    """Whether there is a file of that name."""
    try:
        return path.is_file()
    except OSError:  # with an ending added, a name can be too long for the system
        return False
