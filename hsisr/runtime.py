"""The machine: device, precision, threads, and what its errors mean."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from hsisr.errors import OutputError, UsageError, require_known

PRECISIONS = ("auto", "fp32", "bf16")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MADV_HUGEPAGE = 14
_KEPT, _LARGE_PAGE = 1 << 30, 1 << 21


@dataclass(frozen=True)
class Runtime:
    """Where and in which precision networks run."""

    device: torch.device
    dtype: torch.dtype
    """float32 or bfloat16."""

    @property
    def is_reduced(self) -> bool:
        """Whether it computes in less than float32."""
        return self.dtype != torch.float32

    @property
    def exact(self) -> Runtime:
        """The same in float32."""
        return replace(self, dtype=torch.float32)

    @property
    def description(self) -> str:
        """The device and precision in words."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        return " ".join(part for part in (str(self.device), name, self.precision_name) if part)

    @property
    def precision_name(self) -> str:
        """One of `PRECISIONS`."""
        return "bf16" if self.is_reduced else "fp32"

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Convolutions in this runtime's precision, everything delicate in float32."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_reduced):
            yield


def choose(device: str, precision: str) -> Runtime:
    """The runtime for options as a user writes them.

    `auto` takes a GPU if there is one, and bfloat16 where it is computed natively. Raises
    `UsageError` for a device that is not there.
    """
    chosen = _device(device)
    require_known("precision", precision, PRECISIONS)
    reduced = precision == "bf16" or (precision == "auto" and _native_bf16(chosen))
    return Runtime(chosen, torch.bfloat16 if reduced else torch.float32)


def choose_all(devices: str, precision: str) -> list[Runtime]:
    """The runtimes for several devices, separated by commas; raises as `choose`."""
    return [choose(device, precision) for device in devices.split(",")]


def limit_threads(threads: int | None) -> int:
    """Use so many processor cores; all that this process may use where None. Returns how many."""
    count = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    _keep_memory()
    return count


@contextmanager
def single_threaded() -> Iterator[None]:
    """Compute with one thread within.

    Several gain little on small images, and wait for each other where the machine is busy.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _keep_memory() -> None:
    """Ask the C library not to return freed memory to the system, and the system for large pages.

    Large temporaries that are handed back and faulted in again cost as much as the arithmetic;
    small pages, to be looked up one by one, a tenth of it.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):  # not glibc
        return
    library.mallopt(_M_MMAP_THRESHOLD, _KEPT)
    library.mallopt(_M_TRIM_THRESHOLD, _KEPT)
    # the arenas of threads cannot hold large blocks, whatever the thresholds
    library.mallopt(_M_ARENA_MAX, 1)
    # what follows is taken from this block, of which nothing is used yet
    size = _KEPT - _LARGE_PAGE
    library.malloc.restype = ctypes.c_void_p
    start = library.malloc(ctypes.c_size_t(size))
    if start is not None:
        first = ctypes.c_void_p(start + -start % _LARGE_PAGE)
        library.madvise(first, ctypes.c_size_t(size - _LARGE_PAGE), _MADV_HUGEPAGE)
        library.free(ctypes.c_void_p(start))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device '{name}'", hint="auto, cpu, cuda or cuda:1") from error
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise UsageError(f"device '{name}' is not there: {found} GPUs found", hint="--device cpu")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{name}' is not supported", hint="auto, cpu, cuda or cuda:1")
    return device


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _has_avx512_bf16()


def _has_avx512_bf16() -> bool:
    try:
        with open("/proc/cpuinfo") as info:  # noqa: PTH123 - not a file of anyone's
            return "avx512_bf16" in info.read()
    except OSError:
        return False


_SHORTAGES = ("can't allocate memory", "could not create a primitive", "can't start new thread")
"""What the allocator, oneDNN and Python say under a limit such as those of `ulimit`."""


@contextmanager
def explained(advice: str) -> Iterator[None]:
    """Turn running out of memory into an `OutputError` that carries `advice`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = str(error).partition("\n")[0] or type(error).__name__
        raise OutputError(f"not enough memory: {found}", hint=advice) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the device or in the machine.

    torch has a class of its own only for the GPU; its CPU libraries raise a RuntimeError.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SHORTAGES)
