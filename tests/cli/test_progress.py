"""How far work is, told to people and to programs."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading

import pytest

from hsisr.cli import _shared as shared
from hsisr.cli import main
from tests.cli.conftest import environment

QUICK = ("--model", "bicubic", "--scale", "2", "--no-quicklook", "--tile", "4")


@pytest.fixture
def manner():
    """Chooses how much is said, for one test."""
    yield shared.choose_manner
    shared.choose_manner(False, None)


def _shown(capsys, total, **more):
    list(shared.progress(range(total), total + more.get("already", 0), "going", **more))
    return capsys.readouterr().err.splitlines()


def test_a_log_has_one_line_per_five_percent(capsys):
    lines = _shown(capsys, 1000)
    percents = [int(re.fullmatch(r"going +(\d+)%, .* left", line)[1]) for line in lines]
    assert percents == list(range(5, 100, 5))


def test_a_log_of_few_steps_has_one_line_each(capsys):
    assert [line[:10] for line in _shown(capsys, 4)] == ["going  25%", "going  50%", "going  75%"]
    assert _shown(capsys, 1) == []
    assert _shown(capsys, 0) == []


def test_what_was_done_already_is_not_shown_again_and_not_timed(capsys, manner):
    lines = _shown(capsys, 100, already=900)
    assert [line[:10] for line in lines] == ["going  95%"]
    manner(False, "json")
    records = [json.loads(line) for line in _shown(capsys, 100, already=900)]
    assert [record["done"] for record in records] == [900, *range(910, 1001, 10)]
    assert records[0]["left_s"] is None
    for record in records[1:]:
        pace = record["elapsed_s"] / (record["done"] - 900)
        assert record["left_s"] == pytest.approx(pace * (1000 - record["done"]), abs=0.2)


def test_steps_may_say_themselves_how_far_they_are(capsys, manner):
    manner(False, "json")
    list(shared.progress([3, 10], 10, "two", done=lambda item: item))
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(record["done"], record["fraction"]) for record in records] == [
        (0, 0.0),
        (3, 0.3),
        (10, 1.0),
    ]


def test_every_record_is_an_object_with_the_same_keys(world, tmp_path, capsys):
    command = ["--progress", "json", "upscale", str(world.header), *QUICK, "-o", str(tmp_path)]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    records = [record for line in lines if (record := json.loads(line))["label"] == "upscaling"]
    keys = ["label", "done", "total", "fraction", "elapsed_s", "left_s"]
    assert all(list(record) == keys for record in records)
    assert records[-1]["done"] == records[-1]["total"] == 128 * 96
    assert [record["done"] for record in records] == sorted({record["done"] for record in records})


def test_without_progress_the_rest_is_told(world, tmp_path, capsys):
    command = ["--progress", "none", "upscale", str(world.header), *QUICK, "-o", str(tmp_path)]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "% " not in said
    assert "wrote " in said


def test_quiet_is_silent_where_nothing_is_wrong(world, tmp_path, capsys):
    command = ["upscale", str(world.header), *QUICK, "-o", str(tmp_path)]
    assert main(["--quiet", *command]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["-q", *command, "--tta"]) == 5
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert hint == "  hint: add --overwrite to replace it"


def test_quiet_lets_warnings_and_asked_for_progress_through(capsys, manner):
    manner(True, None)
    shared.say("unheard")
    shared.warn("heard")
    assert capsys.readouterr().err == "warning: heard\n"
    assert _shown(capsys, 2) == []
    manner(True, "json")
    assert len(_shown(capsys, 2)) == 3


def test_results_on_stdout_are_not_quiet(world, capsys):
    assert main(["--quiet", "info", str(world.header), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bands"] == 24


def test_an_unknown_progress_is_a_usage_error(world, capsys):
    assert main(["--progress", "loud", "info", str(world.header)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: no progress 'loud'",
        "  hint: one of auto, json, none",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_time_left():
    # colours and widths are the terminal's affair
    code = "from hsisr.cli import _shared as s\nlist(s.progress(range(9), 12, 'going', already=3))"
    ours, theirs = pty.openpty()
    variables = {**environment(), "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=variables) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown).decode()
    assert "going" in text
    assert "12/12" in text
    assert re.search(r"\d:\d\d:\d\d", text)


def test_outside_the_main_thread_signals_are_left_alone():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    found = []

    def work():
        with shared.stoppable("a hint") as stopper:
            found.extend(stopper.heeded(range(3)))
            found.append([signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0, 1, 2, True]
