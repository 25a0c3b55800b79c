from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_imports_only_go_down(root):
    pytest.importorskip("importlinter", reason="import-linter comes with the extra dev")
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "models")])},
    )
    assert ended.returncode == 0, ended.stdout
    assert "8 kept, 0 broken" in ended.stdout
