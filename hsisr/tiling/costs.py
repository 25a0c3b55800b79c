"""What it costs to compute something: memory and floating-point operations."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"
_KIB = 1024


class Memory:
    """How much memory is taken at most, beyond what was in use when this was made.

    On a CPU that is the resident memory of the process, on a GPU what torch has allocated there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before: int | None = torch.cuda.memory_allocated(device)
        else:
            self._before = _resident() if _forget_peak() else None

    def peak(self) -> int | None:
        """Bytes; None where the system does not tell."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return _status("VmHWM") - self._before


def operations(compute: Callable[[], None]) -> int:
    """Floating-point operations of the convolutions and matrix products in `compute`.

    Those of attention are among them; a multiplication and an addition are two.
    """
    counted = _Counted()
    with counted:
        compute()
    return counted.operations


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what this thread computes within."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: int = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self.operations += int(count(*args, **kwargs, out_val=result))
        elif "convolution" in function.__name__:  # a library's own, which torch does not count
            self.operations += 2 * result.numel() * args[1][0].numel()
        return result


def _forget_peak() -> bool:
    """Let the system forget how much memory this process has had; whether it can."""
    try:
        # what was freed but kept would hide what is taken from it
        ctypes.CDLL(None).malloc_trim(0)
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
    except (OSError, AttributeError):
        return False
    return True


def _resident() -> int:
    return _status("VmRSS")


def _status(key: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * _KIB
