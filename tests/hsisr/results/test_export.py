"""Results get names, formats and files that a user would expect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spectral
from numpy.typing import NDArray

from hsisr.cube import CubeSpec, Spectrum
from hsisr.encoding import write_block
from hsisr.errors import OutputError, UsageError
from hsisr.formats import FORMATS, create_cube, open_cube
from hsisr.results import export
from hsisr.window import TilePlan, Window

Scene = Callable[..., NDArray[np.float32]]


def written(path: Path, format_name: str, block: NDArray[np.float32]) -> CubeSpec:
    spec = CubeSpec(*block.shape, np.dtype(np.float32))
    with create_cube(path, spec, format_name) as writer:
        write_block(writer, spec.window, block)
    return spec


@pytest.mark.parametrize(
    ("wanted", "output", "expected"),
    [
        (None, None, "envi"),
        ("tiff", None, "tiff"),
        ("tiff", "x.img", "tiff"),
        (None, "x.tif", "tiff"),
        (None, "x.TIFF", "tiff"),
        (None, "x.mat", "mat5"),
        (None, "x.h5", "hdf5"),
        (None, "x.npy", "npy"),
        (None, "x.hdr", "envi"),
        (None, "x.img", "envi"),
        (None, "x.v2", "envi"),
        (None, "x", "envi"),
    ],
)
def test_the_format_is_the_one_asked_for_named_or_read(
    tmp_path: Path, scene: Scene, wanted: str | None, output: str | None, expected: str
) -> None:
    written(tmp_path / "scene.img", "envi", scene(2, 3, 4))
    with open_cube(tmp_path / "scene.hdr") as cube:
        assert export.format_of(cube, wanted, output and Path(output)) == expected
        with pytest.raises(UsageError, match="no format 'jpeg'"):
            export.format_of(cube, "jpeg", None)


@pytest.mark.parametrize(
    ("name", "format_name", "expected"),
    [
        ("scene.img", "envi", "scene_x8.img"),
        ("scene.v2.img", "envi", "scene.v2_x8.img"),
        ("scene.tif", "tiff", "scene_x8.tif"),
        ("scene.npy", "npy", "scene_x8.npy"),
        ("scene.mat", "mat5", "scene_x8.mat"),
        ("scene.h5", "hdf5", "scene_x8.h5"),
    ],
)
def test_a_result_lies_beside_its_scene_with_a_tag(
    tmp_path: Path, scene: Scene, name: str, format_name: str, expected: str
) -> None:
    written(tmp_path / name, format_name, scene(2, 3, 4))
    with open_cube(tmp_path / name) as cube:
        stem = export.stem_of(cube, None)
        like = cube.files[0]
    found = export.tagged(stem, "x8", format_name, like)
    assert found == tmp_path / expected
    assert export.beside(found, ".png").name == expected.rsplit(".", 1)[0] + ".png"
    # it is a name under which the format writes, and is found again
    written(found, format_name, scene(2, 3, 4))
    assert all(path.exists() for path in export.outputs_of(found, format_name)[:1])
    with open_cube(found) as back:
        assert back.format == format_name


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_result_in_another_format_gets_its_ending(tmp_path: Path, format_name: str) -> None:
    found = export.tagged(tmp_path / "scene", "x2", format_name)
    assert found.parent == tmp_path
    assert found.name.startswith("scene_x2.")
    assert found.suffix != ".hdr"


def test_several_results_share_the_stem_of_the_output(tmp_path: Path, scene: Scene) -> None:
    written(tmp_path / "scene.img", "envi", scene(2, 3, 4))
    (tmp_path / "results").mkdir()
    with open_cube(tmp_path / "scene.hdr") as cube:
        assert export.stem_of(cube, None) == tmp_path / "scene"
        assert export.stem_of(cube, tmp_path / "results") == tmp_path / "results" / "scene"
        assert export.stem_of(cube, tmp_path / "other.img") == tmp_path / "other"
        assert export.stem_of(cube, tmp_path / "run.2") == tmp_path / "run.2"


def test_outputs_are_checked_before_any_work(tmp_path: Path) -> None:
    scene, output = tmp_path / "scene.img", tmp_path / "out.img"
    scene.touch()
    export.require_writable([output], [scene], 10, overwrite=False)
    with pytest.raises(UsageError, match="replace the input"):
        export.require_writable([output, scene], [scene], 10, overwrite=True)
    with pytest.raises(OutputError, match="not enough disk"):
        export.require_writable([output], [scene], 10**18, overwrite=False)
    output.touch()
    with pytest.raises(OutputError, match="already exists"):
        export.require_writable([output], [scene], 10, overwrite=False)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_cube_is_written_window_by_window(tmp_path: Path, scene: Scene, format_name: str) -> None:
    block = scene(3, 13, 17)
    spec = CubeSpec(*block.shape, np.dtype(np.uint8))
    path = export.tagged(tmp_path / "scene", "x1", format_name)
    windows = [step.write for step in TilePlan(13, 17, tile=(5, 5), halo=0)]
    with create_cube(path, spec, format_name) as writer:
        counts = [write_block(writer, window, block[:, *window.slices]) for window in windows]
    assert sum(counts) == int((np.rint(block) > 255).sum())
    with open_cube(path) as cube:
        found = cube.read(cube.spec.window)
    np.testing.assert_array_equal(found, np.clip(np.rint(block), 0, 255))


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_cube_that_is_left_early_never_appears(
    tmp_path: Path, scene: Scene, format_name: str
) -> None:
    block = scene(3, 6, 7)
    spec = CubeSpec(*block.shape, np.dtype(np.float32))
    path = export.tagged(tmp_path / "scene", "x1", format_name)

    def stopped_early() -> None:
        with create_cube(path, spec, format_name) as writer:
            for row in range(2):
                write_block(writer, Window(row, 0, 1, 7), block[:, row : row + 1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_early()
    assert list(tmp_path.iterdir()) == []


def test_endmembers_are_written_for_other_programs(tmp_path: Path) -> None:
    spectra = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    centres = (450.0, 550.5, 650.0, 750.0, 850.0)
    files = export.write_endmembers(tmp_path / "scene", spectra, Spectrum(centres))
    assert [path.name for path in files] == ["scene.sli", "scene.hdr", "scene.csv"]
    assert files == export.library_files(tmp_path / "scene")
    library = spectral.envi.open(str(files[1]))
    np.testing.assert_array_equal(library.spectra, spectra)
    assert library.names == list(export.endmember_names(3))
    np.testing.assert_allclose(library.bands.centers, centres)
    table = np.genfromtxt(files[2], delimiter=",", skip_header=1)
    np.testing.assert_allclose(table, np.column_stack([centres, spectra.T]), rtol=1e-6)


def test_sizes_are_told_in_words() -> None:
    spec = CubeSpec(387, 33600, 4784, np.dtype(np.int16))
    assert export.size_in_words(spec) == "4784 x 33600 pixels x 387 bands int16, 124.4 GB"
