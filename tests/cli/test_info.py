from __future__ import annotations

import json

import pytest


def test_a_scene_is_told_in_words(world, hsisr):
    ended = hsisr("info", world.header)
    assert ended.code == 0
    assert ended.out.startswith("ENVI BIL int16  48 x 64 pixels x 24 bands  147.5 kB\n")
    for fact in ("stored x 0.0001 + 0", "no-data value -9999", "450.0 - 2350.0 nm", "EPSG:32611"):
        assert fact in ended.out
    assert "pixel 30 x 30" in ended.out
    assert f"x8 output {24 * 48 * 64 * 2 * 64 / 1e6:.1f} MB" in ended.out


@pytest.mark.parametrize("which", ["header", "data"])
def test_either_file_of_the_pair_may_be_named(which, world, hsisr):
    facts = json.loads(hsisr("info", getattr(world, which), "--json").out)
    assert facts["files"] == [str(world.data), str(world.header)]


def test_json_holds_what_the_header_says(world, hsisr):
    facts = json.loads(hsisr("info", world.header, "--json").out)
    assert facts["schema"] == "hsisr/info/1"
    assert [facts[key] for key in ("bands", "rows", "cols")] == [24, 64, 48]
    assert facts["dtype"] == "int16"
    assert facts["wavelengths_nm"] == pytest.approx(
        [450 + 1900 * i / 23 for i in range(24)], abs=0.05
    )
    assert facts["corners"][0] == [500000, 4100000]
    assert facts["corners"][2] == [500000 + 48 * 30, 4100000 - 64 * 30]


def test_assumptions_are_noted(make_scene, hsisr):
    header = make_scene(wavelength_units=None)
    assert "  note  " in hsisr("info", header).out
    assert json.loads(hsisr("info", header, "--json").out)["notes"]


def test_a_scene_without_any_metadata_is_described(make_scene, hsisr):
    header = make_scene(
        map_info=None, wavelength=None, wavelength_units=None, fwhm=None, data_ignore_value=None
    )
    words = hsisr("info", header).out
    assert "no wavelengths" in words
    assert "no coordinates" in words
    assert "no-data value none" in words
