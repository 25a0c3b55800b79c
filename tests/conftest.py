"""What many tests share: the folder of real scenes, where there is one, and small made-up cubes."""

from __future__ import annotations

import os

# tests run side by side: torch must not start a thread per core in each of them
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# how long an example takes depends on what else the machine has to do
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=8, help="how often a running `hsisr upscale` is killed"
    )


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """The path of a real scene; the test is skipped where the scenes are not at hand."""

    def path(relative: str) -> Path:
        found = SHARED / relative
        if not found.exists():
            pytest.skip(f"no real scenes beside the repository ({relative})")
        return found

    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
