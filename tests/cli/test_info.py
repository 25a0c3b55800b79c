from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import rasterio
import spectral
from rasterio import Affine


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


@pytest.mark.parametrize("which", ["x.sli", "x.hdr"])
def test_a_library_of_spectra_is_described(which, tmp_path, hsisr):
    values = np.linspace(0.1, 0.9, 7 * 4, dtype=np.float32).reshape(7, 4)
    names = ("oak", "ash", "elm", "fir", "yew", "box", "bay")
    centres = (0.4, 0.9, 1.6, 2.4)
    header = {"wavelength": centres, "wavelength units": "Micrometers", "spectra names": names}
    library = spectral.io.envi.SpectralLibrary(values, header)
    library.save(str(tmp_path / "x"), "made up")
    ended = hsisr("info", tmp_path / which)
    assert ended.code == 0
    assert ended.out.startswith("ENVI spectral library  7 spectra x 4 bands\n")
    for fact in ("0.1 - 0.9", "400.0 - 2400.0 nm", "oak, ash, elm, fir, yew and 2 more"):
        assert fact in ended.out
    facts = json.loads(hsisr("info", tmp_path / which, "--json").out)
    assert (facts["spectra"], facts["bands"]) == (7, 4)
    assert facts["names"] == list(names)
    assert facts["wavelengths_nm"] == pytest.approx([400, 900, 1600, 2400])


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


def test_what_there_is_one_of_is_told_in_the_singular(tmp_path, hsisr):
    spectra = {"wavelength": [500, 600], "wavelength units": "Nanometers", "bbl": [0, 1]}
    header = tmp_path / "scene.hdr"
    spectral.envi.save_image(str(header), np.ones((4, 5, 2), np.int16), metadata=spectra)
    assert "500.0 - 600.0 nm, 1 bad band\n" in hsisr("info", header).out
    np.save(tmp_path / "grey.npy", np.ones((1, 4, 5)))
    assert "5 x 4 pixels x 1 band  " in hsisr("info", tmp_path / "grey.npy", "--axes", "BYX").out


def test_a_reference_system_is_told_by_its_name(tmp_path, hsisr):
    wkt = 'PROJCS["WGS 84 / UTM zone 11N",GEOGCS["WGS 84",DATUM["WGS_1984"]]]'
    with h5py.File(tmp_path / "scene.nc", "w") as file:
        file["reflectance"] = np.ones((4, 5, 3), np.float32)
        mapping = file.create_dataset("spatial_ref", data=0)
        mapping.attrs["GeoTransform"], mapping.attrs["crs_wkt"] = "1 2 0 9 0 -2", wkt
    ended = hsisr("info", tmp_path / "scene.nc")
    assert "map       WGS 84 / UTM zone 11N; pixel 2 x 2; " in ended.out


@pytest.mark.parametrize(("height", "side"), [(-2, "upper"), (2, "lower")])
def test_the_corner_where_the_file_begins_is_told(height, side, tmp_path, hsisr):
    place = {"crs": "EPSG:32611", "transform": Affine(2, 0, 100, 0, height, 900)}
    shape = {"count": 1, "height": 4, "width": 5, "dtype": "int16"}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **shape, **place) as file:
        file.write(np.ones((1, 4, 5), np.int16))
    assert f"; {side} left corner 100, 900\n" in hsisr("info", tmp_path / "s.tif").out


def test_metadata_that_are_named_instead_of_the_image_are_told_apart(tmp_path, hsisr):
    (tmp_path / "E-METADATA.XML").write_text("<level_X/>")
    ended = hsisr("info", tmp_path / "E-METADATA.XML")
    assert ended.code == 3
    assert "hint: name the image that it describes" in ended.err
