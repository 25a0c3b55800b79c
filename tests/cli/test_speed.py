from __future__ import annotations

import json
import signal
import time

import pytest

QUICK = ("--bands", 3, "--scale", 2, "--tile", 6, "--size", "30k", "--repeats", 2)
ONCE = (*QUICK, "--seconds", 0.01, "--threads", 1, "--precision", "fp32")
MODELS = ("--model", "bicubic", "--model", "auto", "--model", "unmixing_sr")


def test_models_are_shown_beside_the_first(hsisr, tmp_path):
    ended = hsisr("speed", *ONCE, *MODELS, "-o", tmp_path)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("convolution ceiling ")
    assert lines[0].endswith(" GFLOP/s")
    tables = [line.split()[0] for line in lines[1:] if line]
    names = ["bicubic", "any-x2", "unmixing_sr"]
    assert tables == ["tiles", *names, "file", *names, "envi"]
    assert lines[3].split()[3] == "1"
    assert not list(tmp_path.iterdir())


def test_all_of_it_as_json(hsisr, tmp_path):
    options = ("--format", "tiff", "--no-halo", "--json", "-o", tmp_path)
    found = json.loads(hsisr("speed", *ONCE, *MODELS, *options).out)
    assert found["schema"] == "hsisr/speed/1"
    assert (found["threads"], found["scale"], found["bands"], found["rounds"]) == (1, 2, 3, 2)
    assert found["ceiling_flops"] > 0
    first, *others = found["models"]
    assert first["relative_to_first"] == 1
    for row in others:
        pace = row["output_pixels_per_second"] / first["output_pixels_per_second"]
        assert row["relative_to_first"] == pytest.approx(pace)
    for row in found["models"]:
        assert row["halo"] == 0
        assert row["share_of_ceiling"] > 0
        files = row["files"]
        assert files["format"] == "tiff"
        assert files["output_bytes"] == 2 * 3 * files["output_pixels"]
        pace = files["output_pixels"] / files["seconds"]
        assert files["output_pixels_per_second"] == pytest.approx(pace)
    assert not list(tmp_path.iterdir())


def test_without_files_nothing_is_said_of_them(hsisr):
    found = hsisr("speed", *ONCE, "--model", "bicubic", "--no-files", "--json")
    assert json.loads(found.out)["models"][0]["files"] is None
    assert "file to file" not in hsisr("speed", *ONCE, "--model", "bicubic", "--no-files").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "sspsr", "--scale", 5], "'sspsr' is not made for scale 5"),
        (["--size", "much"], "no size 'much'"),
        (["--interleave", "bpi"], "no interleave 'bpi'"),
        (["--format", "mat5"], "no format 'mat5'"),
        (["--precision", "fp16"], "no precision 'fp16'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said, hsisr):
    ended = hsisr("speed", *ONCE, "--model", "bicubic", *options)
    assert ended.code == 2
    assert said in ended.first


def test_a_folder_that_is_not_there_is_not_made(hsisr, tmp_path):
    ended = hsisr("speed", *ONCE, "--model", "bicubic", "-o", tmp_path / "nowhere")
    assert ended.code == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_stops_it_finds_no_files_left(number, code, spawned, tmp_path):
    long = ("--bands", 3, "--scale", 2, "--size", "2M", "--seconds", 60, "--threads", 1)
    process = spawned(["speed", *long, "--model", "bicubic", "-o", tmp_path])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
