"""A run that is stopped anywhere and continued gives the files of an undisturbed one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from hsisr.cube import ArrayCube, CubeSpec, Spectrum
from hsisr.encoding import encode
from hsisr.errors import Interrupted
from hsisr.formats import create_cube, open_cube
from hsisr.formats.tiff import layout as tiff_layout
from hsisr.runtime import Runtime
from hsisr.scene.survey import survey
from hsisr.tiling.assembly import Assembly, Production, Target
from hsisr.tiling.engine import Engine, Worker
from hsisr.tiling.ensemble import Ensemble
from hsisr.tiling.journal import Journal, Share, Unkept
from hsisr.tiling.operations import Operation
from hsisr.tiling.run import plan
from hsisr.window import Slab, Tile, Window
from hsisr_models.rendering import Area, Renderer
from tests.hsisr.tiles import Pointwise, cube_of, with_holes

Scene = Callable[..., NDArray[np.float32]]
SIZE, TILE, LONGEST = (37, 43), (8, 8), 2
FORMATS = [
    ("envi", "bsq", "out.img"),
    ("envi", "bil", "out.img"),
    ("envi", "bip", "out.img"),
    ("tiff", "bsq", "out.tif"),
    ("tiff", "bip", "out.tif"),
    ("npy", "bsq", "out.npy"),
    ("hdf5", "bsq", "out.h5"),
    ("hdf5", "bsq", "out.mat"),
]
formats = pytest.mark.parametrize(("format_name", "interleave", "name"), FORMATS)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TIFF file of this size has several."""
    monkeypatch.setattr(tiff_layout, "_SIDE", 32)


class Counted(Pointwise):
    """Tells how many tiles it was asked for; none has more rows than are rendered at a time."""

    calls = 0

    def prepare(self, scene: Tensor, *, kept: Area | None = None) -> Renderer:
        render = super().prepare(scene, kept=kept)

        def rendered(rows: slice, cols: slice) -> Tensor:
            Counted.calls += 1
            return render(rows, cols)

        return rendered


def spec_of(cube: ArrayCube, interleave: str) -> CubeSpec:
    """Half of what is stored lies beyond its type."""
    return replace(
        cube.spec.upscaled(3),
        dtype=np.dtype(np.uint8),
        nodata=0.0,
        spectrum=Spectrum(tuple(400.0 + band for band in range(cube.spec.bands))),
        interleave=interleave,  # type: ignore[arg-type]
    )


class Runs:
    """Runs of one scene into one folder, each of which goes on where the last one stopped."""

    def __init__(self, cube: ArrayCube, operation: Operation, target: Target, cpu: Runtime) -> None:
        self._cube, self._operation, self._target, self._cpu = cube, operation, target, cpu
        self.cut = plan(cube.spec, operation, TILE)

    def run(self, *, share: str = "1/1", stop: int | None = None) -> tuple[Production, list[int]]:
        """Stopped after so many steps; also returns what they told."""
        folder = self._target.cubes[0][0].with_name("journal")
        with suppress(Interrupted), Journal(folder, {}, Share.parse(share)) as journal:
            production = Production(self._target, self.cut, journal)
            with closing(production.run(self._engine().run, LONGEST)) as pixels:
                told = list(islice(pixels, stop))
            if stop:
                raise Interrupted("stopped")
        return production, told

    def _engine(self) -> Engine:
        crew = [Worker(self._operation, self._cpu)] * 2
        return Engine(self._cube, survey(self._cube), self.cut, crew)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def prepared(scene: Scene, tmp_path: Path, cpu: Runtime) -> Callable[..., Runs]:
    block = with_holes(scene(3, *SIZE)) / 4
    block[:, 16:24, :24] = np.nan  # tiles without data

    def make(folder: str, format_name: str, interleave: str, name: str) -> Runs:
        cube = cube_of(block)
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        target = Target([(place / name, spec_of(cube, interleave))], format_name)
        return Runs(cube, Counted(), target, cpu)

    return make


@formats
def test_a_run_that_was_stopped_anywhere_gives_the_same_file(
    prepared: Callable[..., Runs], tmp_path: Path, format_name: str, interleave: str, name: str
) -> None:
    kind = (format_name, interleave, name)
    whole, told = prepared("whole", *kind).run()
    assert whole.published
    expected = contents(tmp_path / "whole")
    assert set(expected) <= {name, "out.hdr"}
    steps, area = len(told), SIZE[0] * SIZE[1] * 9
    assert (told[0], told[-1]) == (0, area)
    clipped = whole.clipped
    assert clipped > 1000
    for stop in (1, 2, 5, steps // 2, steps - 1):
        folder = f"stopped{stop}"
        stopped, _ = prepared(folder, *kind).run(stop=stop)
        assert not stopped.published
        assert not (tmp_path / folder / name).exists()
        again, told = prepared(folder, *kind).run()
        assert again.published
        assert told[-1] == area
        assert contents(tmp_path / folder) == expected
        assert again.clipped == clipped


def test_the_values_are_those_of_the_operation(
    prepared: Callable[..., Runs], scene: Scene, tmp_path: Path
) -> None:
    production, _ = prepared("whole", "envi", "bil", "out.img").run()
    block = with_holes(scene(3, *SIZE)) / 4
    block[:, 16:24, :24] = np.nan
    fine = 2 * block.repeat(3, 1).repeat(3, 2)
    with open_cube(tmp_path / "whole" / "out.hdr") as found:
        values = found.read(found.spec.window)
    stored = np.clip(np.rint(fine), 0, 255)
    stored[stored == 0] = 1  # next to the number that says "no data"
    np.testing.assert_array_equal(values, stored)
    assert production.clipped == np.count_nonzero(np.rint(fine) > 255)


@formats
def test_tiles_of_earlier_runs_are_not_computed_again(
    prepared: Callable[..., Runs], tmp_path: Path, format_name: str, interleave: str, name: str
) -> None:
    runs = prepared("stopped", format_name, interleave, name)
    tiles = [tile.write for tile in runs.cut]
    runs.run(stop=len(tiles) // 2)
    log = (tmp_path / "stopped" / "journal" / "1-of-1.log").read_text()
    slabs = (tuple(map(int, line.split())) for line in log.splitlines())
    done = {number for first, last, _ in slabs for number in range(first, last + 1)}
    assert len(done) > 5
    Counted.calls = 0
    _, told = runs.run()
    assert told[0] == sum(tiles[number].height * tiles[number].width for number in done)
    assert len(told) == 1 + len(tiles) - len(done)
    # some tiles are without data
    assert 0 < Counted.calls <= len(tiles) - len(done)


def test_two_cubes_are_stopped_and_continued_together(
    scene: Scene, cpu: Runtime, tmp_path: Path
) -> None:
    cube = cube_of(with_holes(scene(3, *SIZE)))
    operation = Ensemble(Counted(), spread=True)

    def runs(folder: str) -> Runs:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        spec = spec_of(cube, "bip")
        spread = spec.with_bands(["uncertainty"])
        return Runs(
            cube,
            operation,
            Target([(place / "a.img", spec), (place / "b.img", spread)], "envi"),
            cpu,
        )

    runs("whole").run()
    expected = contents(tmp_path / "whole")
    assert set(expected) == {"a.img", "a.hdr", "b.img", "b.hdr"}
    for stop in (3, 12):
        runs("stopped").run(stop=stop)
        assert not list((tmp_path / "stopped").glob("?.???"))
    assert runs("stopped").run()[0].published
    assert contents(tmp_path / "stopped") == expected


@pytest.mark.parametrize("lost", ["a.img.part", "b.img.part", "b.hdr.part"])
def test_what_lacks_a_part_is_done_again(
    scene: Scene, cpu: Runtime, tmp_path: Path, lost: str
) -> None:
    cube = cube_of(scene(3, *SIZE))
    operation = Ensemble(Counted(), spread=True)
    spec = spec_of(cube, "bsq")
    cubes = [(tmp_path / "a.img", spec), (tmp_path / "b.img", spec.with_bands(["uncertainty"]))]
    runs = Runs(cube, operation, Target(cubes, "envi"), cpu)
    runs.run(stop=20)
    (tmp_path / lost).unlink()
    production, told = runs.run()
    assert told[0] == 0
    assert production.published
    with open_cube(tmp_path / "a.hdr") as found:
        assert (found.read(found.spec.window) > 0).all()


@pytest.mark.parametrize(("format_name", "interleave", "name"), FORMATS[:5])
def test_shares_write_one_file(
    prepared: Callable[..., Runs], tmp_path: Path, format_name: str, interleave: str, name: str
) -> None:
    kind = (format_name, interleave, name)
    whole, _ = prepared("whole", *kind).run()
    for order in ((1, 2, 3), (3, 1, 2)):
        published = []
        for index in order:
            one, _ = prepared("shared", *kind).run(share=f"{index}/3")
            published.append(one.published)
        assert published == [False, False, True]
        assert one.clipped == whole.clipped
        assert contents(tmp_path / "shared") == contents(tmp_path / "whole")
        for path in (tmp_path / "shared").iterdir():
            path.unlink()


def test_a_stopped_share_may_be_continued_by_another_number_of_shares(
    prepared: Callable[..., Runs], tmp_path: Path
) -> None:
    kind = ("envi", "bil", "out.img")
    whole, _ = prepared("whole", *kind).run()
    prepared("shared", *kind).run(share="2/3")
    prepared("shared", *kind).run(share="1/2", stop=6)
    Counted.calls = 0
    last, told = prepared("shared", *kind).run()
    assert told[0] > 0
    assert Counted.calls < len(prepared("shared", *kind).cut)
    assert last.published
    assert last.clipped == whole.clipped
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


def test_of_a_run_that_is_not_kept_nothing_is_left(
    scene: Scene, cpu: Runtime, tmp_path: Path
) -> None:
    cube, operation = cube_of(scene(3, *SIZE)), Counted()
    target = Target([(tmp_path / "out.img", spec_of(cube, "bsq"))], "envi")
    cut = plan(cube.spec, operation, TILE)
    for stop in (5, None):
        engine = Engine(cube, survey(cube), cut, [Worker(operation, cpu)])
        production = Production(target, cut, Unkept())
        pixels = production.run(engine.run, LONGEST)
        told = list(islice(pixels, stop))
        pixels.close()
        assert told[0] == 0
        assert production.published == (stop is None)
        assert {p.name for p in tmp_path.iterdir()} == (set() if stop else {"out.img", "out.hdr"})
    assert production.clipped > 1000


def test_nothing_is_left_of_a_run_that_was_stopped_before_its_first_slab(
    prepared: Callable[..., Runs], tmp_path: Path
) -> None:
    prepared("stopped", "envi", "bsq", "out.img").run(stop=1)
    assert not list((tmp_path / "stopped").iterdir())


def test_an_error_of_the_engine_keeps_what_is_done(
    prepared: Callable[..., Runs], tmp_path: Path
) -> None:
    runs = prepared("broken", "envi", "bsq", "out.img")
    engine = runs._engine()

    def breaks(*arguments: object) -> Generator[object]:
        yield from islice(engine.run(*arguments), 9)  # type: ignore[arg-type]
        raise RuntimeError("broken")

    with Journal(tmp_path / "broken" / "journal", {}, Share()) as journal:
        production = Production(runs._target, runs.cut, journal)
        with pytest.raises(RuntimeError, match="broken"):
            list(production.run(breaks, LONGEST))  # type: ignore[arg-type]
        assert journal.done()
    _, told = runs.run()
    assert told[0] > 0
    prepared("whole", "envi", "bsq", "out.img").run()
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_a_window_without_data_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    spec = CubeSpec(40, 400, 400, np.dtype(np.int16), nodata=-1.0)
    slab = Slab(range(1), (Tile(spec.window, spec.window, spec.window),))
    with create_cube(tmp_path / "out.npy", spec, "npy") as writer:
        assembly = Assembly([writer])
        tracemalloc.start()
        assembly.take(slab, spec.window, None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert assembly.store(slab) == 0
    assert spec.nbytes <= peak < 1.1 * spec.nbytes
    assert (np.load(tmp_path / "out.npy") == -1).all()


def test_slabs_lie_in_the_memory_of_earlier_ones(tmp_path: Path) -> None:
    """Of any size, and the file is right."""
    spec = CubeSpec(40, 400, 400, np.dtype(np.int16))
    starts = [0, 50, 200, 350, 400]
    with create_cube(tmp_path / "out.npy", spec, "npy") as writer:
        assembly = Assembly([writer])
        tracemalloc.start()
        for number, (start, stop) in enumerate(pairwise(starts)):
            window = Window(start, 0, stop - start, 400)
            slab = Slab(range(number, number + 1), (Tile(window, window, window),))
            for row in range(start, stop):
                line = np.full((40, 1, 400), row, np.float32)
                assembly.take(slab, Window(row, 0, 1, 400), line)
            assembly.store(slab)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # the largest, what is encoded, and what is turned into the order of the file
    assert peak < 1.5 * spec.nbytes * 150 / 400
    rows = np.arange(400, dtype=np.int16)[:, None, None]
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy"), np.broadcast_to(rows, (400, 400, 40))
    )


def test_windows_of_a_slab_are_encoded_as_a_whole_would_be(
    scene: Scene, tmp_path: Path, rng: np.random.Generator
) -> None:
    block = with_holes(scene(5, 24, 30))
    specs = [CubeSpec(bands, 24, 30, np.dtype(np.uint8), nodata=0.0) for bands in (2, 3)]
    whole = Window(0, 0, 24, 30)
    slab = Slab(range(1), (Tile(whole, whole, whole),))
    parts = [Window(row, col, 8, 10) for row in range(0, 24, 8) for col in range(0, 30, 10)]
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    with create_cube(paths[0], specs[0], "npy") as a, create_cube(paths[1], specs[1], "npy") as b:
        assembly = Assembly([a, b])
        for index in rng.permutation(len(parts)):
            assembly.take(slab, parts[index], block[:, *parts[index].slices])
        clipped = assembly.store(slab)
    halves = [encode(block[:2], specs[0]), encode(block[2:], specs[1])]
    assert clipped == sum(count for _, count in halves) > 100
    for path, (stored, _) in zip(paths, halves, strict=True):
        np.testing.assert_array_equal(np.load(path).transpose(2, 0, 1), stored)
