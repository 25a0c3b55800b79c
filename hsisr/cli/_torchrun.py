"""This process among those that torchrun started: its rank, its share, its device."""

from __future__ import annotations

import os

from hsisr.errors import UsageError

_VARIABLES = {"RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return os.environ.keys() >= _VARIABLES and os.environ["WORLD_SIZE"] != "1"


def share() -> str | None:
    """The share of this process as `--shard` writes it; None without torchrun."""
    if not launched():
        return None
    return f"{int(os.environ['RANK']) + 1}/{os.environ['WORLD_SIZE']}"


def placed(device: str, threads: int | None) -> tuple[str, int | None]:
    """The device and threads of this process: each takes a GPU, or its part of the cores.

    Raises `UsageError` if `device` names a single GPU for all of them.
    """
    if not launched():
        return device, threads
    cores = len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"])
    return _device_of(int(os.environ["LOCAL_RANK"]), device), threads or max(1, cores)


def _device_of(rank: int, device: str) -> str:
    """The device of a process by its rank on this machine."""
    import torch

    if device.startswith("cuda:"):
        raise UsageError(f"--device {device} is one GPU for several", hint="--device cuda")
    wanted = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return f"cuda:{rank}" if wanted else device
