"""A folder is a registry: what lies in it is found, and nothing else is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hsisr_models
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.metrics import SHELF as METRICS
from hsisr_models.shelf import Shelf
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

SHELVES = [NETWORKS, METHODS, LOSSES, METRICS]
ROOT = Path(hsisr_models.__file__).parent


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.name)
def test_every_public_file_of_the_folder_is_an_entry(shelf: Shelf[ModuleType]) -> None:
    files = {path.stem for path in (ROOT / shelf.name).glob("*.py")}
    public = {name for name in files if not name.startswith("_")}
    assert public
    assert list(shelf) == sorted(public)
    for name in shelf:
        assert name in shelf
        assert shelf[name].__name__ == f"hsisr_models.{shelf.name}.{name}"


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("unmixing_rs", "did you mean 'unmixing_sr'"),
        ("zzz", "known: aedpcn, bicubic, "),
        ("__init__", "known"),
        ("_strips", "known"),
        ("../blocks", ""),
        ("os", ""),
        ("", ""),
    ],
)
def test_what_is_no_entry_is_refused_with_the_nearest_name(entry: str, hint: str) -> None:
    assert entry not in NETWORKS
    with pytest.raises(LookupError) as caught:
        NETWORKS[entry]
    assert hint in str(caught.value)


def test_listing_imports_neither_torch_nor_the_entries() -> None:
    program = (
        "import sys; from hsisr_models.sr import SHELF; from hsisr_models.losses import SHELF as L;"
        "print(list(SHELF), list(L), 'torch' in sys.modules,"
        " any(m.startswith('hsisr_models.sr.') for m in sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT.parent)},
    )
    assert ended.stdout.strip() == f"{list(NETWORKS)} {list(LOSSES)} False False"
