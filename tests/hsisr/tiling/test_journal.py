"""What is done of a run, told to whoever goes on with it, alone or among others."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from hsisr.errors import Interrupted, OutputError, UsageError
from hsisr.tiling.journal import Journal, Share, Unkept, begun_in, clear

FORK = multiprocessing.get_context("fork")
BEGUN = {"input": [{"file": "scene.img", "bytes": 12}], "scale": 2, "shape": (3, 4, 5)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "scene_x2.journal"


def journal(folder: Path, share: str = "1/1", **changes: Any) -> Journal:
    overwrite = changes.pop("overwrite", False)
    return Journal(folder, BEGUN | changes, Share.parse(share), overwrite=overwrite)


@contextmanager
def elsewhere(job: Callable[[Connection], None]) -> Iterator[tuple[Connection, Any]]:
    """Run `job` in a process of its own, which has ended afterwards."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=job, args=(there,))
    process.start()
    try:
        yield here, process
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_row_belongs_to_one_share(count: int) -> None:
    shares = [Share.parse(f"{i}/{count}") for i in range(1, count + 1)]
    for row in range(50):
        assert sum(share.holds(row) for share in shares) == 1
    rows = [sum(share.holds(row) for row in range(50)) for share in shares]
    assert max(rows) - min(rows) <= 1


@pytest.mark.parametrize("text", ["", "x", "0/3", "4/3", "1", "1/", "/2", "-1/2", "1/2/3", "1.0/2"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no share") as told:
        Share.parse(text)
    assert "--shard 1/4" in str(told.value.hint)


def test_what_is_committed_outlives_the_run(folder: Path) -> None:
    with journal(folder) as first:
        first.note(range(4), clipped=3)
        first.note(range(8, 10), clipped=0)
        assert first.done() == set()
        first.commit()
        first.note(range(20, 30), clipped=9)
    with journal(folder) as second:
        assert second.done() == {0, 1, 2, 3, 8, 9}
        assert second.clipped() == 3


def test_shares_see_what_all_have_done(folder: Path) -> None:
    for share, tiles in (("1/3", range(4)), ("3/3", range(8, 12))):
        with journal(folder, share) as one:
            one.note(tiles, clipped=2)
            one.commit()
    # the number of shares may change
    with journal(folder, "2/2") as other:
        assert other.done() == {*range(4), *range(8, 12)}
        assert other.clipped() == 4


@pytest.mark.parametrize("torn", ["1", "12 1", "12 13 4", "12 13 4\0\0", "\0" * 9])
def test_a_line_that_was_being_written_does_not_count(folder: Path, torn: str) -> None:
    with journal(folder, "1/2") as first, journal(folder, "2/2") as second:
        first.note(range(2), clipped=1)
        first.commit()
        with (folder / "1-of-2.log").open("a") as log:
            log.write(torn)
        assert second.done() == first.done() == {0, 1}
    with journal(folder, "1/2") as again:
        again.note(range(5, 6), clipped=0)
        again.commit()
        assert again.done() == {0, 1, 5}
    assert (folder / "1-of-2.log").read_text() == "0 1 1\n5 5 0\n"


@pytest.mark.parametrize(
    "damaged", [b"garbage 2", b"\xbe\xff", b"3 4", b"3 4 5 6", b"4 9" + b"9" * 20]
)
def test_a_damaged_line_does_not_count(folder: Path, damaged: bytes) -> None:
    with journal(folder) as one:
        one.note(range(3), clipped=5)
        one.commit()
    with (folder / "1-of-1.log").open("ab") as log:
        log.write(damaged + b"\n" + b"7 8 1\n")
    with journal(folder) as again:
        assert again.done() == {0, 1, 2, 7, 8}
        assert again.clipped() == 6


@pytest.mark.parametrize("damaged", ["", "[1]", "[" * 100_000])
def test_a_run_whose_beginning_is_damaged_begins_anew(folder: Path, damaged: str) -> None:
    with journal(folder) as one:
        one.note(range(3), clipped=0)
        one.commit()
    (folder / "run.json").write_text(damaged)
    with journal(folder) as again:
        assert again.done() == set()


def test_what_is_damaged_is_found_out_again_and_nothing_is_done(folder: Path) -> None:
    with journal(folder) as one:
        one.once("plan", lambda: {"a": torch.ones(1)})
        one.note(range(3), clipped=0)
        one.commit()
    plan = folder / "plan.safetensors"
    plan.write_bytes(plan.read_bytes()[:-2])
    with journal(folder) as again:
        assert again.once("plan", lambda: {"a": torch.zeros(1)})["a"] == 0
        assert again.done() == set()


def test_what_is_found_out_once_stays(folder: Path) -> None:
    calls = []

    def made() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"means": torch.arange(3.0), "covered": torch.tensor(0.1, dtype=torch.float64)}

    with journal(folder) as first:
        found = first.once("survey", made)
        first.note(range(1), clipped=0)
        first.commit()
    with journal(folder) as second:
        again = second.once("survey", made)
    assert len(calls) == 1
    assert found.keys() == again.keys() == {"means", "covered"}
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert again["covered"].item() == 0.1


def test_what_shares_ask_for_at_once_is_found_out_once(folder: Path) -> None:
    noted = folder.with_name("calls")

    def made() -> dict[str, torch.Tensor]:
        with noted.open("a") as calls:
            calls.write("x")
        time.sleep(0.1)
        return {"pid": torch.tensor(os.getpid())}

    def ask(index: int, answers: Connection) -> None:
        with journal(folder, f"{index}/4") as one:
            answers.send(int(one.once("survey", made)["pid"]))
            answers.recv()

    here, there = zip(*(FORK.Pipe() for _ in range(4)), strict=True)
    processes = [FORK.Process(target=ask, args=(i + 1, there[i])) for i in range(4)]
    for process in processes:
        process.start()
    found = {connection.recv() for connection in here}
    for connection, process in zip(here, processes, strict=True):
        connection.send("end")
        process.join()
    assert noted.read_text() == "x"
    assert len(found) == 1


def test_what_could_not_be_found_out_is_asked_for_again(folder: Path) -> None:
    def broken() -> dict[str, torch.Tensor]:
        raise KeyError("survey")

    with journal(folder, "1/2") as one:
        with pytest.raises(KeyError, match="survey"):
            one.once("survey", broken)
        assert one.once("survey", lambda: {"a": torch.ones(1)})["a"] == 1


def test_a_run_that_was_begun_differently_is_not_continued(folder: Path) -> None:
    with journal(folder) as first:
        first.once("survey", lambda: {"a": torch.ones(1)})
        first.note(range(3), clipped=0)
        first.commit()
    changed = [{"file": "scene.img", "bytes": 13}]
    with pytest.raises(OutputError, match="begun differently") as told:
        journal(folder, input=changed, scale=4, more=True)
    assert told.value.exit_code == 5
    assert "scale 2, now 4" in told.value.what
    assert "scene.img: bytes 12, now 13" in told.value.what
    assert "more null, now true" in told.value.what
    assert "shape" not in told.value.what
    assert "--overwrite" in str(told.value.hint)
    with journal(folder) as same:
        assert same.done() == {0, 1, 2}
    with journal(folder, input=changed, overwrite=True) as other:
        assert other.done() == set()
        assert other.once("survey", lambda: {"a": torch.zeros(1)})["a"] == 0
        assert begun_in(folder) == json.loads(json.dumps(BEGUN | {"input": changed}))


def at_work(folder: Path, share: str) -> Callable[[Connection], None]:
    def job(told: Connection) -> None:
        one = journal(folder, share)
        one.note(range(1), clipped=0)
        one.commit()
        told.send("begun")
        told.recv()

    return job


def test_a_run_that_is_at_work_is_neither_joined_nor_forgotten(folder: Path) -> None:
    with elsewhere(at_work(folder, "1/2")) as (told, process):
        assert told.recv() == "begun"
        with pytest.raises(OutputError, match="another run is writing this"):
            journal(folder, "1/2")
        with pytest.raises(OutputError, match="another run is writing this"):
            journal(folder, "2/2", scale=3, overwrite=True)
        with journal(folder, "2/2") as other:
            assert other.done() == {0}
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    # a lock does not outlive the process
    with journal(folder, "1/2") as again:
        assert again.done() == {0}


def test_what_a_kill_left_of_a_finished_run_is_nobodys(folder: Path) -> None:
    with journal(folder) as first:
        first.once("survey", lambda: {"a": torch.ones(1)})
        first.note(range(3), clipped=0)
        first.commit()
    (folder / "run.json").unlink()
    with journal(folder, scale=3) as other:
        assert other.done() == set()
        assert other.once("survey", lambda: {"a": torch.zeros(1)})["a"] == 0


def test_one_of_many_shares_publishes(folder: Path) -> None:
    def close(index: int, answers: Connection) -> None:
        with journal(folder, f"{index}/8") as one:
            answers.send("begun")
            answers.recv()
            one.note(range(index - 1, index), clipped=0)
            one.commit()
            with one.closing(8) as last:
                answers.send((last, folder.exists()))
                time.sleep(0.01)
        answers.send(folder.exists())

    for _ in range(3):
        here, there = zip(*(FORK.Pipe() for _ in range(8)), strict=True)
        processes = [FORK.Process(target=close, args=(i + 1, there[i])) for i in range(8)]
        for process in processes:
            process.start()
        assert {connection.recv() for connection in here} == {"begun"}
        for connection in here:
            connection.send("go")
        answers = [connection.recv() for connection in here]
        for process in processes:
            process.join()
            assert process.exitcode == 0
        assert sum(last for last, _ in answers) == 1
        assert (True, True) in answers
        assert not list(folder.parent.iterdir())


def test_a_share_does_not_publish_while_tiles_are_missing(folder: Path) -> None:
    with journal(folder, "1/2") as one:
        one.note(range(3), clipped=0)
        one.commit()
        with one.closing(4) as last:
            assert not last
    assert begun_in(folder) is not None
    with journal(folder, "2/2") as other:
        other.note(range(3, 4), clipped=0)
        other.commit()
        with other.closing(4) as last:
            assert last
        assert not folder.exists()
    assert not list(folder.parent.iterdir())


def test_shares_without_tiles_are_waited_for(folder: Path) -> None:
    for index, tiles in ((3, 0), (1, 4), (4, 0), (2, 0)):
        with journal(folder, f"{index}/4") as one:
            if tiles:
                one.note(range(tiles), clipped=0)
            one.commit()
            with one.closing(4) as last:
                assert last == (index == 2)
    assert not list(folder.parent.iterdir())


def test_shares_that_are_still_at_work_are_waited_for(folder: Path) -> None:
    with journal(folder, "1/2") as one, journal(folder, "2/2") as other:
        one.note(range(4), clipped=0)
        one.commit()
        with one.closing(4) as last:
            assert not last
        with other.alone():
            assert other.done() == {0, 1, 2, 3}
        with other.closing(4) as last:
            assert last
    assert not list(folder.parent.iterdir())


def test_a_publication_that_fails_keeps_what_is_done(folder: Path) -> None:
    with journal(folder) as one:
        one.note(range(4), clipped=0)
        one.commit()
        with pytest.raises(FileNotFoundError, match="target"), one.closing(4):
            raise FileNotFoundError("target")
    with journal(folder) as again:
        assert again.done() == {0, 1, 2, 3}


def test_a_share_whose_run_is_gone_is_told(folder: Path) -> None:
    with journal(folder, "2/2") as late:
        shutil.rmtree(folder)
        with pytest.raises(OutputError, match="removed while the run was at work"), late.alone():
            raise AssertionError
        with pytest.raises(OutputError, match="removed while the run was at work"):
            late.once("survey", lambda: {"a": torch.ones(1)})
        with pytest.raises(OutputError, match="removed while the run was at work"), late.closing(4):
            raise AssertionError
    assert not list(folder.parent.iterdir())


def test_nothing_is_left_of_a_run_in_which_nothing_was_done(folder: Path) -> None:
    for share in ("1/1", "2/3"):
        with suppress(Interrupted), journal(folder, share) as one:
            one.once("survey", lambda: {"a": torch.ones(1)})
            assert one.worthless
            raise Interrupted("stopped")
        assert not list(folder.parent.iterdir())


def test_a_run_that_may_not_join_leaves_the_journal_of_the_others(folder: Path) -> None:
    with journal(folder, "1/2") as one:
        with suppress(Interrupted), journal(folder) as alone:
            assert not alone.worthless
            raise Interrupted("refused")
        assert begun_in(folder) is not None
        one.note(range(1), clipped=0)
        one.commit()
    with journal(folder, "1/2") as again:
        assert again.done() == {0}


def test_what_was_written_to_a_lost_file_is_forgotten(folder: Path) -> None:
    for share in ("1/2", "2/2"):
        with journal(folder, share) as one:
            one.note(range(3), clipped=1)
            one.commit()
    with journal(folder, "1/2") as again, again.alone():
        again.forget()
        assert again.done() == set()
        assert again.clipped() == 0


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match="cannot write"):
        journal(tmp_path / "taken")
    with pytest.raises(OutputError, match="cannot write"):
        journal(tmp_path / "missing" / "folder")


def test_a_run_that_is_not_kept_notes_only_what_was_clipped() -> None:
    with Unkept() as one, one.alone():
        one.note(range(4), clipped=3)
        one.note(range(4, 5), clipped=2)
        one.commit()
        assert (one.done(), one.clipped(), one.worthless) == (set(), 5, True)
        with one.closing(5) as last:
            assert last


def test_only_the_folder_of_this_run_is_cleared_and_only_if_nobody_is_at_it(folder: Path) -> None:
    with journal(folder, "1/2"):
        clear(folder, BEGUN)
        assert folder.exists()
    clear(folder, BEGUN | {"scale": 3})
    assert folder.exists()
    clear(folder, BEGUN)
    assert not folder.exists()
