"""The parent's side of `_child`: asks, waits, but not for ever, and explains what came back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import Any, Self

from hsisr.errors import InputError
from hsisr.formats._variables import printable

_CHILD = Path(__file__).with_name("_child.py")
# numpy and scipy need 64 MB of data segment to start (measured); other builds may need more
_MEMORY = 256 * 2**20
_SECONDS = 30
_BYTES_PER_SECOND = 20e6
_LONGEST_ANSWER = 2**24


class Confined:
    """A process that decodes parts of one file; its crash or silence is an `InputError` here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = subprocess.Popen(
            # -P: the folder of the script must not offer its modules as top-level ones
            [sys.executable, "-P", "-W", "ignore", str(_CHILD), str(path.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, task: str, *, size: int, copies: int = 1, **arguments: Any) -> Any:
        """The answer to a task of `_child` that handles `size` bytes, `copies` times in memory."""
        request = {"task": task, "memory": _MEMORY + copies * size, **arguments}
        watchdog = Timer(_SECONDS + size / _BYTES_PER_SECOND, self._process.kill)
        watchdog.start()
        try:
            answer = json.loads(self._exchange(json.dumps(request).encode() + b"\n"))
        except (BrokenPipeError, ValueError):
            raise self.failed(self._fate()) from None
        finally:
            watchdog.cancel()
        if "error" in answer:
            raise self.failed(printable(answer["error"]))
        return answer["result"]

    def _exchange(self, request: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()
        return self._process.stdout.readline(_LONGEST_ANSWER)

    def _fate(self) -> str:
        self._process.kill()
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "the decoder was stopped, it took too long or too much memory"
        name = signal.Signals(-code).name if code < 0 else f"code {code}"
        return f"the decoder ended with {name}"

    def failed(self, reason: str) -> InputError:
        """The error for a file that could not be decoded."""
        return InputError(
            f"could not be decoded: {reason}",
            where=self._path,
            hint="the file may be damaged: open it in the program that wrote it and save it again",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
