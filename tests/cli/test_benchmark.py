from __future__ import annotations

import csv
import json
import signal
import time

import numpy as np
import pytest

from hsisr.evaluate import definitions
from tests.hsisr.made_up import mixed_scene

QUICK = (
    "unmix.initialise=vca unmix.endmembers=3 unmix.numbers.width=8 unmix.training.epochs=1 "
    "unmix.training.steps=2 unmix.training.patch=4 sr.training.steps=2 sr.training.patch=4 "
    "sr.training.batch=2 sr.numbers.width=8 sr.numbers.depth=1"
)
SETTINGS = [part for number in QUICK.split() for part in ("--set", number)]
MACHINE = ["--threads", "1", "--precision", "fp32", "--device", "cpu"]


def _arguments(output, data, *more):
    common = ["-o", output, "--data", data, "--scale", 2, *MACHINE, *SETTINGS]
    return ["benchmark", *common, *more]


@pytest.fixture
def scenes(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for seed, name in enumerate(("first", "second")):
        np.save(folder / f"{name}.npy", mixed_scene(5, 48, 16, seed).transpose(1, 2, 0))
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def benchmark(scenes, output, hsisr):
    def run(*more, data=scenes):
        return hsisr(*_arguments(output, data, *more))

    return run


def _psnr(table):
    return {entry["name"]: entry["measures"]["psnr"]["values"] for entry in table["entries"]}


def test_every_network_is_a_row_with_and_without_unmixing(benchmark, output, scenes, hsisr):
    ended = benchmark(
        "--networks", "unmixing_sr,rfsr", "--unmix", "on,off", "--epochs", 1, "--seeds", 2,
        "--json",
    )  # fmt: skip
    assert ended.code == 0
    tables = json.loads(ended.out)["tables"]
    titles = [table["title"] for table in tables]
    assert [title.partition(",")[0] for title in titles[::2]] == [
        "first",
        "second",
        "the mean of 2 data sets",
    ]
    names = ["bicubic", "unmixing_sr", "unmixing_sr+unmixing", "rfsr", "rfsr+unmixing"]
    first, changes, second, _, mean, mean_changes = tables
    for table in (first, second, mean):
        assert list(_psnr(table)) == names
    for name in names:
        expected = np.mean([_psnr(first)[name], _psnr(second)[name]], 0)
        assert _psnr(mean)[name] == pytest.approx(expected)
    for table, difference in ((first, changes), (mean, mean_changes)):
        scores = _psnr(table)
        for name in ("unmixing_sr", "rfsr"):
            expected = np.subtract(scores[f"{name}+unmixing"], scores[name])
            assert _psnr(difference)[name] == pytest.approx(expected)
    with (output / "table.csv").open(newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line["table"] == titles[0]]
    assert [line["name"] for line in lines] == [names[0], *(n for n in names[1:] for _ in "01")]
    assert [line["seed"] for line in lines] == ["", *"01" * 4]
    told = "\n".join(first["notes"])
    assert "1 epoch of each" in told
    assert "2 seeds, mean ± standard deviation" in told
    assert "trained on cpu fp32, tested in fp32, by 1 thread of" in told
    manifest = json.loads((output / "first_x2" / "data" / "manifest.json").read_text())
    degraded = f"first: degradation {manifest['degradation']}; peak {manifest['peak']:.6g}, the 99."
    assert degraded in told
    assert all(line in told for line in definitions(peak="the peak of the data", ratio=2))
    assert sum("degradation" in note for note in mean["notes"]) == 2
    assert "\\begin{tab" in (output / "table.tex").read_text()
    assert "| unmixing" in (output / "table.md").read_text()
    assert json.loads((output / "table.json").read_text())[0]["title"] == titles[0]
    assert (output / "first_x2.png").read_bytes().startswith(b"\x89PNG")

    cell = output / "first_x2" / "unmixing_sr+unmixing_seed1"
    told = json.loads(hsisr("evaluate", cell.parent, "--model", cell, "--json").out)
    rows = {row.pop("name"): row for row in told["rows"]}
    assert rows["bicubic"]["psnr"] == pytest.approx(_psnr(first)["bicubic"][0])
    entry = next(e for e in first["entries"] if e["name"] == "unmixing_sr+unmixing")
    for measure, value in rows[str(cell)].items():
        assert entry["measures"][measure]["values"][1] == pytest.approx(value, rel=1e-6)


def test_the_same_command_again_has_nothing_to_do(benchmark, output, scenes):
    options = ("--networks", "unmixing_sr", "--epochs", 1, "--seeds", 1)
    data = scenes / "first.npy"
    first = benchmark(*options, data=data)
    files = {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}
    again = benchmark(*options, data=data)
    assert (first.code, again.code) == (0, 0)
    assert again.out == first.out
    assert "±" not in first.out
    assert files == {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}


def _wait_for(happened, process):
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_it_is_stopped_by_a_signal_and_goes_on(output, scenes, spawned, hsisr):
    options = ("--networks", "unmixing_sr", "--epochs", 150, "--seeds", 1)
    arguments = _arguments(output, scenes / "first.npy", *options)
    process = spawned(arguments)
    _wait_for(lambda: list(output.rglob("unmixing_sr_seed0/state.safetensors")), process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    error, hint = said.splitlines()[-2:]
    assert error == "error: interrupted"
    command = hint.removeprefix("  hint: continue with: hsisr ").split()
    assert command == [str(part) for part in arguments]
    assert not list(output.rglob("result.json"))
    ended = hsisr(*command)
    assert ended.code == 0
    assert "300" in ended.out


@pytest.mark.slow
def test_what_is_finished_when_a_signal_comes_is_in_a_table_that_says_so(
    output, scenes, spawned, hsisr
):
    options = ("--networks", "unmixing_sr", "--epochs", 150, "--seeds", 1)
    arguments = _arguments(output, scenes, *options)
    process = spawned(arguments)
    _wait_for(lambda: list(output.rglob("second_x2/unmixing_sr_seed0/state.*")), process)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not shown
    assert "unfinished tables, of 1 of 2 trainings, in " in said

    result = json.loads((output / "first_x2" / "unmixing_sr_seed0" / "result.json").read_text())
    with (output / "table.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["table"].partition(" (")[2] for row in rows} == {"unfinished: 1 of 2 trainings)"}
    trained = [row for row in rows if row["name"] == "unmixing_sr"]
    assert [row["table"].partition(",")[0] for row in trained] == ["first"]
    assert float(trained[0]["psnr"]) == result["measures"]["psnr"]
    for kind in ("tex", "md", "json"):
        assert "unfinished: 1 of 2" in (output / f"table.{kind}").read_text()

    assert hsisr(*arguments).code == 0
    assert "unfinished" not in (output / "table.csv").read_text()


@pytest.mark.slow
def test_two_processes_share_the_cells(output, scenes, spawned, hsisr, tmp_path):
    data = scenes / "first.npy"
    options = ("--networks", "unmixing_sr", "--unmix", "on", "--epochs", 3, "--seeds", 2, "--json")
    both = [spawned(_arguments(output, data, *options)) for _ in "ab"]
    tables = [json.loads(process.communicate(timeout=120)[0])["tables"] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    alone = hsisr(*_arguments(tmp_path / "alone", data, *options))
    expected = json.loads(alone.out)["tables"]
    for found in tables:
        assert [_psnr(table) for table in found] == [_psnr(table) for table in expected]


def test_a_cell_that_fails_is_told_and_the_others_are_in_the_table(benchmark, output, scenes):
    broken = output / "first_x2" / "unmixing_sr_seed0"
    broken.mkdir(parents=True)
    (broken / "state.safetensors").write_bytes(b"nothing")
    ended = benchmark(
        "--networks", "unmixing_sr,rfsr", "--epochs", 1, "--seeds", 1, data=scenes / "first.npy"
    )
    assert ended.code == 6
    assert "state.safetensors" in ended.first
    assert "error: failed: first x2 unmixing_sr seed 0" in ended.err
    assert "rfsr" in ended.out
    assert "unmixing_sr" not in ended.out


def test_a_model_that_is_gone_is_left_out_of_the_figure(benchmark, output, scenes):
    options = ("--networks", "unmixing_sr", "--epochs", 1, "--seeds", 1)
    data = scenes / "first.npy"
    assert benchmark(*options, data=data).code == 0
    figure = output / "first_x2.png"
    figure.unlink()
    (model,) = output.rglob("unmixing_sr_seed0/model.safetensors")
    model.unlink()
    ended = benchmark(*options, data=data)
    assert ended.code == 0
    assert "unmixing_sr is left out of the figure" in ended.err
    assert figure.exists()


def test_other_terms_are_refused_with_what_differs(benchmark, scenes):
    options = ("--networks", "unmixing_sr", "--seeds", 1)
    data = scenes / "first.npy"
    assert benchmark(*options, "--epochs", 1, data=data).code == 0
    ended = benchmark(*options, "--epochs", 2, data=data)
    assert ended.code == 5
    assert "epochs 1, now 2" in ended.first
    assert benchmark(*options, "--epochs", 2, "--overwrite", data=data).code == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--networks", "nobody", "--epochs", 1], 2, "no network 'nobody'"),
        (["--networks", "bicubic", "--epochs", 1], 2, "bicubic"),
        (["--networks", "sspsr", "--epochs", 1, "--scale", "x"], 2, "--scale 'x'"),
        (["--networks", "sspsr"], 2, "--epochs or --minutes"),
        (["--networks", "sspsr", "--epochs", 1, "--minutes", 1], 2, "--epochs or --minutes"),
        (["--networks", "sspsr", "--epochs", 1, "--unmix", "maybe"], 2, "--unmix 'maybe'"),
        (["--networks", "subspace_sr", "--epochs", 1], 2, "any sensor"),
        (["--networks", "rfsr", "--epochs", 1, "--protocol", "mine"], 2, "no protocol 'mine'"),
        (["--networks", "rfsr", "--epochs", 1, "--models", "any-x4"], 4, "another scale, not 2"),
        (["--networks", "rfsr", "--epochs", 1, "--set", "sr.training.batch=0"], 2, "batch"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_training(
    options, code, told, benchmark, output, scenes
):
    ended = benchmark(*options, data=scenes / "first.npy")
    assert ended.code == code
    assert told in ended.first
    assert not list(output.rglob("state.safetensors"))


def test_a_pretrained_model_is_left_out_at_scales_that_are_not_its_own(
    benchmark, output, scenes, hsisr
):
    np.save(scenes / "first.npy", mixed_scene(5, 100, 24).transpose(1, 2, 0))
    options = ("--networks", "rfsr", "--epochs", 1, "--seeds", 1, "--models", "any-x4", "--json")
    ended = benchmark(*options, "--scale", "2,4", data=scenes / "first.npy")
    assert ended.code == 0
    assert "note: any-x4 was trained for another scale than 2" in ended.err
    rows = {table["title"]: list(_psnr(table)) for table in json.loads(ended.out)["tables"]}
    assert rows == {
        "first, scale 2": ["bicubic", "rfsr"],
        "first, scale 4": ["bicubic", "any-x4", "rfsr"],
    }


def test_a_pretrained_model_of_one_scale_does_not_stop_a_new_beginning_at_two(benchmark, scenes):
    np.save(scenes / "first.npy", mixed_scene(5, 100, 24).transpose(1, 2, 0))
    options = ("--networks", "unmixing_sr", "--epochs", 1, "--seeds", 1, "--models", "any-x4")
    ended = benchmark(*options, "--scale", "2,4", "--overwrite", data=scenes / "first.npy")
    assert ended.code == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--models", "nobody"], 4, "nobody"),
        (["--set", "unmix.numbers.widht=3"], 2, "'gram_autoencoder' has no number 'widht'"),
        (["--set", "unmix.method=nobody"], 2, "no unmixing method 'nobody'"),
        (["--set", "unmix.loss.nothing=1"], 2, "no loss term 'nothing'"),
        (["--set", "unmix.initialise=nobody"], 2, "no initialisation 'nobody'"),
        (["--set", "sr.relation=nobody"], 2, "no relation of abundances 'nobody'"),
    ],
)
def test_what_is_misspelt_is_refused_by_a_rehearsal_and_nothing_is_lost_for_it(
    options, code, told, benchmark, output
):
    output.mkdir()
    (output / "table.csv").write_text("an older one")
    known = ("--networks", "unmixing_sr", "--unmix", "on", "--epochs", 1)
    for more in ("--dry-run", "--overwrite"):
        ended = benchmark(*known, *options, more)
        assert ended.code == code
        assert told in ended.first
    assert [path.name for path in output.iterdir()] == ["table.csv"]


def test_only_networks_that_can_be_trained_are_proposed(benchmark):
    hint = benchmark("--networks", "nobody", "--epochs", 1).err
    assert "sspsr" in hint
    assert "subspace_sr" not in hint
    assert "bicubic" not in hint


def test_what_is_left_out_is_told_once_whatever_the_scales(benchmark, scenes):
    (scenes / "copied.npy").touch()
    ended = benchmark("--networks", "unmixing_sr", "--epochs", 1, "--scale", "2,3", "--dry-run")
    assert ended.code == 0
    assert ended.err.count("copied.npy is left out: it is empty") == 1


def test_a_rehearsal_writes_nothing(benchmark, output):
    ended = benchmark("--networks", "rfsr", "--unmix", "on,off", "--epochs", 1, "--dry-run")
    assert ended.code == 0
    assert "12 trainings: rfsr, rfsr+unmixing" in ended.err
    assert not output.exists()


def test_a_network_that_does_not_know_the_scale_is_refused(scenes, output, hsisr):
    data = scenes / "large.npy"
    np.save(data, mixed_scene(5, 100, 24).transpose(1, 2, 0))
    options = ("--networks", "sspsr", "--epochs", 1, "--scale", 5)
    ended = hsisr(*_arguments(output, data, *options))
    assert ended.code == 2
    assert "'sspsr' is not made for scale 5" in ended.first


def test_other_pixels_under_the_same_name_are_noticed(benchmark, scenes, output):
    options = ("--networks", "unmixing_sr", "--epochs", 1, "--seeds", 1)
    data = scenes / "first.npy"
    before = benchmark(*options, data=data)
    np.save(data, mixed_scene(5, 48, 16, 7).transpose(1, 2, 0))
    ended = benchmark(*options, data=data)
    assert ended.code == 5
    assert "was begun differently: the file first.npy" in ended.first
    after = benchmark(*options, "--overwrite", data=data)
    assert after.code == 0
    assert after.out != before.out


def test_data_that_is_not_there_is_an_input_that_is_missing(benchmark, tmp_path):
    ended = benchmark("--networks", "rfsr", "--epochs", 1, data=tmp_path / "nowhere")
    assert ended.code == 3


def test_two_scenes_of_one_name_are_refused(scenes, output, hsisr):
    data = scenes / "first.npy"
    more = ("--data", data, "--networks", "rfsr", "--epochs", 1)
    assert "two data sets called first" in hsisr(*_arguments(output, data, *more)).first
