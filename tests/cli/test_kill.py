from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_killed_run_is_continued_to_the_same_result(request):
    kills = str(request.config.getoption("--kills"))
    ended = subprocess.run(
        [sys.executable, Path(__file__).with_name("kill_loop.py"), "--count", kills],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{kills} kills, all continued")
