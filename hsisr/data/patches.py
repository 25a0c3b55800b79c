"""The folder that `prepare` writes and training reads: blocks of scenes in both resolutions.

Every block is degraded by itself, so no low-resolution pixel mixes two splits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hsisr.cube import Block, Cube, Spectrum, spectral_mismatch
from hsisr.data.cutting import Layout, cut
from hsisr.errors import InputError
from hsisr.files import explained, write_json
from hsisr.scene.degraded import degrade_block
from hsisr.scene.selection import stretches
from hsisr.window import Window
from hsisr.wording import counted

MANIFEST = "manifest.json"
_SAMPLE = 1 << 20
_PEAK_QUANTILE = 0.999


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

    @cached_property
    def digest(self) -> str:
        """A SHA-256 of what was cut from which scenes, and how, and of the pixels."""
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
    """The manifest that `prepare` wrote into a run folder; raises `InputError`."""
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


@dataclass(frozen=True)
class Source:
    """A scene, opened only when it is prepared, and the parts of it to prepare."""

    opened: Callable[[], AbstractContextManager[Cube]]
    parts: Sequence[tuple[str, Window]]
    """The split and the window of each part."""


class Peak(Protocol):
    """Where the physical value that networks see as 1 comes from."""

    @property
    def told(self) -> str:
        """In words."""

    def take(self, block: Block) -> None:
        """Look at a training block."""

    def value(self) -> float:
        """The peak, once all training blocks have been seen; raises `InputError`."""


@dataclass(frozen=True)
class Known:
    """A peak that is settled before any block is read."""

    peak: float
    told: str

    def take(self, block: Block) -> None:
        """Nothing depends on the pixels."""

    def value(self) -> float:
        """The peak."""
        return self.peak


def prepare(cubes: Sequence[Cube], run: Path, layout: Layout) -> Iterator[tuple[int, int]]:
    """Cut and degrade scenes into `run`/data, yielding (blocks done, blocks in all).

    Raises `InputError` if the scenes differ in their bands or are too small.
    """
    return cut_into(run, layout, cubes, {})


def cut_into(
    run: Path, layout: Layout, cubes: Sequence[Cube], facts: Mapping[str, Any]
) -> Iterator[tuple[int, int]]:
    """As `prepare`, with more `facts` in the manifest."""
    _require_alike(cubes)
    sources = [
        Source(partial(_held, cube), _parts(cut(cube.spec, layout, cube.files[0])))
        for cube in cubes
    ]
    facts = {"shares": layout.shares, "gap": layout.gap, **facts}
    sample = _Sample(sum(len(source.parts) for source in sources))
    yield from store(sources, run, layout.scale, layout.operator, sample, facts)


@contextmanager
def _held(cube: Cube) -> Iterator[Cube]:
    """A cube that whoever opened it will close."""
    yield cube


def _parts(windows: Mapping[str, Sequence[Window]]) -> list[tuple[str, Window]]:
    return [(split, window) for split, places in windows.items() for window in places]


def store(
    sources: Sequence[Source],
    run: Path,
    scale: int,
    operator: str,
    peak: Peak,
    facts: Mapping[str, Any],
) -> Iterator[tuple[int, int]]:
    """Degrade parts of scenes into `run`/data, yielding (blocks done, blocks in all).

    `facts` go into the manifest. Raises `InputError`.
    """
    folder = run / "data"
    total = sum(len(source.parts) for source in sources)
    entries: list[dict[str, Any]] = []
    scenes, spec = [], None
    held = np.zeros(0, np.bool_)
    for source in sources:
        with source.opened() as cube:
            if spec is None:
                spec = cube.spec
                held = np.zeros(spec.bands, np.bool_)
                _begin(folder)
            scenes.append(describe(cube))
            for split, window in source.parts:
                high = cube.read(window)
                if split == "train":
                    peak.take(high)
                    held |= np.isfinite(high).any((1, 2))
                names = _save_pair(folder, f"{split}_{len(entries):04d}", high, scale, operator)
                place = {"scene": cube.files[0].name, "window": asdict(window)}
                entries.append({"split": split, **place, **names})
                yield len(entries), total
    assert spec is not None
    _require_held(held, spec.spectrum)
    manifest = {
        "scale": scale,
        "degradation": operator,
        **facts,
        "bands": spec.bands,
        "wavelengths_nm": spec.spectrum.centres_nm if spec.spectrum else None,
        "peak": peak.value(),
        "peak_is": peak.told,
        "scenes": scenes,
        "blocks": entries,
    }
    # written last: a folder with a manifest is complete
    write_json(folder / MANIFEST, manifest)


def _begin(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # an older one would soon describe blocks that are no longer there
    (folder / MANIFEST).unlink(missing_ok=True)


def _save_pair(folder: Path, name: str, high: Block, scale: int, operator: str) -> dict[str, str]:
    """Write a block in both resolutions; returns the names of the files and their digests."""
    entry = {}
    for kind, block in (("low", degrade_block(high, scale, operator)), ("high", high)):
        entry[kind] = f"{name}_{kind}.npy"
        entry[f"{kind}_sha256"] = save_block(folder / entry[kind], block)
    return entry


def save_block(path: Path, block: Block) -> str:
    """Write a block as .npy and return the SHA-256 of its pixels.

    Raises `OutputError`, which np.save would leave unexplained.
    """
    block = np.ascontiguousarray(block, np.float32)
    with explained(path, block.nbytes), path.open("wb") as handle:
        header = np.lib.format.header_data_from_array_1_0(block)
        np.lib.format.write_array_header_1_0(handle, header)
        handle.write(block.data)
    return hashlib.sha256(block.reshape(-1).data).hexdigest()


class _Sample:
    """The peak as a quantile of a bounded sample of the training blocks."""

    told = f"the {_PEAK_QUANTILE:.1%} quantile of a sample of the training pixels"

    def __init__(self, blocks: int) -> None:
        self._share = max(1, _SAMPLE // blocks)
        self._taken: list[Block] = []

    def take(self, block: Block) -> None:
        finite = block[np.isfinite(block)]
        self._taken.append(finite[:: max(1, len(finite) // self._share)])

    def value(self) -> float:
        values = np.concatenate(self._taken)
        peak = float(np.quantile(values, _PEAK_QUANTILE)) if len(values) else 0.0
        if peak <= 0:
            raise InputError(
                f"the training pixels hold no positive values (their peak is {peak:g})",
                hint="check the scene: hsisr info SCENE",
            )
        return peak


def _require_held(held: NDArray[np.bool_], spectrum: Spectrum | None) -> None:
    """Raise `InputError` if only some bands (B,) hold data: no pixel could be trained with."""
    if held.any() and not held.all():
        empty = f"{counted((~held).sum(), 'band')}, {stretches(~held, spectrum)}"
        raise InputError(
            f"the training pixels hold no data in {empty}",
            hint=f"leave out what is empty: --bands {stretches(held, spectrum)}",
        )


def _require_alike(cubes: Sequence[Cube]) -> None:
    first = cubes[0]
    for cube in cubes[1:]:
        if cube.spec.bands != first.spec.bands:
            raise InputError(
                f"has {counted(cube.spec.bands, 'band')}, "
                f"{first.files[0].name} has {first.spec.bands}; "
                "scenes of one training set must agree",
                where=cube.files[0],
            )
        worst = spectral_mismatch(cube.spec.spectrum, first.spec.spectrum)
        if worst is not None:
            raise InputError(f"{worst} in {first.files[0].name}", where=cube.files[0])


def describe(cube: Cube) -> dict[str, Any]:
    """A scene in the manifest of the data that was made from it."""
    return {
        "file": cube.files[0].name,
        "format": cube.format,
        "shape": cube.spec.shape,
        "bytes": sum(path.stat().st_size for path in cube.files),
        "notes": list(cube.notes),
    }


def scenes_seen(model: Mapping[str, Any], scored: Mapping[str, Any]) -> list[str]:
    """The files among the `scored` scenes that a model was trained or chosen with.

    Both are manifests, or as much of one as is known. None where both were cut alike: the blocks
    that test a run were kept from its models.
    """
    if "blocks" in scored and _cut_by(model) == _cut_by(scored):
        return []
    known = [(scene.get("file"), scene.get("shape")) for scene in model.get("scenes", ())]
    files = ((scene["file"], list(scene["shape"])) for scene in scored["scenes"])
    return [file for file, shape in files if (file, shape) in known]


def _cut_by(manifest: Mapping[str, Any]) -> list[Any]:
    """What tells where the blocks of scenes lie."""
    return [manifest.get("protocol", "scenes"), *map(manifest.get, ("shares", "gap", "scale"))]
