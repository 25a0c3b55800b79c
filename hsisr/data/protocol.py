"""Protocols: which pixels of which scenes train and test a network, and how they are degraded.

A protocol is data, `recipes/protocols/NAME.toml`, every number in it beside its source. What is
prepared by one is read by the ordinary training commands.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from hsisr import recipe
from hsisr.cube import Cube
from hsisr.data.cutting import Layout, cut
from hsisr.data.patches import Peak, Source, cut_into, store
from hsisr.data.published import Plan
from hsisr.errors import InputError, NoCubeError, UsageError
from hsisr.evaluate import known_preset
from hsisr.formats import open_cube, recognised
from hsisr.scene.degraded import known_operator
from hsisr.scene.view import View
from hsisr_models.metrics import SHELF as METRICS

_ASIDE = "move it out of the folder, or name the scenes one by one: --data SCENE --data SCENE"
Rows = Mapping[int, Mapping[str, Mapping[str, float]]]

_WORDS = ("protocol", "title", "get")
"""Keys of a plan that have no effect on pixels."""


@dataclass(frozen=True)
class Protocol:
    """How scenes are prepared and scored, as it was published."""

    name: str
    title: str
    source: str
    """Who published it, and where."""
    get: str
    """Where the scenes can be had."""
    scales: tuple[int, ...]
    operator: str
    """The degradation."""
    metrics: str
    """The preset of `hsisr.evaluate` that it is scored by."""
    published: Rows = field(repr=False)
    """{scale: {method: {measure: value}}}."""
    patch: int | None = None
    """Side of a training patch in low-resolution pixels; None for that of every recipe."""
    plan: Plan | None = field(default=None, repr=False)
    """Its scenes; None where any will do, each cut as `hsisr prepare` cuts it."""


@dataclass(frozen=True)
class Dataset:
    """The scenes of a protocol that are trained and tested on together."""

    name: str
    protocol: Protocol
    scale: int
    files: Mapping[str, Path] = field(repr=False)
    """The file of every scene by its name."""

    def identity(self) -> dict[str, Any]:
        """Everything that the prepared data depend on; raises `InputError`."""
        operator, plan = self.protocol.operator, self.protocol.plan
        cut = asdict(plan) if plan else asdict(Layout(self.scale, operator))
        return {
            "operator": operator,
            **{key: value for key, value in cut.items() if key not in _WORDS},
            **{f"the files of {scene}": self._stamps(path) for scene, path in self.files.items()},
        }

    def _stamps(self, path: Path) -> dict[str, list[int]]:
        """Size and time of each file of a scene, by which changes are noticed."""
        with self._opened(path) as cube:
            abouts = {file.name: file.stat() for file in cube.files}
        return {
            f"the file {name}": [about.st_size, about.st_mtime_ns] for name, about in abouts.items()
        }

    def _opened(self, path: Path) -> AbstractContextManager[Cube]:
        return self._plan.opened(path) if self.protocol.plan else open_cube(path)

    def prepare(self, run: Path) -> Iterator[tuple[int, int]]:
        """Cut and degrade into `run`/data, yielding (blocks done, blocks in all).

        Raises `InputError`.
        """
        operator = self.protocol.operator
        facts = {"protocol": self.protocol.name, "metrics": self.protocol.metrics}
        if self.protocol.plan is None:
            with open_cube(self.files[self.name]) as cube:
                yield from cut_into(run, Layout(self.scale, operator), [cube], facts)
        else:
            yield from store(self._sources(), run, self.scale, operator, self.peak(), facts)

    def peak(self) -> Peak:
        """What a published protocol divides all values by; may read the whole scene, in strips."""
        return self._plan.normalisation(self.files)

    @property
    def images(self) -> int:
        """How many images a published protocol tests on."""
        return sum(split == "test" for source in self._sources() for split, _ in source.parts)

    def tests(self) -> Iterator[Cube]:
        """The images that a published protocol tests on, each open until the next one is."""
        for source in self._sources():
            windows = [window for split, window in source.parts if split == "test"]
            if windows:
                with source.opened() as cube:
                    yield from (View(cube, window=window) for window in windows)

    def _sources(self) -> list[Source]:
        return [
            Source(partial(self._plan.opened, path), self._plan.windows(scene, self.scale))
            for scene, path in self.files.items()
        ]

    @property
    def _plan(self) -> Plan:
        assert self.protocol.plan is not None
        return self.protocol.plan


def names() -> list[str]:
    """The protocols that come with hsisr."""
    return recipe.names("protocols")


def load(name: str) -> Protocol:
    """The protocol called `name`, or in the TOML file of that path; raises `UsageError`."""
    if name in names():
        path = files("hsisr_models") / "recipes" / "protocols" / f"{name}.toml"
    elif name.endswith(".toml") and Path(name).is_file():
        path = Path(name)
    else:
        known = ", ".join(names())
        raise UsageError(
            f"no protocol '{name}'", hint=f"one of {known}, or the path of a .toml file"
        )
    try:
        return _read(Path(name).stem, tomllib.loads(path.read_text()))
    except ValueError as error:
        raise UsageError(f"not a protocol: {error}", where=name) from error
    except KeyError as error:
        raise UsageError(f"not a protocol: it lacks {error}", where=name) from error
    except (TypeError, AttributeError) as error:
        raise UsageError(f"not a protocol: {error!r}", where=name) from error


def _read(name: str, tables: Mapping[str, Any]) -> Protocol:
    told = {key: value for key, value in tables.items() if key not in ("scene", "part")}
    told["scales"] = tuple(tables["scales"])
    told["published"] = _rows(tables["published"], told["scales"])
    known_operator(tables["operator"])
    known_preset(tables["metrics"])
    plan = Plan.read(tables, name) if "scene" in tables else None
    if plan is not None:
        plan.require_sound(told["scales"])
    return Protocol(name=name, plan=plan, **told)


def _rows(tables: Mapping[str, Any], scales: Sequence[int]) -> Rows:
    """The tables `[published.N]`; raises `ValueError` for what cannot be compared with."""
    rows = {int(scale): methods for scale, methods in tables.items()}
    for scale, methods in rows.items():
        if scale not in scales:
            raise ValueError(f"[published.{scale}], but no scale {scale}")
        for method, values in methods.items():
            for measure, value in values.items():
                if measure not in METRICS or not isinstance(value, int | float):
                    raise ValueError(f"{method}: {measure} = {value} is no measure")
    return rows


def datasets(
    protocol: Protocol, folder: Path, scale: int, tell: Callable[[str], None] = lambda note: None
) -> list[Dataset]:
    """What `folder` holds for the protocol; a single file may stand for the folder.

    Where the protocol is for any scenes, `tell` hears of pictures and labels that are left out.
    Raises `UsageError` for a scale that the protocol does not have, and `InputError` if what is
    there is not what the protocol expects.
    """
    if scale not in protocol.scales:
        known = ", ".join(map(str, protocol.scales))
        raise UsageError(f"protocol {protocol.name} has no scale {scale}", hint=f"one of {known}")
    if protocol.plan is None:
        return _each(protocol, folder, scale, tell)
    return [Dataset(protocol.name, protocol, scale, protocol.plan.locate(folder))]


def _each(
    protocol: Protocol, folder: Path, scale: int, tell: Callable[[str], None]
) -> list[Dataset]:
    """Every scene in a folder as a data set of its own."""
    found: dict[str, Dataset] = {}
    taken: set[Path] = set()
    for path in _candidates(folder, tell):
        if path in taken:
            continue
        try:
            with open_cube(path) as cube:
                taken.update(cube.files)
                _require_several_bands(cube, path)
                cut(cube.spec, Layout(scale), cube.files[0])
                name = _unique(cube.files[0].stem, found)
        except NoCubeError as error:
            if path == folder:
                raise
            tell(f"{path} is left out: {error.what}")
        except InputError as error:
            hints = [error.hint, _ASIDE if path != folder else None]
            hint = "; or ".join(filter(None, hints)) or None
            raise InputError(error.what, where=error.where, hint=hint) from error
        else:
            found[name] = Dataset(name, protocol, scale, {name: path})
    if not found:
        raise InputError("holds no scene", where=folder, hint="name a folder of scenes, or a scene")
    return list(found.values())


def _require_several_bands(cube: Cube, path: Path) -> None:
    if cube.spec.bands == 1:
        raise NoCubeError("one band is no spectrum", where=path)


def _candidates(folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    if not folder.is_dir():
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and _is_scene(path, tell):
            yield path


def _is_scene(path: Path, tell: Callable[[str], None]) -> bool:
    """Whether a file seems to be a scene; tells of one that is empty or cannot be read."""
    try:
        if recognised(path) is not None:
            return True
        why = None if path.stat().st_size else "it is empty"
    except InputError as error:
        why = error.what
    if why is not None:
        tell(f"{path} is left out: {why}")
    return False


def _unique(stem: str, taken: Mapping[str, Dataset]) -> str:
    numbers = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(name for name in numbers if name not in taken)
