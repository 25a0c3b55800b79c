from __future__ import annotations

import numpy as np
import pytest

from hsisr.errors import OutputError
from hsisr.formats import open_cube
from hsisr.runtime import choose
from hsisr.scene.survey import survey
from hsisr.speed.ceiling import Load, made_up, model_of
from hsisr.speed.rehearsal import Repeated, Stage, _operations, rehearse, write_scene
from hsisr.tiling.run import plan
from hsisr.window import Window
from tests.hsisr.speed.test_ceiling import driven

CPU = choose("cpu", "fp32")


def stage_of(nbytes=40_000, form="envi", interleave="bsq"):
    return Stage(Stage.scene(nbytes, 5, 2, interleave), form, CPU, 2)


def test_the_output_has_about_the_size_that_was_asked_for():
    spec = stage_of(10_000_000).spec.upscaled(2)
    assert spec.nbytes == pytest.approx(10_000_000, rel=0.01)
    assert spec.dtype == np.int16


def test_a_scene_is_a_pattern_repeated():
    cube = Repeated(Stage.scene(10_000_000, 2, 2, "bsq"))
    side, pattern = cube.spec.rows, made_up(256, 2)
    assert side > 3 * 256
    whole = np.tile(pattern, (1, 4, 4))[:, :side, :side]
    for window in (
        Window(0, 0, side, side),
        Window(255, 256, 2, 1),
        Window(250, 100, 520, 90),
        Window(side - 1, side - 5, 1, 5),
    ):
        assert np.array_equal(cube.read(window), whole[:, *window.slices])


@pytest.mark.parametrize("form", ["envi", "tiff"])
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_the_file_holds_the_scene(form, interleave, tmp_path):
    stage = stage_of(form=form, interleave=interleave)
    path = driven(write_scene(stage, tmp_path, 2))
    with open_cube(path) as cube:
        assert cube.format == form
        assert np.array_equal(
            cube.read(cube.spec.window), Repeated(stage.spec).read(cube.spec.window)
        )
        if form == "envi":
            assert cube.spec.interleave == interleave


def test_a_scene_for_which_there_is_no_room_is_not_begun(tmp_path):
    with pytest.raises(OutputError, match="not enough disk"):
        driven(write_scene(stage_of(10**18), tmp_path, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["envi", "tiff"])
def test_a_rehearsal_is_a_run_that_leaves_nothing(form, tmp_path):
    stage, model = stage_of(form=form), model_of("bicubic", 2, 5)
    scene = driven(write_scene(stage, tmp_path, 2))
    before = sorted(tmp_path.iterdir())
    written = set()
    steps = rehearse(model, scene, stage, tmp_path)
    for _ in steps:
        written |= {path.name for path in tmp_path.iterdir()}
    assert any(name.startswith("sharper") and name.endswith(".part") for name in written)
    assert "sharper.journal" in written
    assert sorted(tmp_path.iterdir()) == before


def test_a_rehearsal_tells_what_was_written(tmp_path):
    stage, model = stage_of(), model_of("bicubic", 2, 5)
    found = driven(rehearse(model, driven(write_scene(stage, tmp_path, 2)), stage, tmp_path))
    assert found.output.shape == (5, 2 * stage.spec.rows, 2 * stage.spec.cols)
    assert found.pixels == 4 * stage.spec.rows * stage.spec.cols
    assert found.seconds == found.survey_seconds + found.run_seconds
    assert found.peak_bytes > 50 << 20


def test_the_operations_of_a_run_are_those_of_its_tiles(tmp_path):
    cube = Repeated(stage_of().spec)
    seen, model = survey(cube), model_of("bicubic", 2, 5)
    operation = model.operation(seen, CPU)
    cut = plan(cube.spec, operation, (8, 16))
    expected = sum(
        Load(operation, cube.read(tile.read), tile.kept, seen, CPU).operations() for tile in cut
    )
    assert expected > 0
    assert driven(_operations(operation, seen, cut, CPU)) == expected
