"""Damaged and hostile HDF5 files: nothing outside the file is read, nothing absurd is believed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsisr.cube import CubeSpec, Geo, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import InputError
from hsisr.formats import ReadOptions, _confined, create_cube, hdf5, open_cube

VALUES = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
Hostile = Callable[[h5py.File, Path], None]


def _external_link(file: h5py.File, secret: Path) -> None:
    file["cube"] = h5py.ExternalLink(str(secret), "cube")


def _nested_external_link(file: h5py.File, secret: Path) -> None:
    file["cube"] = VALUES
    file.create_group("a/b")["more"] = h5py.ExternalLink(str(secret), "cube")


def _external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("cube", (4, 5, 6), "u2", external=[(str(secret), 0, 240)])


def _virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((4, 5, 6), "u2")
    layout[:] = h5py.VirtualSource(str(secret), "cube", (4, 5, 6))
    file.create_virtual_dataset("cube", layout)


def _soft_link(file: h5py.File, _: Path) -> None:
    file["cube"] = h5py.SoftLink("/elsewhere")


def _shape_bomb(file: h5py.File, _: Path) -> None:
    file.create_dataset("cube", (10**6, 10**6, 10**3), "f4", chunks=(64, 64, 10))


def _many_small_bombs(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES
    for index in range(50):
        file.create_dataset(f"d{index}", (10**4, 100), "f4", chunks=(100, 100))


def _huge_chunk(file: h5py.File, _: Path) -> None:
    shape = (100, 100, 7000)
    dataset = file.create_dataset("cube", shape, "f4", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(280_000_000), 1))


def _chunk_bomb(file: h5py.File, _: Path) -> None:
    shape = (10, 10, 10)
    dataset = file.create_dataset("cube", shape, "u1", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(50_000_000), 1))


def _unknown_filter(file: h5py.File, _: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    file.create_dataset("cube", data=VALUES, chunks=(2, 5, 6), dcpl=plist)


def _never_written(file: h5py.File, _: Path) -> None:
    file.create_dataset("cube", (4, 5, 6), "u2", chunks=(4, 5, 6))


def _too_many_objects(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES
    for index in range(10_001):
        file[f"l{index}"] = file["cube"]


def _matlab_empty(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES
    file["cube"].attrs["MATLAB_class"] = np.bytes_("double")
    file["cube"].attrs["MATLAB_empty"] = np.uint8(1)


def _matlab_logical(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES.astype(np.uint8)
    file["cube"].attrs["MATLAB_class"] = np.bytes_("logical")


def _references(file: h5py.File, _: Path) -> None:
    dataset = file.create_dataset("cube", (2, 2, 2), h5py.ref_dtype)
    dataset[...] = file.ref


def _strings(file: h5py.File, _: Path) -> None:
    file["cube"] = np.full((2, 2, 2), "text", h5py.string_dtype())


def _complex(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES.astype(complex)


def _booleans(file: h5py.File, _: Path) -> None:
    file["cube"] = VALUES > 3


HOSTILE: list[tuple[Hostile, str]] = [
    (_external_link, "is a link to another file"),
    (_nested_external_link, "'a/b/more' is a link to another file"),
    (_external_storage, "keeps its data in another file"),
    (_virtual, "is a virtual data set"),
    (_soft_link, "cube (soft link)"),
    (_shape_bomb, "declares 4000.0 TB"),
    (_many_small_bombs, "declares 200.0 MB"),
    (_huge_chunk, "chunks of 280.0 MB"),
    (_chunk_bomb, "is stored in chunks of"),
    (_unknown_filter, "needs a plug-in: 32015"),
    (_never_written, "was never written"),
    (_too_many_objects, "more than 10000 objects"),
    (_matlab_empty, "cube (6x5x4 empty)"),
    (_matlab_logical, "cube (6x5x4 logical)"),
    (_references, "cube (2x2x2 object)"),
    (_strings, "cube (2x2x2 text)"),
    (_complex, "cube (4x5x6 complex)"),
    (_booleans, "cube (4x5x6 bool)"),
]


@pytest.mark.parametrize(("make", "what"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_what_must_not_be_read_is_refused_in_words(
    tmp_path: Path, make: Hostile, what: str
) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["cube"] = VALUES
    with h5py.File(tmp_path / "s.h5", "w") as file:
        make(file, secret)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "s.h5")
    assert what in caught.value.what


def test_a_soft_link_beside_a_cube_is_left_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["cube"] = VALUES
        file["alias"] = h5py.SoftLink("/cube")
    with open_cube(tmp_path / "s.h5") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), VALUES.transpose(2, 0, 1))
    with pytest.raises(InputError, match="soft link"):
        open_cube(tmp_path / "s.h5", ReadOptions(var="alias"))


def test_groups_that_contain_themselves_are_entered_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["group/cube"] = VALUES
        file["group/again"] = file["group"]
        file["group/up"] = file["/"]
    with open_cube(tmp_path / "s.h5") as cube:
        assert cube.spec.shape == (6, 4, 5)


def _bytes(*, texts: bool = True, libver: str = "earliest", **options: object) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=libver) as file:
        dataset = file.create_dataset("cube", data=VALUES, **options)
        dataset.attrs["scale_factor"] = 2.0
        if texts:
            dataset.attrs["crs"] = "a text of variable length"
            dataset.attrs["DIMENSION_LABELS"] = np.array(["y", "x", "band"], object)
        file["group/wavelength"] = np.arange(6) * 100.0 + 400
    return buffer.getvalue()


def _written(tmp_path: Path) -> bytes:
    spectrum = Spectrum((400.0, 500.0, 600.0))
    geo = Geo((1.0, 0.0, 2.0, 0.0, -1.0, 3.0), "EPSG:4326")
    spec = CubeSpec(3, 4, 5, np.dtype(np.uint16), spectrum=spectrum, geo=geo)
    with create_cube(tmp_path / "own.mat", spec, "hdf5") as writer:
        write_block(writer, spec.window, np.ones(spec.shape, np.float32))
    return (tmp_path / "own.mat").read_bytes()


def _opens(path: Path, data: bytes) -> bool:
    """Whether the file is read; any escape but `InputError` fails the test."""
    path.write_bytes(data)
    try:
        with hdf5.read(path, ReadOptions()) as cube:
            cube.read(cube.spec.window)
    except InputError:
        return False
    return True


def test_truncation_is_an_input_error(tmp_path: Path) -> None:
    data = _bytes()
    for end in np.linspace(8, len(data) - 1, 40).astype(int):
        assert not _opens(tmp_path / "s.h5", data[:end])


def test_a_file_still_open_for_writing_is_an_input_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w", libver="latest") as file:
        file["cube"] = VALUES
        file.flush()
        unfinished = (tmp_path / "s.h5").read_bytes()
    assert not _opens(tmp_path / "copy.h5", unfinished)
    (tmp_path / "copy.h5").write_bytes(unfinished)
    with pytest.raises(InputError) as caught:
        open_cube(tmp_path / "copy.h5")
    assert "not closed properly" in str(caught.value.hint)


def _mutated(original: bytes, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    data = bytearray(original)
    numbers = [0, 1, 255, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(8, len(data) - 4))
        if rng.integers(2):
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data[at : at + 4] = int(rng.choice(numbers)).to_bytes(4, "little")
    return bytes(data)


def test_mutations_are_read_or_refused_and_nothing_worse(tmp_path: Path) -> None:
    packed = {"chunks": (2, 3, 6), "compression": "gzip", "shuffle": True, "fletcher32": True}
    originals = [_written(tmp_path), _bytes(texts=False, **packed)]
    originals.append(_bytes(texts=False, libver="latest", **packed))
    opened = [_opens(tmp_path / "s.h5", _mutated(originals[i % 3], i)) for i in range(600)]
    assert any(opened)
    assert not all(opened)


def test_the_texts_of_a_damaged_heap_cannot_take_the_reader_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the global heap holds what is of variable length; inside it HDF5 itself does not check enough
    data = _bytes()
    assert _opens(tmp_path / "s.h5", data)
    monkeypatch.setattr(_confined, "_SECONDS", 2)
    heap = data.index(b"GCOL")
    for seed in range(12):
        broken = _mutated(data[heap : heap + 256], seed)
        _opens(tmp_path / "s.h5", data[:heap] + broken + data[heap + 256 :])
