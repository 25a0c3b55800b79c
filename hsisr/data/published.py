"""The scenes of a published protocol: found in a folder, checked, and cut as published."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np

from hsisr.cube import ALL, Block, Cube, Spectrum
from hsisr.data.cutting import SPLITS, blocks, whole
from hsisr.data.patches import Known, Peak
from hsisr.errors import InputError, UsageError
from hsisr.evaluate import largest
from hsisr.formats import ReadOptions, open_cube
from hsisr.scene.view import View
from hsisr.window import Window
from hsisr.wording import counted

_DEPTH = 4
"""Folders below the named one that are looked into."""
_LISTED = 5
_LARGEST = "maximum"
_KEYS = ("split", "scenes", "rows", "cols", "image")
"""Of a part."""


@dataclass(frozen=True)
class Part:
    """Pixels of some scenes that belong to one split."""

    split: str
    scenes: tuple[str, ...]
    region: Window | None
    """Within the crop; None for all of it."""
    image: int | None
    """Side of the images that it consists of; None where it is one image, or cut into blocks."""

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Self:
        """A `[[part]]` of a protocol's file; raises `ValueError` for a key that none has."""
        unknown = set(table).difference(_KEYS)
        if unknown:
            raise ValueError(f"a part has no {unknown.pop()}")
        return cls(table["split"], _scenes(table.get("scenes")), _region(table), table.get("image"))

    def windows(self, crop: Window, scale: int) -> list[Window]:
        """Its images or blocks in a scene whose crop is as large as `crop`.

        Images that are tested stay whole; what trains or validates is cut into blocks.
        """
        region = self.region or Window(0, 0, crop.height, crop.width)
        if self.image is not None:
            return [
                Window(row, col, self.image, self.image)
                for row in range(region.row, region.row_stop, self.image)
                for col in range(region.col, region.col_stop, self.image)
            ]
        return [whole(region, scale)] if self.split == "test" else blocks(region, scale)


@dataclass(frozen=True)
class Plan:
    """The scenes of a protocol and their parts."""

    protocol: str
    title: str
    get: str
    files: tuple[str, ...]
    """Patterns of file names in which {scene} stands for a scene's name."""
    shape: tuple[int, int, int]
    """Rows, columns and bands of every scene."""
    peak: float | str
    """A number, or `maximum`: the largest value of the crop."""
    parts: tuple[Part, ...]
    crop: Window
    peak_8_bit: float | None = None
    """The peak of scenes that are stored in bytes."""
    variable: str | None = None
    wavelengths_nm: tuple[float, float] | None = None
    """Of the first and the last band, where files do not tell."""

    @classmethod
    def read(cls, tables: Mapping[str, Any], protocol: str) -> Self:
        """The `[scene]` and the parts of a protocol's file."""
        scene = {**tables["scene"]}
        rows, cols, bands = scene.pop("shape")
        span = scene.pop("wavelengths_nm", None)
        return cls(
            protocol=protocol,
            title=tables["title"],
            get=tables["get"],
            files=tuple(scene.pop("files")),
            shape=(rows, cols, bands),
            crop=_region(scene.pop("crop", {})) or Window(0, 0, rows, cols),
            wavelengths_nm=span and tuple(span),
            parts=tuple(map(Part.read, tables["part"])),
            **scene,
        )

    def require_sound(self, scales: Sequence[int]) -> None:
        """Raise `ValueError` where parts are not inside the scene, or those of two splits overlap.

        Also where a split has no part, images are no multiple of a scale, or a part is smaller
        than a pixel of it.
        """
        rows, cols, _ = self.shape
        if not Window(0, 0, rows, cols).contains(self.crop):
            raise ValueError(f"the crop is not inside {rows} x {cols} pixels")
        inside = Window(0, 0, self.crop.height, self.crop.width)
        for part in self.parts:
            if part.split not in SPLITS:
                raise ValueError(f"no split '{part.split}'")
            if part.image and any(part.image % scale for scale in scales):
                raise ValueError(f"images of {part.image} pixels are no multiple of a scale")
            region = part.region or inside
            if min(region.height, region.width) < max(scales):
                raise ValueError(f"a part for {part.split} is {region.height} x {region.width}")
            if not all(inside.contains(window) for window in part.windows(inside, scales[0])):
                raise ValueError(f"a part for {part.split} is not inside the crop")
        self._require_apart(inside)
        absent = [split for split in SPLITS if split not in {part.split for part in self.parts}]
        if absent:
            raise ValueError(f"no part for {' and '.join(absent)}")

    def _require_apart(self, inside: Window) -> None:
        areas = [reduce(Window.joined, part.windows(inside, 1)) for part in self.parts]
        told = enumerate(zip(self.parts, areas, strict=True), 1)
        for (first, (one, here)), (second, (other, there)) in combinations(told, 2):
            scenes = sorted(set(one.scenes) & set(other.scenes))
            if one.split != other.split and scenes and _overlap(here, there):
                where = f" in scene {scenes[0]}" if scenes[0] else ""
                raise ValueError(
                    f"parts {first} ({one.split}) and {second} ({other.split}) overlap{where}"
                )

    @property
    def scenes(self) -> list[str]:
        """The names of all scenes, those of the first part first."""
        return list(dict.fromkeys(scene for part in self.parts for scene in part.scenes))

    @property
    def expected(self) -> str:
        """What a folder must hold, in words."""
        rows, cols, bands = self.shape
        scenes = self.scenes
        names = " or ".join(pattern.format(scene=scenes[0]) for pattern in self.files)
        several = f"{len(scenes)} scenes like" if len(scenes) > 1 else "one file called"
        held = f" in variable {self.variable}" if self.variable else ""
        return (
            f"protocol {self.protocol} expects {self.title}: {several} {names}, "
            f"{rows} x {cols} pixels x {counted(bands, 'band')}{held}"
        )

    def refuse(self, found: str, where: Path) -> InputError:
        """The error for anything but what the protocol expects."""
        return InputError(f"{found}; {self.expected}", where=where, hint=f"get {self.get}")

    def locate(self, folder: Path) -> dict[str, Path]:
        """The file of every scene, looked for in and below `folder`; raises `InputError`.

        Where the protocol has one scene, its file may be named instead.
        """
        scenes = self.scenes
        if len(scenes) == 1 and folder.is_file():
            return {scenes[0]: folder}
        if not folder.is_dir():
            raise self.refuse("is a file" if folder.exists() else "no such folder", folder)
        files = _files(folder)
        found = {scene: self._matching(scene, files) for scene in scenes}
        missing = [scene for scene, paths in found.items() if not paths]
        if missing:
            raise self.refuse(_lacking(missing, scenes, files), folder)
        for paths in found.values():
            if len(paths) > 1:
                raise self.refuse(f"holds both {paths[0]} and {paths[1]}", folder)
        chosen = {scene: paths[0] for scene, paths in found.items()}
        if len(set(chosen.values())) < len(chosen):
            # what trains would test
            raise self.refuse("has one file for two scenes", folder)
        return chosen

    def _matching(self, scene: str, files: Mapping[str, list[Path]]) -> list[Path]:
        patterns = [pattern.format(scene=scene).lower() for pattern in self.files]
        known = [path for pattern in patterns for path in files.get(pattern, ())]
        if known or "{scene}" in self.files[0]:
            return known
        return [path for name, paths in files.items() if _fits(name, patterns) for path in paths]

    @contextmanager
    def opened(self, path: Path) -> Iterator[Cube]:
        """The crop of the scene at `path`, in units of `peak`; raises `InputError`."""
        with self._open(path) as cube:
            spec = cube.spec
            if (spec.rows, spec.cols, spec.bands) != self.shape:
                found = f"is {spec.rows} x {spec.cols} pixels x {counted(spec.bands, 'band')}"
                raise self.refuse(found, path)
            yield _Crop(cube, self)

    def _open(self, path: Path) -> Cube:
        try:
            return open_cube(path, ReadOptions(var=self.variable))
        except UsageError:
            # saved under another name: its size tells whether it is the scene
            return open_cube(path)

    def windows(self, scene: str, scale: int) -> list[tuple[str, Window]]:
        """The parts of a scene within its crop, with their splits."""
        return [
            (part.split, window)
            for part in self.parts
            if scene in part.scenes
            for window in part.windows(self.crop, scale)
        ]

    def normalisation(self, files: Mapping[str, Path]) -> Peak:
        """What all values are divided by; the largest one is looked for strip by strip."""
        if self.peak != _LARGEST:
            return Known(float(self.peak), f"as protocol {self.protocol} says")
        with self.opened(next(iter(files.values()))) as cube:
            return Known(largest(cube), f"the largest value, as protocol {self.protocol} says")


class _Crop(View):
    """The part of a scene that a protocol uses, with its wavelengths and its peak."""

    def __init__(self, cube: Cube, plan: Plan) -> None:
        super().__init__(cube, window=plan.crop)
        in_bytes = cube.spec.dtype == np.uint8 and plan.peak_8_bit
        self._factor = np.float32(plan.peak) / np.float32(in_bytes) if in_bytes else None
        if self.spec.spectrum is None and plan.wavelengths_nm:
            centres = np.linspace(*plan.wavelengths_nm, self.spec.bands)
            self.spec = replace(self.spec, spectrum=Spectrum(tuple(centres.tolist())))

    def read(self, window: Window, bands: slice = ALL) -> Block:
        """The pixels of `window`, those of a scene in bytes stretched to the peak of the others."""
        block = super().read(window, bands)
        return block if self._factor is None else block * self._factor


def _region(table: Mapping[str, Any]) -> Window | None:
    """Rows and columns as MATLAB names them, from 1 and inclusive."""
    if "rows" not in table and "cols" not in table:
        return None
    (top, bottom), (left, right) = table["rows"], table["cols"]
    return Window(top - 1, left - 1, bottom - top + 1, right - left + 1)


def _overlap(one: Window, other: Window) -> bool:
    return max(one.row, other.row) < min(one.row_stop, other.row_stop) and max(
        one.col, other.col
    ) < min(one.col_stop, other.col_stop)


def _scenes(told: Any) -> tuple[str, ...]:
    """Names as listed, or numbered; a protocol of one scene names none."""
    if isinstance(told, Mapping):
        return tuple(told["name"].format(n) for n in range(told["first"], told["last"] + 1))
    return tuple(told) if told else ("",)


def _files(folder: Path) -> dict[str, list[Path]]:
    """The files in and below a folder by their names in small letters."""
    found: dict[str, list[Path]] = {}
    for place, folders, names in os.walk(folder):
        deep = len(Path(place).relative_to(folder).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if name[0] not in "._")
        for name in sorted(names):
            if not name.startswith("."):
                found.setdefault(name.lower(), []).append(Path(place, name))
    return found


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _lacking(missing: Sequence[str], scenes: Sequence[str], files: Mapping[str, Any]) -> str:
    if len(missing) < len(scenes):
        return f"lacks {len(missing)} of {len(scenes)} scenes: {_listed(missing)}"
    return f"none of its files fits (found {_listed(sorted(files)) or 'nothing'})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
