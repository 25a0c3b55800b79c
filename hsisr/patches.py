"""The folder that `prepare` writes and training reads: blocks of scenes in both resolutions.

A scene is cut along its longer side into runs of train | gap | validation | gap | test, repeated
on large scenes. Blocks of different splits never touch: `gap` pixels between them belong to none.
Every block is degraded by itself, so no low-resolution pixel mixes two splits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hsisr.cube import Block, Cube, CubeSpec, Spectrum
from hsisr.degraded import degrade_block, known_operator
from hsisr.errors import InputError, UsageError
from hsisr.files import explained, write_json
from hsisr.window import Window

SPLITS = ("train", "validation", "test")
MANIFEST = "manifest.json"
_BLOCK = 64
"""Longest side of a block, in low-resolution pixels."""
_PERIOD = 256
"""Length of one run of train, validation and test on large scenes, in low-resolution pixels."""
_SMALLEST = 4
"""Shortest side of a useful block, in low-resolution pixels."""
_SAMPLE = 1 << 20
_PEAK_QUANTILE = 0.999


@dataclass(frozen=True)
class Layout:
    """How scenes are cut."""

    scale: int
    operator: str = "bicubic"
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Of training, validation and test along the longer side."""
    gap: int = 2
    """Between splits, in low-resolution pixels."""

    def __post_init__(self) -> None:
        known_operator(self.operator)
        if len(self.shares) != 3 or not all(0 < share < np.inf for share in self.shares):
            raise UsageError(
                f"--split {self.shares} should be three positive shares", hint="0.7,0.1,0.2"
            )


def cut(spec: CubeSpec, layout: Layout, where: Path | None = None) -> dict[str, list[Window]]:
    """The windows of a scene that belong to each split, sides a multiple of the scale.

    Raises `InputError`, which tells `where`, if a split would be too small to be of use.
    """
    along_rows = spec.rows >= spec.cols
    length, breadth = (spec.rows, spec.cols) if along_rows else (spec.cols, spec.rows)
    windows: dict[str, list[Window]] = {split: [] for split in SPLITS}
    for split, start, stop in _runs(length // layout.scale, layout):
        if min(stop - start, breadth // layout.scale) < _SMALLEST:
            raise InputError(
                f"the scene of {spec.rows} x {spec.cols} pixels is too small to be split at scale "
                f"{layout.scale}: its {split} part would be {stop - start} x "
                f"{breadth // layout.scale} low-resolution pixels, {_SMALLEST} are needed",
                where=where,
                hint="a smaller --scale, or a larger scene",
            )
        for low in _blocks(start, stop, breadth // layout.scale, along_rows):
            windows[split].append(low.zoomed(layout.scale))
    return windows


def _runs(length: int, layout: Layout) -> Iterator[tuple[str, int, int]]:
    """(split, first, stop) along the longer side; on short scenes training gives way."""
    periods = max(1, length // _PERIOD)
    _, validation_share, test_share = np.asarray(layout.shares) / sum(layout.shares)
    for period in range(periods):
        first, last = length * period // periods, length * (period + 1) // periods
        validation = max(_SMALLEST, round((last - first) * validation_share))
        test = max(_SMALLEST, round((last - first) * test_share) - layout.gap)
        seam = last - test - layout.gap - validation
        yield "train", first + (layout.gap if period else 0), seam - layout.gap
        yield "validation", seam, seam + validation
        yield "test", last - test, last


def _blocks(start: int, stop: int, breadth: int, along_rows: bool) -> Iterator[Window]:
    for first, last in _pieces(start, stop):
        for left, right in _pieces(0, breadth):
            window = Window(first, left, last - first, right - left)
            yield window if along_rows else Window(left, first, right - left, last - first)


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    count = -(-(stop - start) // _BLOCK)
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return pairwise(edges)


@dataclass(frozen=True)
class PatchSet:
    """A prepared folder, opened; pixels stay on disk until they are used."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def bands(self) -> int:
        """Bands of every block."""
        return int(self.manifest["bands"])

    @property
    def scale(self) -> int:
        """Factor between the two resolutions."""
        return int(self.manifest["scale"])

    @property
    def peak(self) -> float:
        """The physical value that networks see as 1."""
        return float(self.manifest["peak"])

    @property
    def digest(self) -> str:
        """A SHA-256 of what was cut from which scenes, and how."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()

    @property
    def spectrum(self) -> Spectrum | None:
        """The bands' wavelengths, where the scenes knew them."""
        centres = self.manifest["wavelengths_nm"]
        return Spectrum(tuple(centres)) if centres else None

    def blocks(self, split: str) -> list[tuple[Block, Block]]:
        """(low, high) resolution of every block of a split: (B, h, w) physical, mapped."""
        return [
            (self._map(entry["low"]), self._map(entry["high"]))
            for entry in self.manifest["blocks"]
            if entry["split"] == split
        ]

    def _map(self, name: str) -> Block:
        return load_block(self.folder / Path(name).name)


def open_patches(run: Path) -> PatchSet:
    """The prepared data of a run folder; raises `InputError`."""
    manifest = read_manifest(run)
    if "blocks" not in manifest:
        raise InputError(
            "holds tokens, not spectra", where=run, hint=f"hsisr prepare SCENE --scale 4 -o {run}"
        )
    return PatchSet(run / "data", manifest)


def read_manifest(run: Path) -> dict[str, Any]:
    """What `prepare` wrote down about a run folder's data; raises `InputError`."""
    path = run / "data" / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            "holds no prepared data", where=run, hint=f"hsisr prepare SCENE --scale 4 -o {run}"
        ) from None
    except ValueError as error:
        raise InputError(f"is not a manifest: {error}", where=path) from error
    return manifest


def load_block(path: Path) -> Block:
    """A block as `save_block` wrote it, mapped, not read; raises `InputError`."""
    try:
        array: Block = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"is not a block of training data: {error}", where=path) from error
    return array


def prepare(cubes: Sequence[Cube], run: Path, layout: Layout) -> Iterator[tuple[int, int]]:
    """Cut and degrade scenes into `run`/data, yielding (blocks done, blocks in all).

    Raises `InputError` if the scenes differ in their bands or are too small.
    """
    _require_alike(cubes)
    jobs = [
        (cube, split, window)
        for cube in cubes
        for split, windows in cut(cube.spec, layout, cube.files[0]).items()
        for window in windows
    ]
    folder = run / "data"
    folder.mkdir(parents=True, exist_ok=True)
    # an older one would soon describe blocks that are no longer there
    (folder / MANIFEST).unlink(missing_ok=True)
    entries, values = [], _Sample(len(jobs))
    for index, (cube, split, window) in enumerate(jobs):
        high = cube.read(window)
        low = degrade_block(high, layout.scale, layout.operator)
        if split == "train":
            values.take(high)
        names = {kind: f"{split}_{index:04d}_{kind}.npy" for kind in ("low", "high")}
        for kind, block in (("low", low), ("high", high)):
            save_block(folder / names[kind], block)
        place = {"scene": cube.files[0].name, "window": asdict(window)}
        entries.append({"split": split, **place, **names})
        yield index + 1, len(jobs)
    spec = cubes[0].spec
    manifest = {
        "scale": layout.scale,
        "degradation": layout.operator,
        "shares": layout.shares,
        "gap": layout.gap,
        "bands": spec.bands,
        "wavelengths_nm": spec.spectrum.centres_nm if spec.spectrum else None,
        "peak": values.peak(),
        "peak_is": f"the {_PEAK_QUANTILE:.1%} quantile of the training pixels",
        "scenes": [describe(cube) for cube in cubes],
        "blocks": entries,
    }
    # written last: a folder with a manifest is complete
    write_json(folder / MANIFEST, manifest)


def save_block(path: Path, block: Block) -> None:
    """Write a block as .npy; raises `OutputError`, which np.save would leave unexplained."""
    block = np.ascontiguousarray(block, np.float32)
    with explained(path, block.nbytes), path.open("wb") as handle:
        header = np.lib.format.header_data_from_array_1_0(block)
        np.lib.format.write_array_header_1_0(handle, header)
        handle.write(block.data)


class _Sample:
    """A bounded sample of values from many blocks, for a quantile."""

    def __init__(self, blocks: int) -> None:
        self._share = max(1, _SAMPLE // blocks)
        self._taken: list[Block] = []

    def take(self, block: Block) -> None:
        finite = block[np.isfinite(block)]
        self._taken.append(finite[:: max(1, len(finite) // self._share)])

    def peak(self) -> float:
        values = np.concatenate(self._taken)
        peak = float(np.quantile(values, _PEAK_QUANTILE)) if len(values) else 0.0
        if peak <= 0:
            raise InputError(
                f"the training pixels hold no positive values (their peak is {peak:g})",
                hint="check the scene: hsisr info SCENE",
            )
        return peak


def _require_alike(cubes: Sequence[Cube]) -> None:
    first = cubes[0]
    for cube in cubes[1:]:
        if cube.spec.bands != first.spec.bands:
            raise InputError(
                f"has {cube.spec.bands} bands, {first.files[0].name} has {first.spec.bands}; "
                "scenes of one training set must agree",
                where=cube.files[0],
            )
        worst = spectral_mismatch(cube.spec.spectrum, first.spec.spectrum)
        if worst is not None:
            raise InputError(f"{worst} in {first.files[0].name}", where=cube.files[0])


def spectral_mismatch(scene: Spectrum | None, known: Spectrum | None) -> str | None:
    """Where two spectra differ by more than half a band spacing, in words."""
    found, expected = (spectrum.centres_nm if spectrum else () for spectrum in (scene, known))
    if not found or not expected or len(expected) < 2:
        return None
    spacing = float(np.median(np.abs(np.diff(expected))))
    errors = np.abs(np.asarray(found) - np.asarray(expected))
    band = int(errors.argmax())
    if errors[band] <= max(spacing / 2, 1.0):
        return None
    return f"band {band + 1} lies at {found[band]:.1f} nm, but at {expected[band]:.1f} nm"


def describe(cube: Cube) -> dict[str, Any]:
    """A scene in the manifest of the data that was made from it."""
    return {
        "file": cube.files[0].name,
        "format": cube.format,
        "shape": cube.spec.shape,
        "bytes": sum(path.stat().st_size for path in cube.files),
        "notes": list(cube.notes),
    }
