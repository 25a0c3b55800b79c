"""The pretrained models: found by folder, picked by scale, and checked to the last byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hsisr.checkpoints import checkpoint, zoo
from hsisr.checkpoints.checkpoint import Card, Part
from hsisr.checkpoints.zoo import Entry
from hsisr.errors import ModelError, OutputError, UsageError
from hsisr_models.unmix import SHELF as METHODS
from tests.hsisr.pretrained import made_zoo, save_model


@pytest.mark.parametrize("entry", zoo.entries(), ids=lambda entry: entry.id)
def test_every_model_that_ships_is_intact_and_named_by_its_scale(entry: Entry) -> None:
    zoo.verify(entry)
    zoo.require_id(entry.id)
    assert entry.id.endswith(f"-x{entry.scale}")
    assert entry.text().startswith(f"# {entry.id}\n")


def test_the_models_that_ship_are_small() -> None:
    assert sum(entry.path.stat().st_size for entry in zoo.entries()) <= 15_000_000


def test_every_folder_with_a_model_is_an_entry(tmp_path: Path) -> None:
    made_zoo(tmp_path, 4, 2)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "card.md").touch()
    assert zoo.names(tmp_path) == ["tiny-x2", "tiny-x4"]
    assert [entry.scale for entry in zoo.entries(tmp_path)] == [2, 4]


def test_where_there_is_no_folder_there_are_no_models(tmp_path: Path) -> None:
    assert zoo.names(tmp_path / "none") == []
    with pytest.raises(ModelError, match="scale 4, only for none"):
        zoo.pick(4, tmp_path / "none")


def test_a_model_is_picked_by_its_scale(tmp_path: Path) -> None:
    for entry in made_zoo(tmp_path, 2, 3):
        assert zoo.pick(entry.scale, tmp_path) == entry
    with pytest.raises(ModelError, match="scale 5, only for 2, 3") as caught:
        zoo.pick(5, tmp_path)
    assert "--model bicubic" in str(caught.value.hint)
    assert "hsisr prepare SCENE --scale 5" in str(caught.value.hint)


def test_an_unknown_id_is_met_with_the_nearest(tmp_path: Path) -> None:
    (entry,) = made_zoo(tmp_path, 2)
    assert zoo.find("tiny-x2", tmp_path) == entry
    with pytest.raises(ModelError, match="'tiny-2'") as caught:
        zoo.find("tiny-2", tmp_path)
    assert caught.value.hint == "did you mean 'tiny-x2'?"
    for name in ("../zoo/tiny-x2", ".", "", "/"):
        with pytest.raises(ModelError):
            zoo.find(name, tmp_path)


def flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Entry], object]] = {
    "a flipped bit of the weights": lambda entry: flipped(entry.path, -1),
    "a flipped bit of the card": lambda entry: flipped(entry.path, 100),
    "a file that ends early": lambda entry: entry.path.write_bytes(entry.path.read_bytes()[:-4]),
    "an empty file": lambda entry: entry.path.write_bytes(b""),
    "no file": lambda entry: entry.path.unlink(),
    "no words": lambda entry: entry.card.unlink(),
    "words that are not text": lambda entry: entry.card.write_bytes(b"\xff\xfe\xfd"),
    "words about another model": lambda entry: entry.card.write_text(f"# {entry.id}\n{'0' * 64}\n"),
    "another model": lambda entry: save_model(entry.path, 5),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str, tmp_path: Path) -> None:
    (entry,) = made_zoo(tmp_path, 2)
    zoo.verify(entry)
    DAMAGE[damage](entry)
    with pytest.raises(ModelError):
        zoo.verify(Entry(entry.folder))


def test_a_model_that_cannot_sharpen_is_no_pretrained_model(tmp_path: Path) -> None:
    (entry,) = made_zoo(tmp_path, 2)
    numbers = {"width": 4, "depth": 1}
    network = METHODS["gram_autoencoder"].build(bands=3, endmembers=2, **numbers)
    part = Part("gram_autoencoder", numbers)
    card = Card(kind="unmix", bands=3, scale=1, peak=1.0, unmixer=part, endmembers=2)
    checkpoint.save(entry.path, card, {"unmixer": network})
    entry.card.write_text(checkpoint.load(entry.path).sha256)
    with pytest.raises(ModelError, match="is an unmixing model"):
        zoo.verify(entry)


def test_an_added_model_is_the_same_model(tmp_path: Path) -> None:
    model = save_model(tmp_path / "trained.safetensors")
    card = f"# mine-x2\n{checkpoint.load(model).sha256} °\n"
    entry = zoo.add(tmp_path / "new" / "zoo", "mine-x2", model, card)
    zoo.verify(entry)
    assert zoo.entries(tmp_path / "new" / "zoo") == [entry]
    assert entry.text() == card
    before, after = checkpoint.load(model), checkpoint.load(entry.path)
    assert before.card == after.card
    assert all(torch.equal(before.tensors[name], after.tensors[name]) for name in before.tensors)


def test_an_older_model_is_replaced_only_on_demand(tmp_path: Path) -> None:
    (entry,) = made_zoo(tmp_path / "zoo", 2)
    model, before = save_model(tmp_path / "other.safetensors", 3), entry.path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        zoo.add(tmp_path / "zoo", entry.id, model, "")
    assert entry.path.read_bytes() == before
    zoo.add(tmp_path / "zoo", entry.id, model, "", overwrite=True)
    assert entry.path.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("name", ["auto", "bicubic", "", ".", "..", "a/b", "../a", "-x", "A", "ä"])
def test_a_name_that_is_no_id_is_refused(name: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "trained.safetensors")
    with pytest.raises(UsageError, match="cannot be the id"):
        zoo.add(tmp_path / "zoo", name, model, "")
    assert not (tmp_path / "zoo").exists()
