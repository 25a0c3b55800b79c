"""TIFF files that are broken, hostile or no cubes: every one ends in an `InputError`, and soon."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import rasterio
import tifffile

from hsisr.errors import InputError
from hsisr.formats import ReadOptions, open_cube, tiff
from hsisr.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

LAYOUT = {"H": 3, "I": 4, "Q": 16, "s": 2}
"""Types of values and their numbers in a directory."""


def directory(tags: dict[int, tuple[str, list[int]]], following: int = 0) -> bytes:
    """A little-endian classic directory of tags that fit into their entries."""
    entries = b""
    for code, (form, values) in sorted(tags.items()):
        value = struct.pack(f"<{len(values)}{form}", *values).ljust(4, b"\0")
        entries += struct.pack("<HHI", code, LAYOUT[form], len(values)) + value
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def plain(**changed: tuple[str, list[int]]) -> dict[int, tuple[str, list[int]]]:
    """The tags of 4 x 4 pixels of one byte whose only strip begins at byte 8."""
    tags = {
        "t256": ("I", [4]), "t257": ("I", [4]), "t258": ("H", [8]), "t259": ("H", [1]),
        "t262": ("H", [1]), "t273": ("I", [8]), "t277": ("H", [1]), "t278": ("I", [4]),
        "t279": ("I", [16]),
    }  # fmt: skip
    return {int(name[1:]): value for name, value in (tags | changed).items()}


def classic(tags: dict[int, tuple[str, list[int]]], pixels: bytes = bytes(16)) -> bytes:
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory(tags)


def endless(length: int) -> bytes:
    """A chain of `length` directories whose last one follows itself."""
    one = len(directory({256: ("I", [4])}))
    chain = (8 + one * min(i + 1, length - 1) for i in range(length))
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(
        directory({256: ("I", [4])}, following) for following in chain
    )


def written(**options: object) -> Callable[[Path], None]:
    """What tifffile makes of random bytes."""
    pixels = np.random.default_rng(3).integers(0, 255, (40, 40), dtype=np.uint8)
    return lambda path: tifffile.imwrite(path, pixels, **({"metadata": None} | options))


def cut(make: Callable[[Path], None], keep: float) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return made


def scrambled(compression: str) -> Callable[[Path], None]:
    """A compressed file whose second strip lost its end."""

    def made(path: Path) -> None:
        pixels = np.add.outer(np.arange(40) % 7, np.arange(40) ** 2).astype(np.uint8)
        tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=20, metadata=None)
        with tifffile.TiffFile(path) as file:
            start, size = file.pages[0].dataoffsets[1], file.pages[0].databytecounts[1]
        data = bytearray(path.read_bytes())
        data[start + size // 3 : start + size] = b"\xaa" * (size - size // 3)
        path.write_bytes(data)

    return made


def overwritten(tag: int, value: object, **options: object) -> Callable[[Path], None]:
    """A good file in which one tag was changed."""

    def made(path: Path) -> None:
        written(**options)(path)
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages[0].tags[tag].overwrite(value)

    return made


def two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for size in (20, 10):
            writer.write(np.zeros((size, size), np.uint8), metadata=None)


def two_cubes(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for _ in range(2):
            writer.write(
                np.zeros((3, 8, 8), np.uint8),
                photometric="minisblack",
                planarconfig="separate",
                metadata=None,
            )


def bomb(path: Path) -> None:
    """A tile of 2 GiB that inflates from a few bytes."""
    tags = plain(
        t256=("I", [1 << 16]), t257=("I", [1 << 15]), t259=("H", [8]), t278=("I", [1 << 15])
    )
    path.write_bytes(classic(tags))


def palette(path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), photometric="palette", colormap=colours)


def codec_of_images(path: Path) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", width=32, height=32, count=1, dtype="uint8", compress="jpeg"
    ) as file:
        file.write(np.zeros((1, 32, 32), np.uint8))


def of(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def array(pixels: np.ndarray, **options: object) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


HUGE = {name: ("I", [100_000]) for name in ("t256", "t257", "t278")}
UNWRITTEN = {name: ("I", [0]) for name in ("t273", "t279")}
HEAD = struct.pack("<2sHI", b"II", 42, 8)

BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a header without directory": (of(struct.pack("<2sHI", b"II", 42, 0)), "no image"),
    "a header alone": (of(HEAD), "ends inside"),
    "four bytes": (of(b"II*\0"), "ends inside"),
    "a BigTIFF with offsets of another size": (
        of(struct.pack("<2sHHHQ", b"II", 43, 4, 0, 16) + bytes(40)),
        "does not begin",
    ),
    "a directory that follows itself": (of(endless(1)), "loop"),
    "a loop of two directories": (of(endless(2)), "loop"),
    "thousands of directories": (of(endless(20_000)), "more than 4096"),
    "a directory behind the end": (of(struct.pack("<2sHI", b"II", 42, 9999)), "ends inside"),
    "an unknown type": (
        of(HEAD + struct.pack("<HHHIII", 1, 256, 99, 1, 4, 0)),
        "unknown type 99",
    ),
    "a value behind the end": (
        of(HEAD + struct.pack("<HHHIII", 1, 273, 4, 9, 9999, 0)),
        "outside the file",
    ),
    "a tag twice": (
        of(HEAD + struct.pack("<H", 2) + struct.pack("<HHII", 256, 4, 1, 4) * 2 + bytes(4)),
        "twice",
    ),
    "no pixels": (
        of(classic({256: ("I", [4]), 257: ("I", [4]), 258: ("H", [8])})),
        "0 offsets",
    ),
    "10^5 x 10^5 pixels in 134 bytes": (of(classic(plain(**HUGE))), "holds 10000000000"),
    "10^5 x 10^5 pixels never written": (of(classic(plain(**HUGE, **UNWRITTEN))), "declare"),
    "a strip that inflates to 2 GiB": (bomb, "declare"),
    "no rows": (of(classic(plain(t257=("I", [0])))), "ImageLength"),
    "a wrong byte count": (of(classic(plain(t279=("I", [15])))), "15 bytes"),
    "a strip behind the end": (of(classic(plain(t273=("I", [1000])))), "cut short"),
    "a size without an offset": (of(classic(plain(t273=("I", [0])))), "without an offset"),
    "two strips that overlap": (
        of(classic(plain(t278=("I", [2]), t273=("H", [8, 9]), t279=("H", [8, 8])))),
        "overlap",
    ),
    "more bits per sample than samples": (of(classic(plain(t258=("H", [8, 8])))), "BitsPerSample"),
    "a file cut in its pixels": (cut(written(), 0.6), "cut short"),
    "a compressed file cut in its pixels": (cut(written(compression="zlib"), 0.6), "cut short"),
    "a broken strip of DEFLATE": (scrambled("zlib"), "sound"),
    "a broken strip of ZSTD": (scrambled("zstd"), "sound"),
    "a strip of LZW that ends early": (
        overwritten(257, 80, compression="lzw", rowsperstrip=40),
        "sound",
    ),
    "a predictor without compression": (of(classic(plain(t317=("H", [2])))), "predictor 2"),
    "a palette": (palette, "palette"),
    "JPEG": (codec_of_images, "JPEG"),
    "one bit per pixel": (array(np.zeros((8, 8), bool)), "1 bit,"),
    "twelve bits per pixel": (of(classic(plain(t258=("H", [12])))), "12 bits"),
    "half floats": (array(np.zeros((8, 8), np.float16)), "16 bits, IEEEFP"),
    "complex numbers": (array(np.zeros((8, 8), np.complex64)), "COMPLEX"),
    "reversed bits": (of(classic(plain(t266=("H", [2])))), "FillOrder"),
    "a volume": (
        array(np.zeros((16, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16)),
        "voxels",
    ),
    "images of two sizes": (two_sizes, "different sizes"),
    "two cubes": (two_cubes, "2 images of 3 bands"),
    "a file of a microscope": (of(classic(plain(t34412=("I", [1])))), "microscope"),
    "only an overview": (of(classic(plain(t254=("I", [1])))), "overviews"),
}


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail instead of hanging."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_everything(path: Path) -> None:
    with tiff.read(path, ReadOptions()) as cube:
        bands, rows, cols = cube.spec.shape
        cube.read(Window(0, 0, min(rows, 200), min(cols, 200, 10**7 // bands)))


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    make, reason = BAD[case]
    path = tmp_path / "scene.tif"
    make(path)
    with at_most(5), pytest.raises(InputError, match=reason) as refused:
        read_everything(path)
    assert refused.value.where == str(path)
    assert refused.value.hint


def test_what_a_bad_file_holds_is_not_told_at_length(tmp_path: Path) -> None:
    path, width = tmp_path / "scene.tif", struct.pack("<HHII", 256, 4, 1, 4)
    data = classic(plain(), bytes(range(250)) * 16)
    path.write_bytes(data.replace(width, struct.pack("<HHII", 256, 4, 900, 8)))
    with pytest.raises(InputError, match=r"ImageWidth is \(50462976, .{0,200}$"):
        read_everything(path)


def test_the_file_that_the_bad_ones_vary_is_good(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(classic(plain(), bytes(range(16))))
    with tiff.read(path, ReadOptions()) as cube:
        assert cube.read(cube.spec.window).ravel().tolist() == list(range(16))


@pytest.mark.parametrize(
    "head",
    [
        b'<VRTDataset rasterXSize="4" rasterYSize="4"><SourceFilename>/etc/passwd',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"<!DOCTYPE html><html>",
        b"",
        b"II",
    ],
)
def test_what_is_only_named_tif_is_not_a_tiff(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(head)
    assert not tiff.sniff(path, head)
    with pytest.raises(InputError, match="not a format"):
        open_cube(path)


def test_nothing_is_printed_or_logged_about_a_bad_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(classic(plain(t278=("I", [1]))))
    with pytest.raises(InputError):
        read_everything(path)
    assert capfd.readouterr() == ("", "")


def originals(folder: Path) -> list[bytes]:
    """Small files of the kinds whose parts are worth damaging."""
    cube = np.random.default_rng(1).integers(0, 999, (3, 20, 24)).astype(np.int16)
    options: list[dict[str, object]] = [
        {},
        {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "lzw", "interleave": "pixel", "bigtiff": "YES"},
        {"compress": "zstd", "endianness": "BIG"},
        {"compress": "packbits", "blockysize": 4},
    ]
    found = []
    for i, extra in enumerate(options):
        path = folder / f"original{i}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", count=3, height=20, width=24, dtype="int16", nodata=-1,
            crs="EPSG:32633", transform=rasterio.Affine(30, 0, 5e5, 0, -30, 4e6), **extra,
        ) as file:  # fmt: skip
            file.write(cube)
            file.descriptions = ("450 nm", "550 nm", "650 nm")
        found.append(path.read_bytes())
    path = folder / "pages.tif"
    tifffile.imwrite(path, cube, photometric="minisblack")
    return [*found, path.read_bytes()]


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """`data` with some bytes changed, repeated, lost, or its end cut off."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 5)):
        place = int(random.integers(0, len(changed)))
        kind = random.integers(0, 10)
        if kind < 6:
            changed[place] = random.choice([0, 1, 2, 3, 255, int(random.integers(0, 256))])
        elif kind < 8:
            changed[place : place + 4] = random.bytes(4)
        elif kind == 8:
            del changed[place : place + int(random.integers(1, 8))]
        else:
            del changed[place:]
        if len(changed) < 8:
            break
    return bytes(changed)


def refusal(path: Path) -> InputError | None:
    try:
        with at_most(5):
            read_everything(path)
    except InputError as error:
        return error
    return None


def test_no_mutation_escapes_as_anything_but_an_input_error(tmp_path: Path) -> None:
    random = np.random.default_rng(20)
    sources = originals(tmp_path)
    path = tmp_path / "mutant.tif"
    refused = []
    for i in range(360):
        path.write_bytes(mutated(sources[i % len(sources)], random))
        refused.append(refusal(path))
    assert {error.where for error in refused if error} == {str(path)}
    assert None in refused
