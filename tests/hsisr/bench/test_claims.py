from __future__ import annotations

import subprocess
import sys
from threading import Thread

import pytest

from hsisr.bench.claims import alone, claimed, once, sharing
from hsisr.errors import OutputError

HOLD = """
import sys
from pathlib import Path
from hsisr.bench.claims import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""
SHARE = HOLD.replace("claimed", "sharing").replace("print(mine", "print(mine is None")


def _holder(target, program=HOLD):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_another_process_has_claimed_is_free_when_it_is_killed(tmp_path):
    target = tmp_path / "made" / "later"
    with _holder(target) as process:
        assert process.stdout.readline() == "True\n"
        with claimed(target) as mine:
            assert not mine
        process.kill()
        process.wait()
        with claimed(target) as mine:
            assert mine


def test_nothing_is_cleared_under_others_until_they_end_or_are_killed(tmp_path):
    cleared = []
    with _holder(tmp_path, SHARE) as process:
        assert process.stdout.readline() == "True\n"
        with sharing(tmp_path):
            pass
        refused = pytest.raises(OutputError, match="others are at work")
        with refused as caught, sharing(tmp_path, lambda: cleared.append("results")):
            pass
        assert "without --overwrite" in caught.value.hint
        assert cleared == []
        process.kill()
        process.wait()
    # who comes later shares the work
    with sharing(tmp_path, lambda: cleared.append("results")), sharing(tmp_path):
        assert cleared == ["results"]


def test_claims_on_different_things_do_not_hinder_each_other(tmp_path):
    with claimed(tmp_path / "one") as one, claimed(tmp_path / "two") as two:
        assert one
        assert two


def test_who_wants_it_alone_waits_until_another_has_left_it(tmp_path):
    order = []

    def second():
        with alone(tmp_path / "one"):
            order.append("second")

    waiting = Thread(target=second)
    with claimed(tmp_path / "one"):
        waiting.start()
        waiting.join(0.3)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_it_is_made_once_and_found_by_who_has_waited(tmp_path):
    made = []

    def make():
        yield
        made.append("result")
        return "result"

    def find():
        return made[0] if made else None

    first, second = (once(tmp_path / "target", find, make) for _ in range(2))
    next(first)
    # the second finds it claimed, waits, and makes nothing
    next(second)
    assert _returned(first) == "result"
    assert _returned(second) == "result"
    assert made == ["result"]


def _returned(generator):
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value
