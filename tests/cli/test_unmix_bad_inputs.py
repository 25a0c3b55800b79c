"""Scenes and libraries that cannot be unmixed: an exit code, one sentence and a next step each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.cli.bad import cases_in, require_explained

USAGE, INPUT = 2, 3


@dataclass(frozen=True)
class Bad:
    """A case: a scene, the options, and how `unmix` must end."""

    scene: Path
    options: tuple[object, ...]
    code: int
    said: str
    hint: str | None = None


def _mixed(world):
    return np.rint(np.einsum("pb,phw->bhw", world.spectra, world.abundances) * 10_000)


def _table(folder, text):
    (folder / "library.csv").write_text(text)
    return "--library", folder / "library.csv"


def _spectra(wavelengths, count):
    """A table of made-up spectra, a column for each."""
    values = np.random.default_rng(0).uniform(0.1, 0.6, (len(wavelengths), count))
    rows = [
        ",".join(f"{value:g}" for value in (nm, *row))
        for nm, row in zip(wavelengths, values, strict=True)
    ]
    return "\n".join([",".join(["wavelength_nm", *(f"m{i}" for i in range(count))]), *rows]) + "\n"


def more_endmembers_than_bands(make, world, folder):
    said = "25 endmembers cannot be told apart by 24 bands"
    return Bad(make(), ("-p", 25), USAGE, said, "--endmembers 24")


def more_endmembers_than_good_bands(make, world, folder):
    marks = ", ".join("1" if band < 2 else "0" for band in range(24))
    scene = make(sensor_serial="17\nbbl = {" + marks + "}")
    said = "3 endmembers cannot be told apart by 2 bands"
    return Bad(scene, ("-p", 3), USAGE, said, "--endmembers 2")


def more_endmembers_than_pixels(make, world, folder):
    numbers = np.random.default_rng(0).integers(1, 9000, (24, 1, 2)).astype("<i2")
    return Bad(make(numbers=numbers), ("-p", 3), INPUT, "3 endmembers of 2 pixels", "fewer")


def a_tiny_scene_that_is_to_tell_how_many(make, world, folder):
    scene = make(numbers=_mixed(world)[:, 10:14, 10:16].astype("<i2"))
    said = "24 pixels of 24 bands do not tell how many"
    return Bad(scene, ("-p", "auto"), INPUT, said, "--endmembers 4")


def one_band_that_is_to_tell_how_many(make, world, folder):
    scene = make(numbers=_mixed(world)[:1].astype("<i2"), wavelength=None, fwhm=None)
    said = "2 endmembers cannot be told apart by one band"
    return Bad(scene, ("-p", "auto"), USAGE, said, "more bands")


def a_constant_scene(make, world, folder):
    scene = make(numbers=np.full((24, 9, 8), 500, "<i2"))
    return Bad(scene, ("-p", 3), INPUT, "all pixels are the same", "hsisr info")


def a_constant_scene_that_is_to_tell_how_many(make, world, folder):
    scene = make(numbers=np.full((24, 9, 8), 500, "<i2"))
    return Bad(scene, ("-p", "auto"), INPUT, "all pixels are the same", "hsisr info")


def one_material_in_light_and_shade(make, world, folder):
    shade = np.linspace(0.3, 1, 20 * 30).reshape(20, 30)
    numbers = np.rint(30_000 * world.spectra[0][:, None, None] * shade).astype("<i2")
    said = "all pixels have one spectrum, more or less bright"
    return Bad(make(numbers=numbers), ("-p", 2), INPUT, said, "hsisr info")


def a_band_without_data(make, world, folder):
    numbers = _mixed(world)
    numbers[5] = -9999
    said = "no pixel holds data in all of its bands"
    return Bad(make(numbers=numbers.astype("<i2")), ("-p", 3), INPUT, said, "--bands 450-")


def a_band_without_data_that_is_to_tell_how_many(make, world, folder):
    numbers = _mixed(world)
    numbers[5] = -9999
    said = "no pixel holds data in all of its bands"
    return Bad(make(numbers=numbers.astype("<i2")), ("-p", "auto"), INPUT, said, "--bands 450-")


def nothing_but_holes(make, world, folder):
    numbers = np.full((24, 9, 8), -9999, "<i2")
    return Bad(make(numbers=numbers), ("-p", "auto"), INPUT, "no pixel holds data", "hsisr info")


def a_library_that_does_not_cover_the_bands(make, world, folder):
    options = _table(folder, _spectra(np.arange(400, 1001, 10), 2))
    said = r"covers 400-1000 nm; .* for 17 of 24 good bands, at .*2350nm"
    return Bad(make(), options, INPUT, said, "--bands 450-.*nm")


def a_library_to_identify_by_that_does_not_cover_the_bands(make, world, folder):
    _, table = _table(folder, _spectra(np.arange(400, 1001, 10), 2))
    said = r"covers 400-1000 nm; .* for 17 of 24 good bands"
    return Bad(make(), ("-p", 3, "--identify", table), INPUT, said, "--bands 450-.*nm")


def a_library_of_more_spectra_than_bands(make, world, folder):
    options = _table(folder, _spectra(np.arange(400, 2401, 10), 30))
    said = "30 spectra cannot be told apart by 24 bands"
    return Bad(make(), options, USAGE, said, "--abundances mesma or sunsal")


def a_library_that_is_missing(make, world, folder):
    return Bad(make(), ("--library", folder / "none.csv"), INPUT, "none.csv: cannot be read")


def a_library_that_is_none(make, world, folder):
    return Bad(make(), _table(folder, "what is this?\n"), INPUT, "library.csv: ")


def a_class_column_that_is_missing(make, world, folder):
    options = (*_table(folder, _spectra(np.arange(400, 2401, 10), 3)), "--class-column", "kind")
    return Bad(make(), options, INPUT, "no column 'kind'", "columns are")


@pytest.mark.parametrize("case", cases_in(globals()), ids=lambda case: case.__name__)
def test_what_cannot_be_unmixed_is_explained(case, make_scene, world, hsisr, tmp_path):
    bad = case(make_scene, world, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = hsisr("unmix", bad.scene, *bad.options, "--no-quicklook")
    require_explained(ended, bad)
    assert sorted(tmp_path.rglob("*")) == before
