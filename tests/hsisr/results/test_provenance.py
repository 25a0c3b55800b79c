"""A record says what a result was made from, and holds no more than JSON can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hsisr
from hsisr.checkpoints.checkpoint import Card, Checkpoint
from hsisr.cube import ArrayCube
from hsisr.results.provenance import begun, describe, done_before
from hsisr.runtime import Runtime


def test_a_record_names_the_input_the_model_and_the_machine(
    cube: Callable[..., ArrayCube], cpu: Runtime, tmp_path: Path
) -> None:
    scene = cube(4, 5)
    scene.files[0].write_bytes(b"12345")
    model = Checkpoint(tmp_path / "model.safetensors", Card("sr", 4, 2, 1.0), {}, "abc")
    record = describe(
        begun("upscale", scene, cpu, model, {"tta": True}), {"scale": 2, "output": "x.img"}
    )
    assert record == json.loads(json.dumps(record))
    assert record["command"] == "upscale"
    assert record["hsisr"] == hsisr.__version__
    assert record["input"] == [
        {
            "file": "scene.raw",
            "bytes": 5,
            "modified_ns": scene.files[0].stat().st_mtime_ns,
        }
    ]
    assert record["model"]["sha256"] == "abc"
    assert record["model"]["file"] == "model.safetensors"
    assert record["runtime"] == "cpu fp32"
    assert (record["scale"], record["output"]) == (2, "x.img")
    assert record["options"] == {"tta": True}


def test_a_record_without_a_model_says_so(cube: Callable[..., ArrayCube], cpu: Runtime) -> None:
    assert begun("upscale", cube(4, 5), cpu, None, {})["model"] is None


def test_no_folder_of_the_user_is_told(
    cube: Callable[..., ArrayCube], cpu: Runtime, tmp_path: Path
) -> None:
    scene = cube(4, 5, block=np.ones((2, 4, 5), np.float32))
    model = Checkpoint(tmp_path / "model.safetensors", Card("sr", 4, 2, 1.0), {}, "abc")
    assert str(tmp_path) not in json.dumps(begun("upscale", scene, cpu, model, {}))


def test_a_record_tells_whether_the_same_was_done_before(
    cube: Callable[..., ArrayCube], cpu: Runtime, tmp_path: Path
) -> None:
    scene, path = cube(4, 5), tmp_path / "x.run.json"
    beginning = begun("upscale", scene, cpu, None, {"outputs": ("x.img",), "tile": None})
    assert not done_before(path, beginning)
    path.write_text(json.dumps(describe(beginning, {"seconds": 1})))
    assert done_before(path, beginning)
    assert not done_before(path, beginning | {"options": {"outputs": ("x.img",), "tile": 8}})
    scene.files[0].write_bytes(b"changed")
    assert not done_before(path, begun("upscale", scene, cpu, None, beginning["options"]))
    path.write_text("[]")
    assert not done_before(path, beginning)
