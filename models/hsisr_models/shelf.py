"""A registry that is a folder: a file is an entry, its name is the entry's name.

Names are read off the folder and a module is imported only when it is asked for, so listing what
exists costs no import of torch, and adding an entry means adding one file.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Shelf(Generic[T]):
    """The modules of the folder `name` beside this file, each keeping the protocol `T`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = Path(__file__).parent / name

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(p.stem for p in self._folder.glob("*.py") if p.stem[0] != "_"))

    def __contains__(self, entry: str) -> bool:
        return entry in list(self)

    def __getitem__(self, entry: str) -> T:
        """The module called `entry`; raises `LookupError` that names the nearest known ones."""
        if entry not in self:
            close = get_close_matches(entry, list(self), n=1)
            known = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(self)}"
            raise LookupError(f"no {self.name} called '{entry}'; {known}")
        return cast(T, importlib.import_module(f"hsisr_models.{self.name}.{entry}"))
