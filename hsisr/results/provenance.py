"""The provenance of a result, stored beside it in run.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsisr import __version__
from hsisr.checkpoints.checkpoint import Checkpoint
from hsisr.cube import Cube
from hsisr.files import read_json
from hsisr.runtime import Runtime


def begun(
    command: str,
    cube: Cube,
    runtime: Runtime,
    model: Checkpoint | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that the result of a run depends on, known when it begins."""
    import torch

    return {
        "schema": "hsisr/run/1",
        "command": command,
        "hsisr": __version__,
        "torch": torch.__version__,
        "runtime": runtime.description,
        "input": [identity(path) for path in cube.files],
        "input_format": cube.format,
        "shape": list(cube.spec.shape),
        "notes": list(cube.notes),
        "model": None
        if model is None
        else {"file": model.path.name, "sha256": model.sha256, "made_by": model.card.made_by},
        "options": dict(options),
    }


def describe(beginning: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run: how it was begun, and what came out."""
    return {**beginning, "python": platform.python_version(), **outcome}


def done_before(record: Path, beginning: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record on disk, if it is that of a run that was begun in the same way."""
    found = read_json(record)
    same = json.loads(json.dumps(beginning))
    return found if found and all(found.get(key) == same[key] for key in same) else None


def identity(path: Path) -> dict[str, Any]:
    """What distinguishes a file from another of the same name."""
    state = path.stat()
    return {"file": path.name, "bytes": state.st_size, "modified_ns": state.st_mtime_ns}
