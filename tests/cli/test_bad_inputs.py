"""What people really pass in: every case ends with its exit code, one sentence and a next step."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.cli.bad import cases_in, require_explained

INPUT, MODEL, USAGE = 3, 4, 2


@dataclass(frozen=True)
class Bad:
    """A case: what is passed to `upscale`, and how it must end."""

    scene: str | Path
    code: int
    said: str
    hint: str | None = None
    model: str | Path = "bicubic"


def _data_of(header):
    return header.with_suffix(".img")


def no_file(make, world, folder):
    make("scene")
    return Bad(folder / "scena.hdr", INPUT, "no such file|no data file", "did you mean scene")


def no_data_file(make, world, folder):
    _data_of(make()).unlink()
    return Bad(folder / "mine.hdr", INPUT, "no data file; looked for mine and mine with .img")


def no_header(make, world, folder):
    make().unlink()
    return Bad(folder / "mine.img", INPUT, "no ENVI header; looked for mine.img.hdr, .*mine.hdr")


def a_byte_short(make, world, folder):
    data = _data_of(make())
    data.write_bytes(data.read_bytes()[:-1])
    return Bad(data, INPUT, "has 147455 bytes; 147456 were expected", "cut short")


def a_byte_long(make, world, folder):
    data = _data_of(make())
    data.write_bytes(data.read_bytes() + b"x")
    return Bad(data, INPUT, "has 147457 bytes; 147456 were expected", "header offset 1")


def an_empty_file(make, world, folder):
    data = _data_of(make())
    data.write_bytes(b"")
    return Bad(data, INPUT, "has 0 bytes", "cut short")


def an_unknown_interleave(make, world, folder):
    return Bad(make(interleave="bup"), INPUT, "interleave.*bup")


def an_unknown_byte_order(make, world, folder):
    return Bad(make(byte_order="7"), INPUT, "byte order.*7")


def an_unknown_data_type(make, world, folder):
    return Bad(make(data_type="11"), INPUT, "data type.*11")


def complex_numbers(make, world, folder):
    return Bad(make(data_type="6"), INPUT, "data type.*6")


def a_huge_header(make, world, folder):
    big = str(10**9)
    return Bad(make(samples=big, lines=big, bands=big, wavelength=None, fwhm=None), INPUT, "bytes")


def a_negative_size(make, world, folder):
    return Bad(make(lines="-64"), INPUT, "lines.*-64")


def a_missing_size(make, world, folder):
    return Bad(make(samples=None), INPUT, "samples")


def a_size_given_twice(make, world, folder):
    header = make()
    header.write_text(header.read_text() + "samples = 64\nlines = 48\n")
    return Bad(header, INPUT, "samples|lines")


def an_open_brace(make, world, folder):
    header = make()
    header.write_text(header.read_text() + "notes = { never closed\n")
    return Bad(header, INPUT, "brace|closed|ends|}")


def wavelengths_of_another_sensor(make, world, folder):
    return Bad(make(wavelength="{400, 500, 600}"), INPUT, "wavelength")


def a_header_that_is_no_header(make, world, folder):
    header = make()
    header.write_bytes(np.random.default_rng(0).bytes(2000))
    return Bad(header, INPUT, "ENVI")


def several_variables(make, world, folder):
    cube = np.ones((20, 20, 9), np.float32)
    scipy.io.savemat(folder / "many.mat", {"first": cube, "second": cube + 1})
    return Bad(folder / "many.mat", INPUT, "first.*second", "--var")


def no_cube_among_the_variables(make, world, folder):
    scipy.io.savemat(folder / "flat.mat", {"image": np.ones((20, 20)), "name": "x"})
    return Bad(folder / "flat.mat", INPUT, "no 3-D variable", "rows x columns x bands")


def a_damaged_matlab_file(make, world, folder):
    scipy.io.savemat(folder / "bad.mat", {"cube": np.ones((20, 20, 9))}, do_compression=True)
    data = bytearray((folder / "bad.mat").read_bytes())
    data[200:210] = bytes(10)
    (folder / "bad.mat").write_bytes(data)
    return Bad(folder / "bad.mat", INPUT, "could not be decoded", "damaged")


def a_text_file(make, world, folder):
    (folder / "notes.txt").write_text("hello")
    return Bad(folder / "notes.txt", INPUT, "not a format", "ENVI .*TIFF, MAT, HDF5 or NumPy")


def a_folder(make, world, folder):
    return Bad(folder, INPUT, "no scene found")


def a_pipe(make, world, folder):
    os.mkfifo(folder / "pipe.img")
    return Bad(folder / "pipe.img", INPUT, "not a regular file")


def nothing_but_holes(make, world, folder):
    return Bad(make(numbers=np.full((24, 64, 48), -9999, "<i2")), INPUT, "no pixel holds data")


def other_bands_than_the_model(make, world, folder):
    header = make(numbers=np.ones((7, 64, 48), "<i2"), wavelength=None, fwhm=None)
    said = "was trained for 24 bands, this scene has 7"
    return Bad(header, MODEL, said, "hsisr prepare SCENE", model=world.run)


def other_wavelengths_than_the_model(make, world, folder):
    shifted = "{" + ", ".join(str(500 + 60 * band) for band in range(24)) + "}"
    return Bad(
        make(wavelength=shifted), MODEL, "trained for other wavelengths.* nm", model=world.run
    )


def a_run_without_a_model(make, world, folder):
    return Bad(world.header, MODEL, "no such model", "hsisr train-sr RUN", model=folder)


def a_model_for_unmixing(make, world, folder):
    said = "is an unmixing model, not a super-resolution model"
    return Bad(world.header, MODEL, said, "hsisr train-sr RUN", model=world.unmixer)


def a_flipped_bit(make, world, folder):
    data = bytearray(world.model.read_bytes())
    data[-1000] ^= 1
    (folder / "flipped.safetensors").write_bytes(data)
    return Bad(world.header, MODEL, "is corrupt", model=folder / "flipped.safetensors")


def a_model_cut_short(make, world, folder):
    (folder / "short.safetensors").write_bytes(world.model.read_bytes()[:-4])
    return Bad(world.header, MODEL, "is corrupt", model=folder / "short.safetensors")


def an_empty_model(make, world, folder):
    (folder / "empty.safetensors").touch()
    return Bad(world.header, MODEL, "not a .safetensors file", model=folder / "empty.safetensors")


def a_model_that_does_not_exist(make, world, folder):
    return Bad(world.header, MODEL, "no such model", "auto, bicubic", model=folder / "nowhere")


@pytest.mark.parametrize("case", cases_in(globals()), ids=lambda case: case.__name__)
def test_a_bad_input_is_explained(case, make_scene, world, hsisr, tmp_path):
    bad = case(make_scene, world, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = hsisr("upscale", bad.scene, "--model", bad.model, "--no-quicklook")
    require_explained(ended, bad)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("scale", [3, 8])
def test_a_scale_that_the_model_was_not_trained_for_is_refused(scale, world, hsisr):
    ended = hsisr("upscale", world.header, "--model", world.run, "--scale", scale)
    assert ended.code == MODEL
    assert f"was trained for scale 2, not {scale}" in ended.first
    assert "hint: --scale 2, or train one: hsisr prepare" in ended.err


@pytest.mark.parametrize("name", ["model.pt", "model.ckpt", "model.safetensors"])
def test_a_pickle_is_refused_and_its_code_not_run(name, world, hsisr, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    ended = hsisr("upscale", world.header, "--model", tmp_path / name)
    assert ended.code == MODEL
    assert "they can run code" in ended.err
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", [(1, 1), (1, 48), (64, 1), (3, 5)])
@pytest.mark.parametrize("command", ["upscale", "unmix"])
def test_a_scene_smaller_than_what_the_network_sees_works(command, shape, make_scene, world, hsisr):
    header = make_scene(numbers=np.full((24, *shape), 3000, "<i2"))
    assert hsisr(command, header, "--model", world.run).code == 0


@pytest.mark.parametrize("command", ["upscale", "unmix"])
def test_black_pixels_give_no_nan(command, make_scene, world, hsisr, tmp_path):
    numbers = np.full((24, 20, 20), 3000, "<i2")
    numbers[:, 5:15, 5:15] = 0
    header = make_scene(numbers=numbers, data_type="4", data_ignore_value=None)
    _data_of(header).write_bytes(numbers.transpose(1, 0, 2).astype("<f4").tobytes())
    assert hsisr(command, header, "--model", world.run, "-o", tmp_path / "out").code == 0
    for path in tmp_path.glob("out*"):
        if path.suffix in ("", ".img"):
            assert np.isfinite(np.fromfile(path, "<f4")).all()


def test_an_infinite_sample_is_no_data(make_scene, world, hsisr, tmp_path):
    numbers = np.full((24, 20, 20), 0.3, "<f4")
    numbers[3, 4, 5] = np.inf
    header = make_scene(
        numbers=numbers, data_type="4", data_ignore_value=None, reflectance_scale_factor=None
    )
    assert hsisr("upscale", header, "--model", world.run, "-o", tmp_path / "out.img").code == 0
    sharp = np.fromfile(tmp_path / "out.img", "<f4").reshape(40, 24, 40)
    assert np.isnan(sharp[8:10, 3, 10:12]).all()
    assert np.isnan(sharp).sum() == 4
