"""The project's own source, parsed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """A file of the project."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Every file of both packages."""
    folders = (ROOT / "hsisr", ROOT / "models" / "hsisr_models")
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [Source(path, path.read_text()) for path in paths]
