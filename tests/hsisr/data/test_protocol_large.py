"""Published protocols on scenes of the published sizes, checked pixel by pixel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hsisr.data import protocol
from hsisr.data.patches import PatchSet, open_patches
from tests.cli.conftest import environment
from tests.hsisr.protocols import numbered, write_bands, write_mat5

pytestmark = pytest.mark.large

PREPARE = """
import resource, sys
from pathlib import Path
from hsisr.data import protocol
(dataset,) = protocol.datasets(protocol.load(sys.argv[1]), Path(sys.argv[2]), 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in dataset.prepare(Path(sys.argv[3])):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def prepared(name: str, data: Path, run: Path) -> tuple[PatchSet, int]:
    """A run, and the MiB that making it took."""
    command = [sys.executable, "-c", PREPARE, name, str(data), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    return open_patches(run), int(done.stdout)


def write_mat73(path: Path, name: str, shape: tuple[int, int, int]) -> None:
    """A numbered scene in strips, as MATLAB stores it, with a larger value in every corner."""
    rows, cols, bands = shape
    with h5py.File(path, "w", userblock_size=512) as file:
        dataset = file.create_dataset(name, (bands, cols, rows), "u2", chunks=(bands, 64, 64))
        dataset.attrs["MATLAB_class"] = np.bytes_("uint16")
        for top in range(0, rows, 128):
            strip = numbered(min(top + 128, rows), cols, bands)[top:]
            dataset[:, :, top : top + 128] = strip.transpose()
        dataset[:, [0, cols - 1], 0] = dataset[:, [0, cols - 1], rows - 1] = 60_000
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def require_pixels(patches: PatchSet, origin: tuple[int, int]) -> dict[str, int]:
    """Check every stored pixel; returns how many of each split there are."""
    counts = {"train": 0, "validation": 0, "test": 0}
    places: Iterator[Any] = iter(patches.manifest["blocks"])
    for entry in places:
        window = entry["window"]
        high = np.load(patches.folder / entry["high"], mmap_mode="r", allow_pickle=False)
        top, left = window["row"] + origin[0], window["col"] + origin[1]
        expected = part(top, left, high.shape)
        np.testing.assert_array_equal(high, expected)
        counts[entry["split"]] += high.shape[1] * high.shape[2]
    return counts


def part(top: int, left: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of `numbered` (B, h, w) from a row and a column on."""
    band, row, col = np.ogrid[: shape[0], top : top + shape[1], left : left + shape[2]]
    return ((row * 31 + col * 57 + band * 101) % 9973 + 1).astype(np.float32)


def test_chikusei(tmp_path: Path) -> None:
    write_mat73(tmp_path / "HyperspecVNIR_Chikusei.mat", "chikusei", (2517, 2335, 128))
    patches, mebibytes = prepared("chikusei", tmp_path, tmp_path / "run")
    # chikusei(107:2410,144:2191,:); the corners lie outside and do not count
    assert patches.peak == 9973
    assert require_pixels(patches, (106, 143)) == {
        "train": 1600 * 2048,
        "validation": 176 * 2048,
        "test": 512 * 2048,
    }
    assert [high.shape for _, high in patches.blocks("test")] == [(128, 512, 512)] * 4
    # the crop alone would take 2304
    assert mebibytes < 1000


@pytest.mark.parametrize("version", [5, 7.3])
def test_pavia_centre(tmp_path: Path, version: float) -> None:
    if version == 5:
        write_mat5(tmp_path / "Pavia.mat", "pavia", numbered(1096, 715, 102))
    else:
        write_mat73(tmp_path / "Pavia.mat", "pavia", (1096, 715, 102))
        with h5py.File(tmp_path / "Pavia.mat", "r+") as file:
            corners = part(0, 0, (102, 1096, 715)).transpose(0, 2, 1)
            for col in (0, 714):
                file["pavia"][:, col, 0] = corners[:, col, 0]
                file["pavia"][:, col, 1095] = corners[:, col, 1095]
    patches, _ = prepared("pavia-centre", tmp_path, tmp_path / "run")
    assert patches.peak == 8000
    counts = require_pixels(patches, (0, 0))
    # 475 columns train, 472 of them in low-resolution pixels
    assert counts == {"train": 968 * 472, "validation": 112 * 472, "test": 4 * 224 * 224}


def test_houston18(tmp_path: Path) -> None:
    write_mat73(tmp_path / "Houston2018.mat", "houston", (1202, 4172, 48))
    patches, _ = prepared("houston18", tmp_path, tmp_path / "run")
    assert patches.peak == 60_000
    tests = [high for _, high in patches.blocks("test")]
    for number, image in enumerate(tests):
        expected = part(0, 256 * number, (48, 256, 256))
        expected[:, 0, 0] = 60_000 if number == 0 else expected[:, 0, 0]
        np.testing.assert_array_equal(image, expected)
    assert len(tests) == 8


def test_cave(tmp_path: Path) -> None:
    plan = protocol.load("cave").plan
    assert plan is not None
    for number, name in enumerate(plan.scenes):
        scene = numbered(512, 512, 31) + np.uint16(number)
        in_bytes = name == "watercolors_ms"
        write_bands(tmp_path, name, (scene % 256).astype(np.uint8) if in_bytes else scene)
    patches, _ = prepared("cave", tmp_path, tmp_path / "run")
    assert patches.peak == 65535
    splits = {
        split: sorted({e["scene"] for e in patches.manifest["blocks"] if e["split"] == split})
        for split in ("train", "validation", "test")
    }
    names = [f"{name}_01.png" for name in sorted(plan.scenes)]
    assert (splits["train"], splits["validation"], splits["test"]) == (
        names[:18],
        names[18:20],
        names[20:],
    )
    for entry in patches.manifest["blocks"]:
        window, number = entry["window"], names.index(entry["scene"])
        high = np.load(patches.folder / entry["high"], allow_pickle=False)
        expected = part(window["row"], window["col"], high.shape) + number
        if entry["scene"].startswith("watercolors"):
            np.testing.assert_allclose(high / 65535, expected % 256 / 255, rtol=1e-6)
        else:
            np.testing.assert_array_equal(high, expected)


def test_arad1k(tmp_path: Path) -> None:
    small = tmp_path / "small"
    write_mat73(small, "cube", (482, 512, 31))
    for number in range(1, 951):
        (tmp_path / f"ARAD_1K_{number:04d}.mat").symlink_to(small)
    (dataset,) = protocol.datasets(protocol.load("arad1k"), tmp_path, 4)
    images = [(image.spec.shape, image.files[0].name) for image in dataset.tests()]
    assert images == [((31, 480, 512), f"ARAD_1K_{n:04d}.mat") for n in range(901, 951)]
    assert dataset.peak().value() == 1
