"""Everything a user can get wrong, and the exit code it ends with.

HsisrError             1   the base; raised as itself only for a bug
├── UsageError         2   options that contradict each other
├── InputError         3   a file that cannot be read or contradicts itself
│   └── NoCubeError    3   one that is sound, but a picture or labels
├── ModelError         4   a model that is missing, corrupt or does not fit the scene
├── OutputError        5   no room, no permission, no memory
├── BatchError         6   some scenes of several failed
├── CheckError         7   a check that was asked for did not hold
└── Interrupted      130   stopped by the user (143: by the system); can be resumed
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class HsisrError(Exception):
    """A failure that is explained to the user instead of traced.

    `what` is one sentence with what was found and what was expected, `where` the file (and
    field) it concerns, `hint` the next step, preferably a command to run.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | Path | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint


class UsageError(HsisrError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = 2


class InputError(HsisrError):
    """A file given to read is missing, malformed, or contradicts itself."""

    exit_code = 3


class NoCubeError(InputError):
    """A file is sound as far as it was read, but holds no cube: a picture, labels, a table."""


class ModelError(HsisrError):
    """A model is missing, corrupt, or does not fit the scene."""

    exit_code = 4


class OutputError(HsisrError):
    """The result cannot be written, or the machine lacks the memory or the room for it."""

    exit_code = 5


class BatchError(HsisrError):
    """Some scenes of a batch failed; the others were finished."""

    exit_code = 6


class CheckError(HsisrError):
    """A check that the user asked for did not hold."""

    exit_code = 7


class Interrupted(HsisrError):  # noqa: N818 - a state, not a mistake
    """The run was stopped from outside; finished work is kept."""

    exit_code = 130

    def __init__(self, what: str, *, signal: int = 2, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.exit_code = 128 + signal


def require_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise `UsageError`, with the nearest name as a hint, unless `name` is one of the `known`."""
    names = list(known)
    if name in names:
        return
    close = get_close_matches(name, names, n=1)
    meant = f"; did you mean '{close[0]}'?" if close else ""
    raise UsageError(f"no {what} '{name}'", hint=f"one of {', '.join(names)}{meant}")
