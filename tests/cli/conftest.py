"""A scene whose materials are known, models trained on it in seconds, and a way to run commands."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hsisr.cli import main

ROOT = Path(__file__).resolve().parents[2]
ROWS, COLS, BANDS, MATERIALS, SCALE = 64, 48, 24, 3, 2
FILL, FACTOR = -9999, 10_000
WAVELENGTHS = np.linspace(450, 2350, BANDS).round(1)
HOLE = (slice(0, 3), slice(0, 5))
"""Rows and columns without data."""

HEADER = f"""ENVI
description = {{a made-up scene}}
samples = {COLS}
lines = {ROWS}
bands = {BANDS}
header offset = 0
file type = ENVI Standard
data type = 2
interleave = bil
byte order = 0
data ignore value = {FILL}
reflectance scale factor = {FACTOR}
map info = {{UTM, 1, 1, 500000, 4100000, 30, 30, 11, North, WGS-84, units=Meters}}
wavelength units = Nanometers
wavelength = {{{", ".join(map(str, WAVELENGTHS))}}}
fwhm = {{{", ".join(["10"] * BANDS)}}}
sensor serial = 17
"""


@dataclass(frozen=True)
class World:
    """What the commands start from; nothing in it may change."""

    header: Path
    data: Path
    run: Path
    """Prepared, with both models."""
    spectra: NDArray[np.float32]
    """The true endmembers (materials, bands)."""
    abundances: NDArray[np.float32]
    """(materials, rows, cols)."""

    @property
    def model(self) -> Path:
        return self.run / "sr" / "model.safetensors"

    @property
    def unmixer(self) -> Path:
        return self.run / "unmix" / "model.safetensors"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        """The line that tells the error."""
        return next((line for line in self.err.splitlines() if line.startswith("error: ")), "")


Hsisr = Callable[..., Ended]


def mixed(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smooth spectra (materials, bands) and smooth abundances (materials, rows, cols)."""
    rng = np.random.default_rng(seed)
    spectra = gaussian_filter(rng.uniform(0, 1, (MATERIALS, BANDS)), (0, 3))
    spectra = 0.1 + 0.6 * (spectra - spectra.min()) / np.ptp(spectra)
    fields = gaussian_filter(rng.normal(size=(MATERIALS, ROWS, COLS)), (0, 2, 2))
    shares = np.exp(3 * fields / fields.std())
    return spectra.astype(np.float32), (shares / shares.sum(0)).astype(np.float32)


def stored(spectra: NDArray[np.float32], abundances: NDArray[np.float32]) -> NDArray[np.int16]:
    """The scene (bands, rows, cols) as its file holds it."""
    values = np.einsum("pb,phw->bhw", spectra, abundances)
    numbers = np.rint(values * FACTOR).astype("<i2")
    numbers[:, *HOLE] = FILL
    return numbers


def write_scene(folder: Path, numbers: NDArray[np.int16], header: str, name: str) -> Path:
    """An ENVI pair, written without the tool; returns its header."""
    (folder / f"{name}.img").write_bytes(numbers.transpose(1, 0, 2).tobytes())
    (folder / f"{name}.hdr").write_text(header)
    return folder / f"{name}.hdr"


def options_for(command: str) -> list[str]:
    """What makes a command quick: one thread, and trainings of a second."""
    if command not in ("train-unmix", "train-sr", "upscale", "unmix", "evaluate", "demo"):
        return []
    threads = ["--threads", "1"]
    if command == "demo":
        return threads
    if not command.startswith("train"):
        return [*threads, "--precision", "fp32"]
    step = command.removeprefix("train-")
    numbers = ["training.steps=4", "numbers.width=8", "numbers.depth=1"]
    numbers += ["initialise=vca"] if step == "unmix" else []
    settings = [part for number in numbers for part in ("--set", f"{step}.{number}")]
    return [*threads, "--precision", "fp32", *settings]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    spectra, abundances = mixed()
    header = write_scene(folder, stored(spectra, abundances), HEADER, "scene")
    run = folder / "run"
    for command, *rest in (
        ("prepare", header, "--scale", SCALE, "-o", run),
        ("train-unmix", run, "--endmembers", MATERIALS, "--epochs", 1),
        ("train-sr", run, "--epochs", 1),
    ):
        assert main([command, *options_for(command), *map(str, rest)]) == 0
    return World(header, folder / "scene.img", run, spectra, abundances)


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., Path]:
    """Writes a scene like the world's under another name, with changes; returns its header.

    `numbers` (bands, rows, cols) replace the samples, and every further keyword a line of the
    header: `byte_order="7"`, or None to leave the line out.
    """

    def make(
        name: str = "mine", numbers: NDArray[np.int16] | None = None, **changes: str | None
    ) -> Path:
        numbers = stored(*mixed()) if numbers is None else numbers
        bands, rows, cols = numbers.shape
        sizes = {"samples": cols, "lines": rows, "bands": bands}
        lines = []
        for line in HEADER.splitlines():
            key = line.partition("=")[0].strip()
            value = changes.get(key.replace(" ", "_"), sizes.get(key, ""))
            if value is not None:
                lines.append(f"{key} = {value}" if value != "" else line)
        return write_scene(tmp_path, numbers, "\n".join(lines) + "\n", name)

    return make


@pytest.fixture(autouse=True)
def the_world_stays_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    if "world" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("world").header.parent
    before = hashes(folder)
    yield
    assert hashes(folder) == before


def hashes(folder: Path) -> dict[str, str]:
    """The content of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def hsisr(capsys: pytest.CaptureFixture[str]) -> Hsisr:
    """Runs a command in this process, quickly, and checks what holds for every command."""

    def run(*parts: object) -> Ended:
        command, *rest = map(str, parts)
        arguments = [command, *options_for(command), *rest]
        inputs = {path: path.read_bytes() for path in map(Path, arguments) if path.is_file()}
        code = main(arguments)
        said = capsys.readouterr()
        ended = Ended(code, said.out, said.err)
        for text in (said.out, said.err):
            assert "Traceback" not in text
            assert all(char.isprintable() for char in text.replace("\n", ""))
        if code:
            assert ended.first, said.err
        assert all(path.read_bytes() == content for path, content in inputs.items())
        return ended

    return run


@pytest.fixture
def spawned() -> Iterator[Callable[[Sequence[object]], subprocess.Popen[str]]]:
    """Starts commands in processes of their own; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(parts: Sequence[object]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hsisr", *map(str, parts)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def environment() -> dict[str, str]:
    """Of a process that finds the tool as this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "models")])}


@pytest.fixture
def run_copy(world: World, tmp_path: Path) -> Path:
    """A run folder that may be written to."""
    return Path(shutil.copytree(world.run, tmp_path / "run"))
