"""The scenes that a user names: found, checked against each other, processed one by one."""

from __future__ import annotations

import glob
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.errors import BatchError, HsisrError, InputError, Interrupted, OutputError, UsageError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.formats import ReadOptions

_RESULTS = ("output", "uncertainty", "maps", "error_map", "endmember_files")
"""Keys under which the record of a run names what it wrote."""


@dataclass(frozen=True)
class Scene:
    """A scene that was named, or found in a folder."""

    path: Path
    files: tuple[Path, ...] = ()
    """All that it consists of; none where it could not be opened, which is told in its turn."""


@dataclass(frozen=True)
class Batch:
    """The scenes of one command."""

    scenes: tuple[Scene, ...]
    output: Path | None
    several: bool = True
    """Whether more than one could have been meant."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Of all scenes: results must not replace any of them."""
        return tuple(file for scene in self.scenes for file in scene.files)

    def work(self, step: Callable[[Path], None]) -> None:
        """Do `step` for every scene, going on after failures.

        Raises `BatchError` at the end if there were any; of a single scene, its own error.
        """
        if not self.several:
            with _folder(self.output if shared.typed_as_folder(self.output) else None):
                step(self.scenes[0].path)
            return
        failed = []
        with _folder(self.output):
            for number, scene in enumerate(self.scenes, 1):
                if not _done(step, scene.path, f"[{number}/{len(self.scenes)}] {scene.path}"):
                    failed.append(str(scene.path))
        summary = f"{len(self.scenes) - len(failed)} of {counted(len(self.scenes), 'scene')} done"
        if failed:
            hint = "their errors are told above; repeat the command with these alone"
            raise BatchError(f"{summary}; failed: {', '.join(failed)}", hint=hint)
        shared.say(summary)


def collect(names: Sequence[str], options: ReadOptions, output: Path | None) -> Batch:
    """The scenes that are named: files, folders, patterns and `@list.txt`.

    Where these are several, each is taken once, and raises `UsageError` if two of them would be
    written to the same name, or if `output` is no folder. Raises `InputError` if there are none.
    """
    if len(names) == 1 and not _is_plural(names[0]):
        return Batch((Scene(Path(names[0])),), output, several=False)
    _require_folder(output)
    found = (scene for name in names for scene in _named(name, options))
    scenes = {(scene.files or (scene.path,))[0].resolve(): scene for scene in found}
    if not scenes:
        raise InputError("no scene found", where=", ".join(names))
    _require_distinct(tuple(scenes.values()), output)
    return Batch(tuple(scenes.values()), output)


def _is_plural(name: str) -> bool:
    return _is_folder(Path(name)) or _is_list(name) or _is_pattern(Path(name))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name can be too long for the system
        return False


def _is_list(name: str) -> bool:
    return name.startswith("@") and not _exists(Path(name))


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not _exists(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _named(name: str, options: ReadOptions) -> Iterator[Scene]:
    if not _is_list(name):
        yield from _at(Path(name), options)
        return
    source = Path(name[1:])
    for line in _lines(source):
        yield from _at(source.parent / line, options)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a list that are neither empty nor comments."""
    try:
        text = path.read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(f"the list cannot be read: {error.strerror}", where=path) from error
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _at(path: Path, options: ReadOptions) -> Iterator[Scene]:
    """The scenes of a folder or of a pattern, or the one at a path."""
    if _is_folder(path):
        yield from _in_folder(path, options)
    elif _is_pattern(path):
        for match in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 - any base
            if Path(match).is_file():
                yield _opened(Path(match), options)
    else:
        yield _opened(path, options)


def _opened(path: Path, options: ReadOptions) -> Scene:
    from hsisr.formats import open_cube

    try:
        with open_cube(path, options) as cube:
            return Scene(path, cube.files)
    except HsisrError:
        return Scene(path)


def _in_folder(folder: Path, options: ReadOptions) -> Iterator[Scene]:
    """The scenes directly in a folder but for results of other runs; tells what cannot be read."""
    from hsisr.formats import open_cube, recognised
    from hsisr.formats.tiff.product import is_layer

    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=folder) from error
    results, seen = _results(folder), set[Path]()
    for path in entries:
        if path in results | seen or path.name.startswith(".") or path.suffix == ".part":
            continue
        if not path.is_file() or is_layer(path):
            continue
        try:
            if recognised(path) is None:
                continue
            with open_cube(path, options) as cube:
                files = cube.files
        except HsisrError as error:
            shared.note(f"left out: {path}: {error.what}")
            continue
        # scenes may share their metadata, as the two detectors of EnMAP do
        if files[0] not in seen and results.isdisjoint(files):
            seen.update(files)
            yield Scene(files[0], files)


def _results(folder: Path) -> set[Path]:
    """The files in a folder that are results of a run, by the records beside them."""
    from hsisr.files import read_json

    names: set[str] = set()
    for path in folder.glob("*.run.json"):
        record = read_json(path) or {}
        for key in _RESULTS:
            named: Any = record.get(key) or ()
            names.update([named] if isinstance(named, str) else map(str, named))
    files = {folder / name for name in names}
    return files | {file.with_suffix(".hdr") for file in files}


def _require_folder(output: Path | None) -> None:
    from hsisr.results.export import beside

    if output is None or _is_folder(output):
        return
    if _exists(output) or beside(output, "") != output:
        raise UsageError("a file for the results of several scenes", where=output, hint="-o FOLDER")


def _require_distinct(scenes: Sequence[Scene], output: Path | None) -> None:
    """Refuse scenes whose results would have the same names."""
    from hsisr.results.export import beside

    by_stem: defaultdict[Path, list[str]] = defaultdict(list)
    for scene in scenes:
        for file in scene.files[:1]:
            stem = beside(file, "")
            by_stem[(output or stem.parent).resolve() / stem.name].append(str(scene.path))
    for stem, paths in by_stem.items():
        if len(paths) > 1:
            raise UsageError(
                f"the results of {' and '.join(paths)} would have the same names, {stem.name}_...",
                hint="process them one by one, each with another -o",
            )


@contextmanager
def _folder(output: Path | None) -> Iterator[None]:
    """Make the folder for the results, and remove it again if it stays empty."""
    made = output is not None and not output.exists()
    if output is not None and made:
        if not output.parent.is_dir():
            raise OutputError(
                "the folder does not exist", where=output.parent, hint=f"mkdir -p {output.parent}"
            )
        # another share may come at the same moment
        output.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if output is not None and made:
            with suppress(OSError):
                output.rmdir()


def _done(step: Callable[[Path], None], path: Path, label: str) -> bool:
    """Do `step` and print how it ended; returns whether it succeeded."""
    shared.say(label)
    started = time.monotonic()
    try:
        step(path)
    except Interrupted:
        raise
    except Exception as error:
        code = shared.tell(error)
        shared.say(f"{label}: failed with exit code {code}")
        return False
    shared.say(f"{label}: done in {shared.duration(time.monotonic() - started)}")
    return True
