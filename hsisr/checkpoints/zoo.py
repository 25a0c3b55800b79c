"""The pretrained models that come with hsisr: a registry that is a folder, as the shelves are.

Every folder in it that holds a model is an entry, its name is the model's id. What exists is read
off the folder and the files' headers, so listing it costs no import of torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import hsisr_models
from hsisr.checkpoints.header import MODEL, Header, read_header
from hsisr.errors import ModelError, UsageError
from hsisr.files import explained, require_new, write_durably

ZOO = Path(hsisr_models.__file__).parent / "zoo"
CARD = "card.md"
AUTO = "auto"
"""The name of whichever model `pick` picks."""
BICUBIC = "bicubic"
"""The name of interpolation, where a model could be named."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Entry:
    """A pretrained model: a folder with its file and its card."""

    folder: Path

    @property
    def id(self) -> str:
        """What users call it."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """The model file."""
        return self.folder / MODEL

    @property
    def card(self) -> Path:
        """Its description in Markdown."""
        return self.folder / CARD

    @cached_property
    def header(self) -> Header:
        """The header of the model file; raises `ModelError`."""
        return read_header(self.path)

    @property
    def scale(self) -> int:
        """The factor it sharpens by; raises `ModelError`."""
        return self.header.scale

    def text(self) -> str:
        """The content of the card; raises `ModelError`."""
        try:
            return self.card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"the card cannot be read: {error}", where=self.card) from error


def names(folder: Path = ZOO) -> list[str]:
    """The ids of the models in a folder."""
    return [entry.id for entry in entries(folder)]


def entries(folder: Path = ZOO) -> list[Entry]:
    """The models in a folder, by id."""
    return [Entry(path.parent) for path in sorted(folder.glob(f"*/{MODEL}"))]


def find(name: str, folder: Path = ZOO) -> Entry:
    """The model of that id; raises `ModelError` that names the nearest known one."""
    known = {entry.id: entry for entry in entries(folder)}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "hsisr models list"
        raise ModelError(f"there is no pretrained model '{name}'", hint=hint)
    return known[name]


def pick(scale: int, folder: Path = ZOO) -> Entry:
    """The first model for `scale`; raises `ModelError` that names the scales there are."""
    found = entries(folder)
    for entry in found:
        if entry.scale == scale:
            return entry
    scales = ", ".join(str(scale) for scale in sorted({entry.scale for entry in found}))
    raise ModelError(
        f"there is no pretrained model for scale {scale}, only for {scales or 'none'}",
        hint=f"--model {BICUBIC}, or train one: hsisr prepare SCENE --scale {scale}",
    )


def verify(entry: Entry) -> None:
    """Read the whole model, build its network, and compare its SHA-256 with the card's.

    Raises `ModelError`.
    """
    from hsisr.checkpoints import checkpoint

    found = checkpoint.load(entry.path)
    found.resolver()
    if found.sha256 not in entry.text():
        raise ModelError(f"does not name the model's SHA-256, {found.sha256}", where=entry.card)


def require_id(name: str) -> None:
    """Raise `UsageError` unless a model may be called so."""
    if name in (AUTO, BICUBIC) or not _ID.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be the id of a model",
            hint="small letters, digits, dots and dashes, such as any-x4; not auto or bicubic",
        )


def add(folder: Path, name: str, model: Path, card: str, *, overwrite: bool = False) -> Entry:
    """Copy a model file into a folder under the id `name`, with its card.

    Raises `UsageError` for a name that is no id, `OutputError`, or `ModelError` if the model cannot
    be read.
    """
    require_id(name)
    entry = Entry(folder / name)
    with explained(entry.folder):
        entry.folder.mkdir(parents=True, exist_ok=True)
    require_new([entry.card, entry.path], [model], overwrite=overwrite)
    try:
        data = model.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=model) from error
    write_durably(entry.card, card.encode())
    # last: with its model an entry exists
    write_durably(entry.path, data)
    return entry
