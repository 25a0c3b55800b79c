"""The options of `hsisr unmix`: which of them go together, and the method they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.model import UnmixModel
    from hsisr.unmixing.classical import FromLibrary, InScene, LinearUnmixing, Solver

AUTO = "auto"
"""As many endmembers as the scene tells."""
METHOD, ABUNDANCES = "auto", "sclsu"
"""By which endmembers are found and abundances computed where nothing else is asked for."""

_SPARSE = "sunsal"
"""The solver that has numbers of its own."""


@dataclass(frozen=True)
class Wanted:
    """The options that say how a scene is to be unmixed, None where they are not given."""

    model: str | None
    endmembers: str | None
    library: Path | None
    class_column: str | None
    method: str | None
    abundances: str | None
    asc: bool | None
    anc: bool | None
    sparsity: float | None
    seed: int

    def chosen(self) -> UnmixModel | LinearUnmixing:
        """What is asked for; raises `UsageError` where that contradicts itself, `ModelError`."""
        from hsisr.model import load_unmix
        from hsisr.unmixing.classical import LinearUnmixing

        if self.model is None:
            return LinearUnmixing(self._source(), self._solver())
        others = ("endmembers", "library", "class_column", "method")
        solver = ("abundances", "asc", "anc", "sparsity")
        self._refuse((*others, *solver), "a model has endmembers and abundances of its own")
        return load_unmix(self.model)

    def _source(self) -> InScene | FromLibrary:
        from hsisr.unmixing.classical import FromLibrary, InScene

        if self.library is not None:
            self._refuse(("endmembers", "method"), "the endmembers are those of the library")
            return FromLibrary(self.library, self.class_column)
        self._refuse(("class_column",), "only a --library has one")
        if self.endmembers is None:
            raise UsageError(
                "none of --endmembers, --library and --model given",
                hint=f"--endmembers 4, or --endmembers {AUTO}",
            )
        return InScene(self.method or METHOD, _count(self.endmembers), self.seed)

    def _solver(self) -> Solver:
        from hsisr.unmixing.classical import Solver

        if self.abundances == _SPARSE:
            numbers = {name: getattr(self, name) for name in ("sparsity", "asc", "anc")}
            return Solver(
                _SPARSE, {key: value for key, value in numbers.items() if value is not None}
            )
        name = self._least_squares()
        self._refuse(("sparsity",), f"a number of {_SPARSE}, but abundances are by {name}")
        return Solver(name)

    def _least_squares(self) -> str:
        from hsisr.unmixing.classical import LEAST_SQUARES, Solver

        if self.asc is None and self.anc is None:
            return self.abundances or ABUNDANCES
        if self.abundances not in (None, *LEAST_SQUARES):
            self._refuse(("asc", "anc"), f"of {', '.join(LEAST_SQUARES)} and {_SPARSE} alone")
        own = Solver(self.abundances or LEAST_SQUARES[0]).constraints
        asked = tuple(
            kept if switch is None else switch
            for switch, kept in zip((self.asc, self.anc), own, strict=True)
        )
        fitting = next(name for name in LEAST_SQUARES if Solver(name).constraints == asked)
        if self.abundances not in (None, fitting):
            raise UsageError(
                f"--abundances {self.abundances} and {self._given(('asc', 'anc'))} contradict",
                hint=f"--abundances {fitting}, or leave out one of them",
            )
        return fitting

    def _refuse(self, names: Sequence[str], why: str) -> None:
        """Raise `UsageError` if any of these options is given."""
        given = self._given(names)
        if given:
            raise UsageError(f"{given}: {why}", hint=f"leave out {given}")

    def _given(self, names: Sequence[str]) -> str:
        """Those of these options that are given, as they are written."""
        values = {name: getattr(self, name) for name in names}
        found = [
            f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
            for name, value in values.items()
            if value is not None
        ]
        return " and ".join(found)


def _count(text: str) -> int | None:
    if text == AUTO:
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--endmembers {text}", hint=f"a number from 1 on, or {AUTO}")
