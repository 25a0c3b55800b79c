"""Recipes: every number of a training run, read from TOML and checked once, at the border."""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hsisr.errors import UsageError

T = TypeVar("T")

_LARGEST = (2 - 2**-23) * 2.0**127
"""Of the numbers of single precision, in which weights are kept."""


@dataclass(frozen=True)
class Training:
    """How long and how fast a network is trained."""

    epochs: int
    steps: int
    """Batches per epoch; patches are drawn at random."""
    batch: int
    patch: int
    """Side of a training patch in low-resolution pixels."""
    learning_rate: float
    betas: tuple[float, float]
    """Adam's two decay rates."""
    warm_up: int
    """Steps over which the learning rate rises to its full value; 1 for none."""
    halve_every: int
    """Epochs after which the learning rate is halved."""
    clip_norm: float
    average: float
    """Decay of the exponential mean of the weights, which is what is validated and kept."""
    validate_every: int
    """In epochs."""

    def __post_init__(self) -> None:
        decays = {"average": (self.average,), "betas": self.betas}
        for name, value in vars(self).items():
            if name not in decays and not 0 < value < math.inf:
                raise UsageError(f"training.{name} = {value} should be positive")
        for name, values in decays.items():
            if not all(0 <= value < 1 for value in values):
                raise UsageError(f"training.{name} should lie from 0 to below 1")
        # Adam divides its first step by this
        if self.learning_rate / (1 - self.betas[0]) > _LARGEST:
            raise UsageError(
                f"training.learning_rate = {self.learning_rate} is beyond single precision",
                hint="for example 1e-4",
            )


@dataclass(frozen=True)
class UnmixRecipe:
    """Step I: the unmixing network and its loss (paper Eq. 8)."""

    method: str
    endmembers: int
    initialise: str
    """A method on the shelf `endmembers/`, the path of a library, or `random`."""
    numbers: dict[str, Any]
    """Passed to the method's `build`."""
    loss: dict[str, float]
    """Weight of every term."""
    training: Training


@dataclass(frozen=True)
class SrRecipe:
    """Step II: the super-resolution network and its loss (paper Eq. 12)."""

    network: str
    relation: str
    """What abundances are compared with: `pool`, `nearest`, `deconv` or `hr`."""
    numbers: dict[str, Any]
    loss: dict[str, float]
    training: Training


@dataclass(frozen=True)
class Recipe:
    """All numbers of both steps."""

    name: str
    unmix: UnmixRecipe
    sr: SrRecipe

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain tables, as stored in a checkpoint."""
        return asdict(self)


def names(kind: str = "") -> list[str]:
    """The recipes that come with hsisr, or the `protocols`."""
    folder = files("hsisr_models") / "recipes" / kind
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe called `name`, or in the TOML file of that path, with `key=value` overrides.

    A step that it leaves out is that of the recipe `default`.
    Raises `UsageError` for an unknown recipe or key, with the nearest known one.
    """
    tables = {**_tables("default"), **_tables(name)}
    for override in overrides:
        _override(tables, override)
    return from_dict({"name": Path(name).stem, **tables})


def from_dict(tables: Mapping[str, Any]) -> Recipe:
    """A recipe from plain tables; raises `UsageError`."""
    return _build(Recipe, tables, "recipe")


def _tables(name: str) -> dict[str, Any]:
    if name in names():
        path = files("hsisr_models") / "recipes" / f"{name}.toml"
    elif name.endswith(".toml") and Path(name).is_file():
        path = Path(name)
    else:
        raise UsageError(
            f"no recipe '{name}'", hint=f"one of {', '.join(names())}, or the path of a .toml file"
        )
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not a recipe: {error}", where=name) from error


def _override(tables: dict[str, Any], override: str) -> None:
    key, sign, value = override.partition("=")
    *path, last = key.strip().split(".")
    if not sign or not path:
        raise UsageError(
            f"'{override}' sets nothing", hint="write it as --set sr.training.batch=16"
        )
    table = tables
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"'{key}' is not a key of a recipe")
    table[last] = _value(value.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _build(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = [entry.name for entry in fields(cls)]
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            raise UsageError(
                f"unknown key '{key}' in [{where}]",
                hint=f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}",
            )
    missing = [key for key in known if key not in table]
    if missing:
        raise UsageError(
            f"[{where}] lacks {', '.join(missing)}",
            hint="a recipe gives a step whole or leaves it out; --set changes single numbers",
        )
    return cls(**{key: _typed(table[key], hints[key], f"{where}.{key}") for key in known})


def _typed(value: Any, hint: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UsageError(f"[{where}] should be a table")
        return _build(hint, value, where)
    wanted = get_origin(hint) or hint
    if wanted is tuple and isinstance(value, list | tuple) and len(value) == len(get_args(hint)):
        return tuple(_typed(v, h, where) for v, h in zip(value, get_args(hint), strict=True))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is dict and isinstance(value, Mapping):
        entry = get_args(hint)[1]
        # a sum of terms differs by their order in its last bits, which training makes larger
        return {
            k: v if entry is Any else _typed(v, entry, f"{where}.{k}")
            for k, v in sorted(value.items())
        }
    if (
        isinstance(wanted, type | types.UnionType)
        and isinstance(value, wanted)
        and not isinstance(value, bool)
    ):
        return value
    raise UsageError(f"{where} = {value!r} should be {getattr(wanted, '__name__', wanted)}")
