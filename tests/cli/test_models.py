from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hsisr.checkpoints import zoo
from hsisr.checkpoints.checkpoint import load
from hsisr.checkpoints.header import MODEL
from tests.hsisr.pretrained import SCENES, made_zoo


@pytest.fixture
def folder(tmp_path):
    """Models for two scales."""
    made_zoo(tmp_path / "zoo", 2, 3)
    return tmp_path / "zoo"


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_the_list_tells_what_the_files_hold(hsisr, folder):
    ended = hsisr("models", "list", "--zoo", folder)
    assert ended.code == 0
    heading, *lines = ended.out.splitlines()
    assert heading.split()[-3:] == ["takes", "trained", "on"]
    assert [line.split()[0] for line in lines] == ["tiny-x2", "tiny-x3"]
    for line, entry in zip(lines, zoo.entries(folder), strict=True):
        parameters = sum(tensor.numel() for tensor in load(entry.path).tensors.values())
        assert line.split()[1:3] == [f"x{entry.scale}", f"{parameters:,}"]
        assert line.endswith(f"3 bands    {len(SCENES)} scenes")


def test_the_list_as_json(hsisr, folder):
    listed = json.loads(hsisr("models", "list", "--zoo", folder, "--json").out)
    assert listed["schema"] == "hsisr/models/1"
    for facts, entry in zip(listed["models"], zoo.entries(folder), strict=True):
        assert facts["id"] == entry.id
        assert facts["scale"] == entry.scale
        assert facts["bytes"] == len(entry.path.read_bytes())
        assert facts["sha256"] == load(entry.path).sha256
        assert facts["file"] == str(entry.path)


def test_the_models_that_ship_are_those_listed(hsisr):
    listed = json.loads(hsisr("models", "list", "--json").out)["models"]
    assert [facts["id"] for facts in listed] == zoo.names()


def test_a_folder_without_models_is_said_to_be_one(hsisr, tmp_path):
    ended = hsisr("models", "list", "--zoo", tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "", f"no models in {tmp_path}\n")
    refused = hsisr("models", "verify", "--zoo", tmp_path)
    assert refused.code == 4
    assert refused.first == f"error: {tmp_path}: holds no model"


def test_info_prints_the_card(hsisr, folder):
    entry = zoo.find("tiny-x3", folder)
    assert hsisr("models", "info", "tiny-x3", "--zoo", folder).out == entry.text()
    facts = json.loads(hsisr("models", "info", "tiny-x3", "--zoo", folder, "--json").out)
    assert facts["schema"] == "hsisr/model/1"
    assert facts["card"]["network"]["name"] == "unmixing_sr"
    assert facts["card"]["data"]["scenes"] == SCENES


def test_the_path_stands_alone_for_scripts(hsisr, folder):
    ended = hsisr("models", "path", "tiny-x2", "--zoo", folder)
    assert (ended.out, ended.err) == (f"{folder / 'tiny-x2' / 'model.safetensors'}\n", "")


@pytest.mark.parametrize("action", ["info", "path", "verify"])
def test_an_unknown_model_is_a_model_error(action, hsisr, folder):
    ended = hsisr("models", action, "tiny-2", "--zoo", folder)
    assert ended.code == 4
    assert ended.err == (
        "error: there is no pretrained model 'tiny-2'\n  hint: did you mean 'tiny-x2'?\n"
    )


def test_verify_tells_of_every_model_in_one_line(hsisr, folder):
    intact = hsisr("models", "verify", "--zoo", folder)
    assert (intact.code, intact.err) == (0, "")
    assert intact.out.splitlines() == [
        f"{entry.id}  intact, SHA-256 {entry.header.sha256}" for entry in zoo.entries(folder)
    ]
    damage(zoo.find("tiny-x2", folder).path)
    damaged = hsisr("models", "verify", "--zoo", folder)
    assert damaged.code == 4
    assert damaged.first == f"error: {folder}: 1 of 2 models damaged"
    first, second = damaged.out.splitlines()
    assert first == "tiny-x2  damaged: is corrupt: its SHA-256 does not match its content"
    assert second == intact.out.splitlines()[1]
    assert hsisr("models", "verify", "tiny-x2", "--zoo", folder).code == 4
    assert hsisr("models", "verify", "tiny-x3", "--zoo", folder).code == 0


def test_a_model_whose_header_is_gone_is_damaged_too(hsisr, folder):
    zoo.find("tiny-x3", folder).path.write_bytes(b"")
    ended = hsisr("models", "verify", "--zoo", folder)
    assert ended.code == 4
    assert ended.out.splitlines()[1] == "tiny-x3  damaged: not a .safetensors file"
    assert hsisr("models", "list", "--zoo", folder).code == 4


@pytest.fixture
def scores(world, hsisr, tmp_path):
    """What a run's model scored on the scene it was made from."""
    ended = hsisr("evaluate", world.header, "--model", world.run, "--scale", "2", "--json")
    (tmp_path / "scores.json").write_text(ended.out)
    return tmp_path / "scores.json"


def test_an_exported_model_is_verified_and_tells_its_scores(world, hsisr, scores, tmp_path):
    export = ("models", "export", world.run, "mine-x2", tmp_path / "zoo", "--scores", scores)
    ended = hsisr(*export, "--command", "hsisr train-sr run")
    assert (ended.code, ended.out) == (0, "")
    assert hsisr("models", "verify", "--zoo", tmp_path / "zoo").code == 0
    card = hsisr("models", "info", "mine-x2", "--zoo", tmp_path / "zoo").out
    bicubic, ours = json.loads(scores.read_text())["rows"]
    row = next(line for line in card.splitlines() if line.startswith("| scene.hdr"))
    assert "(seen in training)" in row
    assert f"| {ours['psnr']:.2f} | {bicubic['psnr']:.2f} |" in row
    assert f"| {ours['sam']:.3f} | {bicubic['sam']:.3f} |" in row
    assert "\n    hsisr train-sr run\n" in card
    assert hsisr(*export).first.endswith("already exists")
    assert hsisr(*export, "--overwrite").code == 0


def test_a_model_is_exported_in_half_its_size(world, hsisr, tmp_path):
    """Rounded as numpy rounds to its own float16; what was trained is loaded in float32 again."""
    truth = load(world.run / "sr" / MODEL)
    for name, option in (("whole", ()), ("half", ("--half",))):
        assert hsisr("models", "export", world.run, name, tmp_path, *option).code == 0
    whole, half = (load(tmp_path / name / MODEL) for name in ("whole", "half"))
    assert whole.sha256 == truth.sha256 != half.sha256
    for name, weights in truth.tensors.items():
        rounded = weights.numpy().astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(half.tensors[name].numpy(), rounded)
    sizes = [(tmp_path / name / MODEL).stat().st_size for name in ("whole", "half")]
    weights = 4 * sum(tensor.numel() for tensor in truth.tensors.values())
    assert sizes[0] - sizes[1] == pytest.approx(weights / 2, abs=1000)
    assert hsisr("models", "verify", "--zoo", tmp_path).code == 0
    scene = ("upscale", world.header, "--model", tmp_path / "half" / MODEL, "-o", tmp_path)
    assert hsisr(*scene).code == 0


def test_the_commands_of_a_card_make_the_model_again(run_copy, hsisr, make_scene, monkeypatch):
    """The seeds of both steps and the resolution that was unmixed are no part of a recipe."""
    short = ("--epochs", "1", "--overwrite")
    assert hsisr("train-unmix", run_copy, "--seed", "7", "--on", "high", *short).code == 0
    assert hsisr("train-sr", run_copy, "--seed", "5", *short).code == 0
    truth = load(run_copy / "sr" / MODEL)
    folder = make_scene("scene").parent
    assert hsisr("models", "export", run_copy, "mine", folder / "zoo").code == 0
    card = hsisr("models", "info", "mine", "--zoo", folder / "zoo").out
    (folder / "mine.toml").write_text(card.split("```toml\n")[1].split("```")[0])
    commands = [line.split() for line in card.split("## How it was made")[1].splitlines()]
    run_copy.rename(folder / "first")
    monkeypatch.chdir(folder)
    for _, *parts in (words for words in commands if words[:1] == ["hsisr"]):
        assert hsisr(*parts).code == 0
    again = load(folder / "run" / "sr" / MODEL)
    assert again.tensors.keys() == truth.tensors.keys()
    assert all(torch.equal(again.tensors[name], truth.tensors[name]) for name in truth.tensors)


def test_scores_of_another_model_are_refused(world, hsisr, scores, folder, tmp_path):
    other = zoo.find("tiny-x2", folder).path
    ended = hsisr("models", "export", other, "mine-x2", tmp_path / "new", "--scores", scores)
    assert ended.code == 3
    assert "holds no score of the model" in ended.first
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["RUN", "auto", "FOLDER"], 2, "'auto' cannot be the id"),
        (["RUN", "../x", "FOLDER"], 2, "'../x' cannot be the id"),
        (["FOLDER/none", "mine", "FOLDER"], 4, "no such model"),
        (["UNMIXER", "mine", "FOLDER"], 4, "is an unmixing model"),
        (["RUN", "mine", "FOLDER", "--scores", "FOLDER/none"], 3, "cannot be read"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(arguments, code, said, world, hsisr, tmp_path):
    folder = tmp_path / "new"
    known = {"RUN": world.run, "UNMIXER": world.unmixer}
    typed = [known.get(part, part.replace("FOLDER", str(folder))) for part in arguments]
    ended = hsisr("models", "export", *typed)
    assert ended.code == code
    assert said in ended.first
    assert not folder.exists()


def test_without_an_action_the_help_is_shown(hsisr, capsys):
    from hsisr.cli import main

    assert main(["models"]) == 2
    assert "verify" in capsys.readouterr().out
    assert hsisr("models", "lst").err.splitlines()[-1] == "  hint: hsisr models --help"


def test_every_action_and_option_says_what_it_does(capsys):
    from typer.main import get_command

    from hsisr.cli import app

    for name, action in get_command(app).commands["models"].commands.items():
        assert action.help.count("Example: hsisr models ") == 1, name
        assert not [
            parameter.name
            for parameter in action.params
            if parameter.param_type_name == "option" and not parameter.help
        ]
