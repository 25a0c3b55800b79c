"""Devices and precisions as users name them, and what running out of memory looks like."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from hsisr.errors import OutputError, UsageError
from hsisr.runtime import (
    PRECISIONS,
    Runtime,
    choose,
    explained,
    is_out_of_memory,
    limit_threads,
    single_threaded,
)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_processor_is_always_there(precision: str) -> None:
    runtime = choose("cpu", precision)
    assert runtime.device == torch.device("cpu")
    expected = {"fp32": {torch.float32}, "bf16": {torch.bfloat16}}
    assert runtime.dtype in expected.get(precision, {torch.float32, torch.bfloat16})
    assert runtime.description in ("cpu fp32", "cpu bf16")


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose("auto", "fp32").device.type == expected


@pytest.mark.parametrize(
    ("device", "what"),
    [
        ("gpu", "no device 'gpu'"),
        ("", "no device ''"),
        ("cuda:99", "is not there"),
        ("meta", "is not supported"),
        ("mps", "is not supported"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        choose(device, "auto")
    assert "cpu" in str(caught.value.hint)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="no precision 'fp16'"):
        choose("cpu", "fp16")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolutions_run_in_the_precision_that_was_chosen(dtype: torch.dtype) -> None:
    runtime = Runtime(torch.device("cpu"), dtype)
    layer = torch.nn.Conv2d(2, 2, 1)
    with runtime.precision():
        assert layer(torch.rand(1, 2, 3, 3)).dtype == dtype
    assert layer(torch.rand(1, 2, 3, 3)).dtype == torch.float32


def test_threads_are_limited_to_what_was_asked() -> None:
    before = torch.get_num_threads()
    try:
        limit_threads(2)
        assert torch.get_num_threads() == 2
        with single_threaded():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        limit_threads(None)
        assert torch.get_num_threads() == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(before)


def test_every_kind_of_running_out_of_memory_is_recognised() -> None:
    causes = [
        lambda: torch.empty(1 << 46),
        lambda: np.empty(1 << 60, np.uint8),
        lambda: bytes(1 << 60),
        lambda: (_ for _ in ()).throw(MemoryError),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("on the device")),
        lambda: (_ for _ in ()).throw(RuntimeError("could not create a primitive")),
        lambda: (_ for _ in ()).throw(RuntimeError("can't start new thread")),
    ]
    for cause in causes:
        with (
            pytest.raises(OutputError, match=r"not enough memory: \S") as caught,
            explained("less"),
        ):
            cause()
        assert caught.value.hint == "less"


def test_other_errors_pass_as_they_are() -> None:
    for error in (RuntimeError("size mismatch"), ValueError("x")):
        assert not is_out_of_memory(error)
        with pytest.raises(type(error)), explained("less"):
            raise error
