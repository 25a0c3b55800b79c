"""Damaged and hostile MAT files end as `InputError`, whatever they do to the decoder."""

from __future__ import annotations

import io
import os
import resource
import signal
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from hsisr.errors import InputError
from hsisr.formats import ReadOptions, _confined, mat5, open_cube
from hsisr.formats._confined import Confined

INT8, INT16, INT32, UINT32, MATRIX, COMPRESSED = 1, 3, 5, 6, 14, 15


def _element(order: str, kind: int, data: bytes) -> bytes:
    return struct.pack(f"{order}2I", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _mat(
    order: str = "<",
    dims: tuple[int, ...] = (2, 3, 4),
    kind: int = INT16,
    data: bytes | None = None,
    *,
    compressed: bool = False,
) -> bytes:
    """A file with one int16 variable `cube`, element by element as MATLAB's format is defined."""
    if data is None:
        data = np.arange(24, dtype=f"{order}i2").tobytes()
    content = b"".join(
        (
            _element(order, UINT32, struct.pack(f"{order}2I", 10, 0)),
            _element(order, INT32, struct.pack(f"{order}{len(dims)}i", *dims)),
            _element(order, INT8, b"cube"),
            _element(order, kind, data),
        )
    )
    matrix = _element(order, MATRIX, content)
    if compressed:
        stream = zlib.compress(matrix)
        matrix = struct.pack(f"{order}2I", COMPRESSED, len(stream)) + stream
    header = b"MATLAB 5.0 MAT-file".ljust(124)
    return header + struct.pack(f"{order}2H", 0x0100, 0x4D49) + matrix


def _scene(*, compressed: bool) -> bytes:
    content = {
        "cube": np.arange(210, dtype=np.uint16).reshape(6, 7, 5),
        "wavelength": np.arange(5) * 100.0 + 400,
        "text": "hello",
        "group": {"a": 1.0},
    }
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=compressed)
    return buffer.getvalue()


def _opens(path: Path, data: bytes) -> bool:
    """Whether the file is read; any escape but `InputError` fails the test."""
    path.write_bytes(data)
    try:
        with mat5.read(path, ReadOptions()) as cube:
            cube.read(cube.spec.window)
    except InputError:
        return False
    return True


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_both_byte_orders_are_read(tmp_path: Path, order: str, compressed: bool) -> None:
    path = tmp_path / "s.mat"
    path.write_bytes(_mat(order, compressed=compressed))
    expected = np.arange(24).reshape(4, 3, 2).transpose(2, 1, 0)
    np.testing.assert_array_equal(loadmat(path)["cube"], expected)
    with open_cube(path) as cube:
        assert cube.spec.dtype == np.int16
        assert cube.spec.dtype.isnative
        np.testing.assert_array_equal(cube.read(cube.spec.window), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(4096),
        _mat()[:100],
        _mat()[:128],
        _mat()[:140],
        _mat()[:200],
        _mat()[:-30],
        _mat(kind=0),
        _mat(kind=19),
        _mat(kind=255),
        _mat(dims=(2, -3, -4)),
        _mat(dims=(-1, 3, 4)),
        _mat(dims=(65536, 65536, 4)),
        _mat(dims=(2, 3, 5)),
        _mat(dims=(0, 3, 4)),
        _mat(data=b""),
        _mat(compressed=True)[:-10],
        _mat(compressed=True)[:-10] + bytes(10),
    ],
)
def test_damage_is_an_input_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.mat").write_bytes(data)
    with pytest.raises(InputError):
        open_cube(tmp_path / "s.mat")


def test_a_stream_that_inflates_beyond_its_declaration_is_stopped(tmp_path: Path) -> None:
    data = _mat(data=bytes(300 * 2**20), compressed=True)
    (tmp_path / "bomb.mat").write_bytes(data)
    with pytest.raises(InputError, match="could not be decoded"):
        open_cube(tmp_path / "bomb.mat")


def test_a_declaration_that_the_file_cannot_hold_is_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "s.mat").write_bytes(_mat(dims=(40000, 40000, 4)))
    with pytest.raises(InputError, match=r"declares 12\.8 GB"):
        open_cube(tmp_path / "s.mat")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (csc_matrix(np.eye(3)), "sparse"),
        (np.array([[np.ones((2, 2, 2)), "x"]], object), "cell"),
        ({"data": np.ones((4, 5, 6))}, "struct"),
        ("text", "char"),
        (np.ones((2, 3, 4), bool), "logical"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_by_kind(
    tmp_path: Path, value: object, kind: str
) -> None:
    savemat(tmp_path / "s.mat", {"thing": value})
    with pytest.raises(InputError, match="no 3-D variable") as caught:
        open_cube(tmp_path / "s.mat")
    assert kind in caught.value.what
    with pytest.raises(InputError, match="not a numeric array"):
        open_cube(tmp_path / "s.mat", ReadOptions(var="thing"))


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "s.mat", {"cube": np.ones((2, 3, 4), complex)})
    with pytest.raises(InputError, match="not made of real numbers"):
        open_cube(tmp_path / "s.mat")


def test_names_from_the_file_reach_the_terminal_escaped(tmp_path: Path) -> None:
    data = _scene(compressed=False).replace(b"cube", b"c\x1b[e")
    (tmp_path / "s.mat").write_bytes(data)
    with open_cube(tmp_path / "s.mat") as cube:
        assert not any("\x1b" in note for note in cube.notes)
        assert r"c\x1b[e" in cube.notes[0]


def test_truncation_at_any_byte_is_an_input_error(tmp_path: Path) -> None:
    scene = _scene(compressed=True)
    ends = np.linspace(129, len(scene) - 1, 10).astype(int)
    with ThreadPoolExecutor(2) as pool:
        opened = pool.map(lambda end: _opens(tmp_path / f"{end}.mat", scene[:end]), ends)
    # a cut behind the cube and its wavelengths leaves a file that is whole as far as it goes
    assert not any(list(opened)[:5])


def _mutated(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    data = bytearray(_scene(compressed=bool(seed % 2)))
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(128, len(data) - 4))
        numbers = [0, 1, 255, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
        if rng.integers(2):
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data[at : at + 4] = int(rng.choice(numbers)).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 180), marks=pytest.mark.slow)])
def test_mutations_are_read_or_refused_and_nothing_worse(tmp_path: Path, seeds: range) -> None:
    with ThreadPoolExecutor(2) as pool:
        opened = list(pool.map(lambda s: _opens(tmp_path / f"{s}.mat", _mutated(s)), seeds))
    assert len(opened) == len(seeds)
    assert not all(opened)


def test_a_decoder_that_crashes_is_an_input_error_with_its_signal(tmp_path: Path) -> None:
    (tmp_path / "s.mat").write_bytes(_mat())
    before = psutil.Process().children()
    with Confined(tmp_path / "s.mat") as decoder:
        (child,) = (child for child in psutil.Process().children() if child not in before)
        os.kill(child.pid, signal.SIGSEGV)
        with pytest.raises(InputError, match="SIGSEGV"):
            decoder.ask("mat_variables", size=0)
    assert psutil.Process().children() == before


def test_a_decoder_that_never_answers_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_confined, "_SECONDS", 0.2)
    (tmp_path / "s.mat").write_bytes(_mat())
    before = psutil.Process().children()
    with Confined(tmp_path / "s.mat") as decoder:
        (child,) = (child for child in psutil.Process().children() if child not in before)
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(InputError, match="too long"):
            decoder.ask("mat_variables", size=0)


def test_a_greedy_decoder_meets_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savemat(tmp_path / "s.mat", {"cube": np.zeros((300, 300, 120))}, do_compression=True)
    monkeypatch.setattr("hsisr.formats.mat5.decoder._COPIES", 0)
    monkeypatch.setattr(_confined, "_MEMORY", 90 * 2**20)
    with pytest.raises(InputError, match="could not be decoded"):
        open_cube(tmp_path / "s.mat")


@pytest.mark.parametrize("limit", [resource.RLIMIT_DATA, resource.RLIMIT_CPU])
def test_limits_of_a_cluster_do_not_make_a_sound_file_damaged(tmp_path: Path, limit: int) -> None:
    (tmp_path / "x.mat").write_bytes(_scene(compressed=True))
    code = (
        "import sys; from hsisr.formats import open_cube; print(open_cube(sys.argv[1]).spec.bands)"
    )
    amount = 2**31 if limit == resource.RLIMIT_DATA else 600
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.mat"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(limit, (amount, amount)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.stdout == "5\n", ended.stderr


def test_objects_of_newer_classes_do_not_hide_the_cube(tmp_path: Path) -> None:
    # an opaque object: flags, then texts instead of dimensions
    texts = [_element("<", INT8, text) for text in (b"s", b"MCOS", b"string")]
    flags = _element("<", UINT32, struct.pack("<2I", 17, 0))
    inner = _mat(dims=(1, 1), data=b"\1\0")[128:]
    opaque = _element("<", MATRIX, flags + b"".join(texts) + inner)
    (tmp_path / "s.mat").write_bytes(_mat() + opaque)
    with open_cube(tmp_path / "s.mat") as cube:
        assert cube.spec.shape == (4, 2, 3)
