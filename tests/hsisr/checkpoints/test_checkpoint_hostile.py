"""Nothing but an intact model of ours is opened, and a bad one costs neither memory nor time."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hsisr.checkpoints.checkpoint import Card, Part, load, read_tensors, save, write_tensors
from hsisr.errors import ModelError
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

SMALL = {"width": 4, "depth": 1}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model of both networks."""
    card = Card(
        kind="sr",
        bands=3,
        scale=2,
        peak=1000.0,
        network=Part("unmixing_sr", SMALL),
        unmixer=Part("gram_autoencoder", SMALL),
        endmembers=2,
    )
    networks: dict[str, nn.Module] = {
        "network": NETWORKS["unmixing_sr"].build(bands=3, scale=2, endmembers=2, **SMALL),
        "unmixer": METHODS["gram_autoencoder"].build(bands=3, endmembers=2, **SMALL),
    }
    save(tmp_path / "model.safetensors", card, networks)
    return tmp_path / "model.safetensors"


def rewritten(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> Path:
    """A well sealed file whose tensors or card were changed."""
    tensors, about, _ = read_tensors(path)
    change(tensors, about)
    other = path.with_name("other.safetensors")
    write_tensors(other, tensors, about)
    return other


def open_all(path: Path) -> None:
    """Everything that is done with a model of another's making."""
    found = load(path)
    found.unmixer()
    found.resolver()


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "model.safetensors"
    trap = Trap(mark)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(trap, protocol))
        with pytest.raises(ModelError, match=r"not a \.safetensors file"):
            load(path)
    torch.save({"model": trap}, path)
    with pytest.raises(ModelError, match=r"not a \.safetensors file"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(trap))
    with pytest.raises(ModelError, match=r"not a \.safetensors file"):
        load(path)
    assert not mark.exists()


def raw(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def metadata(**entries: Any) -> bytes:
    return raw(json.dumps({"__metadata__": entries}).encode())


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 62) + b"{" + bytes(100),
        struct.pack("<Q", (1 << 64) - 1) + b"{" + bytes(100),
        struct.pack("<Q", 1 << 30) + b"{" + bytes(100),
        raw(b"{}"),
        raw(b"[]"),
        raw(b"{" * 100_000),
        raw(b'{"__metadata__": []}'),
        raw(b'{"__metadata__": "hsisr/1"}'),
        raw(b'{"__metadata__": null}'),
        raw(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        metadata(),
        metadata(format="hsisr/2"),
        metadata(format="hsisr/1"),
        metadata(format="hsisr/1", about="{}"),
        metadata(format="hsisr/1", about="[" * 100_000, sha256="0"),
        metadata(format="hsisr/1", about="{", sha256="0"),
        metadata(format="hsisr/1", about=3, sha256="0"),
        metadata(format="hsisr/1", about="\ud800", sha256="0"),
    ],
    ids=range(18),
)
def test_a_hostile_header_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load(path)


def test_tensors_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
    about = {"format": "hsisr/1", "about": "{}", "sha256": "0"}
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(json.dumps({"__metadata__": about, "network.x": entry}).encode()))
    with pytest.raises(ModelError):
        load(path)


def change_card(key: str, value: Any) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    def change(_: dict[str, Tensor], about: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            about = about[part]
        about[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("bands", "scale")
            for value in (0, -1, 10**9, 2.5, "3", None, [])
        ),
        *(("endmembers", value) for value in (-1, 10**9, 0, 3, "2")),
        *(("peak", value) for value in (0, -1.0, float("nan"), float("inf"), "1", None)),
        *(("network.numbers.width", value) for value in (10**9, -4, 0, 5, 4.5, "4", [4], {}, None)),
        *(("network.numbers.depth", value) for value in (10**6, -1, 0, 2, 1.5, "1", [1])),
        *(("unmixer.numbers.width", value) for value in (10**9, -4, 0, 5, 4.5, "4", [4])),
        *(("network.numbers.reduction", value) for value in (0, -1)),
        *(("network.numbers.kernel", value) for value in (4096, 0)),
        *((f"network.numbers.{name}", 1) for name in ("unknown", "bands", "self", "__class__")),
        *(
            ("network.name", value)
            for value in ("none", "os", "../blocks", "", None, 3, ["bicubic"])
        ),
        *(("unmixer.name", value) for value in ("none", "unmixing_sr", "_", None)),
        *(("network", value) for value in ([], "x", 3, {}, {"name": "unmixing_sr"})),
        *(("network.numbers", value) for value in (None, [], "x", 3)),
        *(("wavelengths_nm", value) for value in (3, True)),
        ("unknown", 1),
    ],
)
def test_hostile_numbers_are_refused(model: Path, key: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        open_all(rewritten(model, change_card(key, value)))
    assert caught.value.where is not None


def test_hostile_numbers_cost_neither_memory_nor_time(model: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for numbers in ({"width": 4096, "depth": 64}, {"width": 4096, "kernel": 4095}):
        with pytest.raises(ModelError):
            open_all(rewritten(model, change_card("network.numbers", numbers)))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # the first of them would have 20 GB of weights
    assert used < 500_000


@pytest.mark.parametrize("about", [[], "text", 3, None, {"kind": "sr"}])
def test_a_card_of_another_shape_is_refused(model: Path, about: Any) -> None:
    tensors, _, _ = read_tensors(model)
    write_tensors(model, tensors, about)
    with pytest.raises(ModelError, match="card is malformed"):
        load(model)


def poison(value: float) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    def change(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors["network.stem.weight"].view(-1)[7] = value

    return change


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(model: Path, value: float) -> None:
    with pytest.raises(ModelError, match="finite"):
        load(rewritten(model, poison(value)))


NAME = "network.stem.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, _: tensors.pop(NAME),
        lambda tensors, _: tensors.pop("unmixer.weights"),
        lambda tensors, _: tensors.update({"network.extra": torch.zeros(1)}),
        lambda tensors, _: tensors.update({"other.extra": torch.zeros(1)}),
        lambda tensors, _: tensors.update({"network.body.0.spectral.3.frozen": torch.ones(4)}),
        lambda tensors, _: tensors.update({NAME: torch.zeros(4, 3, 3, 2)}),
        lambda tensors, _: tensors.update({NAME: torch.zeros(0)}),
        lambda tensors, _: tensors.update({NAME: tensors[NAME].double()}),
        lambda tensors, _: tensors.update({NAME: tensors[NAME].bfloat16()}),
        lambda tensors, _: tensors.update({NAME: tensors[NAME].to(torch.float8_e4m3fn)}),
        lambda tensors, _: tensors.update({NAME: tensors[NAME].to(torch.int8)}),
        lambda tensors, _: tensors.clear(),
    ],
)
def test_tensors_that_do_not_fit_the_card_are_refused(
    model: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]
) -> None:
    with pytest.raises(ModelError):
        open_all(rewritten(model, change))


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not a model of hsisr"):
        load(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(ModelError, match="has format 'pt'"):
        load(path)
