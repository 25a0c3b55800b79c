"""JSON records in a folder: what it was begun for, and what has come of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hsisr.errors import OutputError
from hsisr.files import write_json
from hsisr.tiling.journal import differences
from hsisr.wording import listed

BEGUN = "begun.json"


def require_same(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise `OutputError` if a folder was begun for something else."""
    found = read(folder / BEGUN)
    if found is not None and found != about:
        raise OutputError(
            f"was begun differently: {listed(differences(found, dict(about)))}",
            where=folder,
            hint="repeat the command it was begun with, choose another -o, or add --overwrite",
        )


def begin(folder: Path, about: Mapping[str, Any]) -> None:
    """Begin a folder, or continue what was begun for the same; else raises `OutputError`."""
    folder.mkdir(parents=True, exist_ok=True)
    require_same(folder, about)
    if read(folder / BEGUN) is None:
        write_json(folder / BEGUN, about)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Remove the files called `names`, then what the folder was begun for."""
    for name in (*names, BEGUN):
        (folder / name).unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if the file is missing or broken."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def plain(content: Any) -> Any:
    """The content as it comes back from JSON: tuples as lists, keys as strings."""
    return json.loads(json.dumps(content))
