"""What a folder was begun for, and what has come of it, as JSON beside its other files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hsisr.errors import OutputError
from hsisr.files import write_json
from hsisr.journal import differences

BEGUN = "begun.json"


def require_same(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise `OutputError` if a folder was begun for something else."""
    found = read(folder / BEGUN)
    if found is not None and found != about:
        raise OutputError(
            "was begun differently: " + "; ".join(differences(found, dict(about))),
            where=folder,
            hint="repeat the command it was begun with, choose another -o, or add --overwrite",
        )


def begin(folder: Path, about: Mapping[str, Any], names: Iterable[str], *, overwrite: bool) -> None:
    """Begin a folder, or go on with what was begun the same.

    Begun differently, its files called `names` are removed with `overwrite`; without it raises
    `OutputError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite and read(folder / BEGUN) != about:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        (folder / BEGUN).unlink(missing_ok=True)
    require_same(folder, about)
    if read(folder / BEGUN) is None:
        write_json(folder / BEGUN, about)


def read(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is none, or none that is whole."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def plain(content: Any) -> Any:
    """The same as it is when read back from JSON."""
    return json.loads(json.dumps(content))
