"""A card says what the model file and the measurements say, in words."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsisr import recipe
from hsisr.checkpoints.checkpoint import Checkpoint, Part, load
from hsisr.checkpoints.modelcard import Score, _commands, markdown, read_score, toml
from hsisr.errors import InputError, ModelError
from tests.hsisr.pretrained import save_model


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    return load(save_model(tmp_path / "model.safetensors", 2))


def score(scene: str, gain: float, degradation: str = "bicubic") -> Score:
    return Score(scene, degradation, {"psnr": 30 + gain, "sam": 2.0}, {"psnr": 30.0, "sam": 2.5})


def test_the_card_names_the_model_and_its_numbers(model: Checkpoint) -> None:
    text = markdown("tiny-x2", model, [], [])
    parameters = sum(tensor.numel() for tensor in model.tensors.values())
    assert text.startswith("# tiny-x2\n")
    for fact in (model.sha256, f"{parameters:,}", "`unmixing_sr`", "3 bands", "MIT", "psnr 31.25"):
        assert fact in text
    assert "None were measured" in text


def test_the_card_says_which_scenes_the_model_takes(tmp_path: Path) -> None:
    for bands, said in ((0, "scenes of any sensor"), (3, "scenes with the 3 bands")):
        model = load(save_model(tmp_path / "model.safetensors", bands=bands))
        assert f"Sharpens a hyperspectral scene 2 times. It takes {said}" in markdown(
            "tiny-x2", model, [], []
        )


def test_gains_are_differences_of_psnr_and_their_mean(model: Checkpoint) -> None:
    scores = [score("one", 2.0), score("two", 1.0), score("one", -0.5, "area")]
    text = markdown("tiny-x2", model, scores, [])
    assert "| one | bicubic | 32.00 | 30.00 | +2.00 | 2.000 | 2.500 |" in text
    assert "| one | area | 29.50 | 30.00 | -0.50 | 2.000 | 2.500 |" in text
    assert "never saw: +1.50 dB (bicubic), -0.50 dB (area)." in text
    assert "Of the 3 rows, bicubic interpolation has the higher PSNR in 1." in text


def test_a_scene_that_was_seen_in_training_is_marked(model: Checkpoint) -> None:
    scores = [score("first.img", 1), score("first.hdr", 1), score("second.img", 1)]
    text = markdown("tiny-x2", model, [*scores, score("third", 2)], [])
    marked = [line for line in text.splitlines() if "(seen in training)" in line]
    assert [line.split()[1] for line in marked] == ["first.img", "first.hdr"]
    # they do not count
    assert "never saw: +1.50 dB (bicubic)." in text
    assert "never saw: not measured." in markdown("tiny-x2", model, scores[:2], [])


def test_every_row_of_a_table_has_the_columns_of_its_heading(model: Checkpoint) -> None:
    text = markdown("tiny-x2", model, [score("x|y\nz", 1)], [])
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block
    assert "| a\\|b.tif | 3 x 40 x 50 | 24.0 kB |" in text


@pytest.mark.parametrize("name", recipe.names())
def test_the_recipe_in_a_card_can_be_used(name: str, model: Checkpoint, tmp_path: Path) -> None:
    numbers = recipe.load(name)
    known = replace(model, card=replace(model.card, recipe=numbers.to_dict()))
    block = re.search(r"```toml\n(.*?)```", markdown("tiny-x2", known, [], []), re.S)
    assert block
    file = tmp_path / "again.toml"
    file.write_text(block[1])
    assert recipe.load(str(file)) == numbers


def test_tables_in_toml_come_back() -> None:
    tables = {
        "a": 1,
        "b": {"c": 'quo"te\n', "d": {"e": [1e-5, 2.0]}},
        "f": {"g": {"h": True}, "i": {}},
    }
    assert tomllib.loads(toml(tables)) == tables
    assert tomllib.loads(toml({"a": None, "b": 1})) == {"b": 1}


def test_the_commands_are_those_given_or_those_known(model: Checkpoint) -> None:
    given = markdown("tiny-x2", model, [], ["hsisr one", "hsisr two"])
    assert "\n    hsisr one\n    hsisr two\n" in given
    known = markdown("tiny-x2", model, [], [])
    files = "first.img 'a|b.tif'"
    assert f"\n    hsisr prepare {files} --scale 2 --degradation bicubic -o run\n" in known
    assert "\n    hsisr train-sr run --recipe tiny-x2.toml --unmix none\n" in known
    unknown = replace(model, card=replace(model.card, data={}))
    assert "commands were not kept" in markdown("tiny-x2", unknown, [], [])


def test_the_commands_cut_the_scenes_as_they_were_cut(model: Checkpoint) -> None:
    data = {**model.card.data, "shares": [0.5, 0.25, 0.25], "gap": 0}
    prepare, *_ = _commands("x", replace(model.card, data=data))
    assert prepare.endswith("--degradation bicubic --split 0.5,0.25,0.25 --gap 0 -o run")
    published = replace(model.card, data={**model.card.data, "protocol": "cave"})
    assert _commands("x", published) == []


@pytest.mark.parametrize(
    ("data", "commands"),
    [({}, ["train-unmix", "train-sr"]), ({"unmixing": "random"}, ["train-sr --unmix random"])],
)
def test_a_control_is_made_without_training_its_unmixing(
    data: dict[str, str], commands: list[str], model: Checkpoint
) -> None:
    part = Part("gram_autoencoder", {})
    card = replace(model.card, unmixer=part, endmembers=2, data={**model.card.data, **data})
    lines = [line.replace(" run --recipe x.toml", "") for line in _commands("x", card)]
    assert lines[1:] == [f"hsisr {command}" for command in commands]


def test_the_commands_tell_the_seeds_and_the_resolution_that_was_unmixed(model: Checkpoint) -> None:
    chosen = {"seed": 5, "unmixing_seed": 7, "unmixing_resolution": "high"}
    part = Part("gram_autoencoder", {})
    card = replace(model.card, unmixer=part, endmembers=2, data={**model.card.data, **chosen})
    assert _commands("x", card)[1:] == [
        "hsisr train-unmix run --recipe x.toml --seed 7 --on high",
        "hsisr train-sr run --recipe x.toml --seed 5",
    ]


@pytest.mark.parametrize("scenes", [3, [3], [{}], [{"file": "x", "bytes": "y", "shape": []}]])
def test_a_model_with_another_account_of_its_training_is_refused(
    scenes: Any, model: Checkpoint
) -> None:
    odd = replace(model, card=replace(model.card, data={"scenes": scenes}))
    with pytest.raises(ModelError, match="account of its training"):
        markdown("tiny-x2", odd, [score("one", 1)], [])


TABLE = {
    "schema": "hsisr/evaluate/1",
    "truth": "scenes/samson.img",
    "degradation": "area",
    "models": [{"name": "a", "sha256": "1" * 64}, {"name": "b", "sha256": "2" * 64}],
    "rows": [
        {"name": "bicubic", "psnr": 30.0, "sam": 3.0},
        {"name": "a", "psnr": 31.0, "sam": 2.0},
        {"name": "b", "psnr": 32.0, "sam": 1.0},
    ],
}


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_score_belongs_to_the_model_that_was_measured(tmp_path: Path) -> None:
    path = written(tmp_path / "scores.json", TABLE)
    found = read_score(path, "2" * 64)
    assert (found.scene, found.degradation, found.gain) == ("samson.img", "area", 2.0)
    assert found.model == {"psnr": 32.0, "sam": 1.0}
    with pytest.raises(InputError, match="no score of the model with SHA-256 333333333333"):
        read_score(path, "3" * 64)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "hsisr/info/1"},
        {"models": None},
        {"models": [{}]},
        {"rows": []},
        {"rows": [{"name": "b", "psnr": None, "sam": 1}]},
        {"rows": [{"name": "b", "psnr": 1, "sam": 1}]},
        {"truth": 3},
    ],
)
def test_a_file_that_is_no_table_of_scores_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path / "scores.json", {**TABLE, **change})
    with pytest.raises(InputError, match="is not what hsisr evaluate --json prints"):
        read_score(path, "2" * 64)


def test_a_table_of_scores_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_score(tmp_path / "none.json", "")
    for content in (b"", b"\xff", b"[" * 100_000, b"[]"):
        (tmp_path / "scores.json").write_bytes(content)
        with pytest.raises(InputError, match="is not what"):
            read_score(tmp_path / "scores.json", "")
