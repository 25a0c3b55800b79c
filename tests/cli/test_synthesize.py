from __future__ import annotations

import numpy as np

from hsisr.formats import open_cube


def test_it_writes_scenes_that_training_can_begin_with(hsisr, tmp_path):
    folder = tmp_path / "leaves"
    command = ("synthesize", "-o", folder, "--count", 3, "--side", 40, "--bands", 5, "--seed", 7)
    assert hsisr(*command).code == 0
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["leaves_007.npy", "leaves_008.npy", "leaves_009.npy"]
    with open_cube(files[0]) as cube:
        assert cube.spec.shape == (5, 40, 40)
    assert not np.array_equal(np.load(files[0]), np.load(files[1]))
    run = tmp_path / "run"
    prepared = hsisr(
        *("prepare", *files[:2], "--validation", files[2], "--tokens", 4, "-s", 2, "-o", run)
    )
    assert prepared.code == 0
    assert "3 examples of up to 4 tokens" in prepared.err


def test_a_seed_gives_the_same_scene_alone_or_among_others(hsisr, tmp_path):
    size = ("--side", 32, "--bands", 3)
    hsisr("synthesize", "-o", tmp_path / "two", "--count", 2, "--seed", 4, *size)
    hsisr("synthesize", "-o", tmp_path / "one", "--count", 1, "--seed", 5, *size)
    one, among = (tmp_path / name / "leaves_005.npy" for name in ("one", "two"))
    assert one.read_bytes() == among.read_bytes()


def test_older_scenes_are_kept_unless_told_otherwise(hsisr, tmp_path):
    command = ("synthesize", "-o", tmp_path, "--count", 1, "--side", 16, "--bands", 2)
    assert hsisr(*command).code == 0
    assert hsisr(*command).code == 5
    assert hsisr(*command, "--overwrite").code == 0
