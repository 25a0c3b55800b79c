"""The parent of the process that decodes a MAT file (see `_mat5_child`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from threading import Timer
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hsisr.errors import InputError, OutputError
from hsisr.files import human_size, require_room
from hsisr.formats._metadata import Value
from hsisr.formats._variables import Variable, printable

_CHILD = Path(__file__).with_name("_mat5_child.py")
# numpy and scipy need 64 MB of data segment to start (measured), other builds may need more
_BASE = 256 * 2**20
# compressed bytes, their inflation and the array live at the same time
_COPIES = 3
_LARGEST = 2**31
"""The format's limit for one variable in bytes."""
_INFLATION = 1032 * 8
"""Deflate's best ratio, and a double that is stored as one byte."""
_SECONDS = 30
_BYTES_PER_SECOND = 20e6
_LONGEST_LINE = 2**24


class Decoder:
    """A process that lists the variables of one file, then extracts some, then ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        memory = _BASE + path.stat().st_size
        self._process = subprocess.Popen(
            # -P: the folder of the script must not offer its modules as top-level ones
            [sys.executable, "-P", "-W", "ignore", str(_CHILD), str(path.absolute()), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def variables(self) -> list[Variable]:
        """Everything the file holds; raises `InputError` if that cannot be told."""
        found = self._answer(self._path.stat().st_size)
        return [Variable(name, tuple(shape), kind) for name, shape, kind in found]

    def extract(
        self, cube: Variable, dtype: np.dtype[Any], metadata: Mapping[str, Variable]
    ) -> tuple[NDArray[Any], dict[str, Value]]:
        """The array of `cube` as a read-only map of a nameless file, and the metadata by key."""
        size = prod(cube.shape) * dtype.itemsize
        self._require_plausible(cube, size)
        with tempfile.TemporaryDirectory(prefix="hsisr-") as folder:
            target = Path(folder) / "cube.npy"
            require_room(target, size)
            names = {key: variable.name for key, variable in metadata.items()}
            self._request(cube.name, names, target, _BASE + _COPIES * size)
            found = self._answer(size)
            # the map outlives the name, so nothing is left behind however this process ends
            stored = np.load(target, mmap_mode="r", allow_pickle=False)
        if stored.shape != cube.shape:
            raise self._undecodable(f"{cube} turned out to have the shape {stored.shape}")
        values = {key: v if isinstance(v, str) else tuple(v) for key, v in found.items() if v}
        return stored, values

    def _require_plausible(self, cube: Variable, size: int) -> None:
        if size > min(_LARGEST, self._path.stat().st_size * _INFLATION):
            raise InputError(
                f"variable {cube} declares {human_size(size)}, more than this file can hold",
                where=self._path,
            )
        if size > _available_memory() / 2:
            raise OutputError(
                f"not enough memory to decode {cube}: it takes {human_size(size)}",
                where=self._path,
                hint="save it with -v7.3 in MATLAB; such files are read in pieces",
            )

    def _request(self, cube: str, metadata: dict[str, str], target: Path, memory: int) -> None:
        request = {"cube": cube, "metadata": metadata, "target": str(target), "memory": memory}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._undecodable(self._fate()) from None

    def _answer(self, size: int) -> Any:
        assert self._process.stdout is not None
        watchdog = Timer(_SECONDS + size / _BYTES_PER_SECOND, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline(_LONGEST_LINE)
            answer = json.loads(line)
        except ValueError:
            raise self._undecodable(self._fate()) from None
        finally:
            watchdog.cancel()
        if "error" in answer:
            raise self._undecodable(printable(answer["error"]))
        return answer["result"]

    def _fate(self) -> str:
        self._process.kill()
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "the decoder was stopped, it took too long or too much memory"
        return (
            f"the decoder ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}"
        )

    def _undecodable(self, reason: str) -> InputError:
        return InputError(
            f"could not be decoded: {reason}",
            where=self._path,
            hint="the file may be damaged; load it in MATLAB and save the scene again with -v7.3",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _available_memory() -> int:
    try:
        with Path("/proc/meminfo").open() as lines:
            found = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return found["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
