"""What is read off the head of a model file is what the whole file holds."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path

import pytest

from hsisr.checkpoints.checkpoint import load
from hsisr.checkpoints.header import read_header
from hsisr.errors import ModelError
from tests.hsisr.pretrained import save_model


def test_the_header_says_what_the_whole_file_holds(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.safetensors", 3)
    header, whole = read_header(path), load(path)
    assert header.about == json.loads(json.dumps(asdict(whole.card)))
    assert header.sha256 == whole.sha256
    assert header.scale == 3
    assert header.parameters == sum(tensor.numel() for tensor in whole.tensors.values())


def test_the_weights_are_not_needed_for_the_header(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.safetensors")
    before, data = read_header(path), path.read_bytes()
    path.write_bytes(data[: 8 + int.from_bytes(data[:8], "little")])
    assert read_header(path) == before


def raw(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def described(about: str, **tensors: object) -> bytes:
    metadata = {"format": "hsisr/1", "about": about, "sha256": "0"}
    return raw(json.dumps({"__metadata__": metadata, **tensors}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a pickle in a zip",
        raw(b"{}", 1 << 60),
        raw(b"{}", 3),
        raw(b"{" * 100_000),
        raw(b"{}"),
        raw(b'{"__metadata__": []}'),
        raw(b'{"__metadata__": {"format": "hsisr/2"}}'),
        raw(b'{"__metadata__": {"format": "hsisr/1"}}'),
        described("{"),
        described("[" * 100_000),
        described("[]"),
        described("{}"),
        described('{"scale": null}'),
        described('{"scale": "two"}'),
        described('{"scale": 2}', weight=[]),
        described('{"scale": 2}', weight={}),
        described('{"scale": 2}', weight={"shape": 3}),
        described('{"scale": 2}', weight={"shape": [{}]}),
        described('{"scale": 2}', weight={"shape": ["x"]}),
    ],
    ids=range(20),
)
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_header(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")
