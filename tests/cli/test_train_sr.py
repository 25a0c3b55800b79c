from __future__ import annotations

import csv

import pytest


def test_it_writes_a_model_and_its_history(run_copy, hsisr):
    ended = hsisr("train-sr", run_copy, "--epochs", "2", "--overwrite")
    assert ended.code == 0
    with (run_copy / "sr" / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {"loss_l1", "loss_sad", "loss_abundance", "validation_psnr"} <= set(rows[-1])
    assert (run_copy / "sr" / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_it_says_how_it_compares_with_bicubic_and_what_comes_next(run_copy, hsisr):
    said = hsisr("train-sr", run_copy, "--epochs", "1", "--overwrite").err
    assert "best on the validation blocks: PSNR" in said
    assert "dB (bicubic " in said
    assert f"Next: hsisr evaluate {run_copy} --model {run_copy}" in said
    assert f"hsisr upscale SCENE --scale 2 --model {run_copy}" in said


def test_without_unmixing_there_is_no_abundance_term(run_copy, hsisr):
    command = ("train-sr", run_copy, "--unmix", "none", "--name", "plain", "--epochs", "1")
    ended = hsisr(*command)
    assert ended.code == 0
    header = (run_copy / "plain" / "metrics.csv").read_text().splitlines()[0]
    assert "loss_l1" in header
    assert "loss_abundance" not in header
    assert f"--model {run_copy / 'plain'}" in ended.err


def test_it_needs_the_unmixing_model_of_the_run(run_copy, hsisr):
    (run_copy / "unmix" / "model.safetensors").unlink()
    ended = hsisr("train-sr", run_copy, "--overwrite")
    assert ended.code == 4
    assert "hint: train one: hsisr train-unmix RUN" in ended.err


@pytest.mark.parametrize("name", ["data", "unmix", "../elsewhere", "a/b", "", "."])
def test_a_name_that_would_harm_the_run_is_refused(name, run_copy, hsisr):
    assert hsisr("train-sr", run_copy, "--name", name).code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--network", "unmixing_srr"], "did you mean 'unmixing_sr'"),
        (["--set", "sr.relation=sum"], "no relation of abundances 'sum'"),
        (["--set", "sr.numbers.material=wood"], "no material-aware module 'wood'"),
        (["--set", "sr.loss.l7=1.0"], "no losses called 'l7'"),
        (["--set", "sr.training.betas=[0.9]"], "betas"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said, run_copy, hsisr):
    ended = hsisr("train-sr", run_copy, "--overwrite", *options)
    assert ended.code == 2
    assert said in ended.first


def test_an_interpolation_cannot_be_trained(run_copy, hsisr):
    command = ("train-sr", run_copy, "--network", "bicubic", "--name", "flat")
    assert hsisr(*command).code == 2
