from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_run_killed_between_its_files_is_finished_by_the_same_command():
    ended = subprocess.run(
        [sys.executable, Path(__file__).with_name("cut_off.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("all continued") == 3
