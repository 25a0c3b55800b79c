"""What a result was made from and by, as stored beside it in run.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsisr import __version__
from hsisr.checkpoint import Checkpoint
from hsisr.cube import Cube
from hsisr.runtime import Runtime


def describe(
    command: str,
    cube: Cube,
    runtime: Runtime,
    model: Checkpoint | None,
    outcome: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of one run: command, input, model, machine and what came out."""
    return {
        "schema": "hsisr/run/1",
        "command": command,
        "python": platform.python_version(),
        **origin(cube, runtime, model),
        **outcome,
    }


def origin(cube: Cube, runtime: Runtime, model: Checkpoint | None) -> dict[str, Any]:
    """What a result of any command depends on: input, model, versions and precision."""
    import torch

    return {
        "hsisr": __version__,
        "torch": torch.__version__,
        "runtime": runtime.description,
        "input": [_identity(path) for path in cube.files],
        "input_format": cube.format,
        "shape": list(cube.spec.shape),
        "notes": list(cube.notes),
        "model": None
        if model is None
        else {"file": model.path.name, "sha256": model.sha256, "made_by": model.card.made_by},
    }


def _identity(path: Path) -> dict[str, Any]:
    state = path.stat()
    return {"file": path.name, "bytes": state.st_size, "modified_ns": state.st_mtime_ns}
