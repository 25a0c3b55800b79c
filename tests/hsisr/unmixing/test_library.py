"""Libraries of spectra: on a scene's bands, in its units, by classes; the nearest of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spectral

from hsisr.cube import ArrayCube, CubeSpec, Spectrum
from hsisr.errors import InputError
from hsisr.formats import open_cube
from hsisr.formats.envi.library import write_library, write_table
from hsisr.scene.selection import bands_named
from hsisr.scene.spectra import good_bands
from hsisr.unmixing.library import Library, Match, read_library, reflectance_of_one

PLACES = np.arange(350.0, 2501.0, 2.0)
CENTRES = tuple(np.linspace(400.0, 2400.0, 101))


def library(
    rng: np.random.Generator, names: tuple[str, ...] = ("soil", "tree", "water")
) -> Library:
    shifts = rng.uniform(0, 6, (len(names), 1))
    spectra = 0.3 + 0.2 * np.sin(PLACES / 120 + shifts)
    return Library(names, spectra, Spectrum(tuple(PLACES)), names)


def scene(spectrum: Spectrum | None, bands: int = 101) -> CubeSpec:
    return CubeSpec(bands, 4, 5, np.dtype(np.float32), spectrum=spectrum)


def test_a_library_on_other_bands_is_interpolated(rng: np.random.Generator) -> None:
    known = library(rng)
    found = known.on(scene(Spectrum(CENTRES)))
    expected = [np.interp(CENTRES, PLACES, row) for row in known.spectra]
    np.testing.assert_allclose(found.spectra, expected)
    assert found.spectrum == Spectrum(CENTRES)
    assert found.names == known.names


def test_what_was_written_for_a_scene_comes_back_unchanged(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Whatever the widths: spectra on the very bands need no resampling."""
    spectrum = Spectrum(CENTRES, (25.0,) * 101)
    spectra = rng.random((2, 101)).astype(np.float32)
    write_library(tmp_path / "a.sli", spectra, ["a", "b"], spectrum)
    write_table(tmp_path / "b.csv", spectra, ["a", "b"], spectrum)
    for path in (tmp_path / "a.sli", tmp_path / "a.hdr", tmp_path / "b.csv"):
        found = read_library(path).on(scene(spectrum)).in_units_of(spectra.mean(0))
        np.testing.assert_array_equal(found.spectra, spectra)
        assert (found.names, found.classes, found.notes) == (("a", "b"), ("a", "b"), ())


def test_bad_bands_need_no_cover_and_are_zero(rng: np.random.Generator) -> None:
    centres = (200.0, *CENTRES, 2600.0)
    good = (False, *(True,) * 101, False)
    found = library(rng).on(scene(Spectrum(centres, good=good), 103))
    assert (found.spectra[:, [0, -1]] == 0).all()
    assert (found.spectra[:, 1:-1] > 0).all()


def test_bands_that_are_not_covered_are_named_with_those_that_are(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    centres = (300.0, 320.25, *CENTRES, 2600.0)
    cube = ArrayCube(np.zeros((104, 1, 1), np.float32), tmp_path, Spectrum(centres))
    with pytest.raises(InputError) as caught:
        replace(library(rng), path=Path("known.sli")).on(cube.spec)
    assert "the library covers 350-2500 nm" in caught.value.what
    assert "nothing for 3 of 104 good bands, at 300-320.25nm,2600-2600nm" in caught.value.what
    assert caught.value.where == "known.sli"
    assert caught.value.hint == "--bands 400-2400nm"
    # the hint is what the option takes
    assert list(bands_named(caught.value.hint.removeprefix("--bands "), cube)) == list(
        range(2, 103)
    )


def test_a_library_of_another_part_of_the_spectrum_covers_nothing(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="3 of 3 good bands") as caught:
        library(rng).on(scene(Spectrum((8000.0, 9000.0, 10000.0)), 3))
    assert caught.value.hint == "another library"


def test_spectra_with_deleted_channels_are_named(rng: np.random.Generator) -> None:
    known = library(rng)
    known.spectra[1, (PLACES > 1000) & (PLACES < 1100)] = np.nan
    with pytest.raises(InputError, match=r"lacks values of 1 of 3 spectra \(tree\)") as caught:
        known.on(scene(Spectrum(CENTRES)))
    assert "1020-1080nm" in caught.value.what
    assert caught.value.hint == "leave them out, or: --bands 400-1000nm,1100-2400nm"


@pytest.mark.parametrize("without", ["scene", "library"])
def test_without_wavelengths_the_number_of_values_decides(
    rng: np.random.Generator, without: str
) -> None:
    spectrum = Spectrum(tuple(PLACES))
    known = replace(library(rng), spectrum=None if without == "library" else spectrum)
    spec = scene(None if without == "scene" else spectrum, len(PLACES))
    found = known.on(spec)
    np.testing.assert_array_equal(found.spectra, known.spectra)
    assert f"the {without} has no wavelengths" in found.notes[0]
    with pytest.raises(InputError, match=f"the {without} has no wavelengths, and 1,076 values"):
        known.on(scene(spec.spectrum and Spectrum(CENTRES)))


@pytest.mark.parametrize("factor", [1.0, 10_000.0, 1 / 10_000])
def test_integers_by_custom_are_recognised(rng: np.random.Generator, factor: float) -> None:
    known = library(rng)
    means = (known.spectra * [[0.1], [0.2], [0.1]]).sum(0) * factor
    means[3] = np.nan
    found = known.in_units_of(means)
    np.testing.assert_allclose(found.spectra, known.spectra * factor)
    assert len(found.notes) == (factor != 1)
    assert all("10000" in note for note in found.notes)


@pytest.mark.parametrize("factor", [100.0, 1e-2, 1e7, 0.0])
def test_other_units_are_refused(rng: np.random.Generator, factor: float) -> None:
    known = replace(library(rng), path=Path("known.sli"))
    with pytest.raises(InputError, match="units differ") as caught:
        known.in_units_of(known.spectra.mean(0) * factor)
    assert caught.value.where == "known.sli"
    assert "reflectance scale factor" in (caught.value.hint or "")


def test_a_reflectance_of_one_is_told_by_size() -> None:
    assert reflectance_of_one(np.array([[0.1, 1.1], [np.nan, 0.2]])) == 1
    assert reflectance_of_one(np.array([[400.0, 3000.0]])) == 10_000


def test_spectra_are_compared_by_the_bands_that_the_library_covers(
    rng: np.random.Generator,
) -> None:
    whole = library(rng)
    known, short = (
        replace(whole, spectra=whole.spectra[:, places], spectrum=Spectrum(tuple(PLACES[places])))
        for places in (PLACES <= 1900, PLACES <= 1100)
    )
    spec = scene(Spectrum(CENTRES))
    with pytest.raises(InputError, match="it has nothing for"):
        known.on(spec)
    found, both = known.comparable(spec)
    np.testing.assert_array_equal(both, np.array(CENTRES) <= 1900)
    asked = np.where(both, np.interp(CENTRES, PLACES, 3 * whole.spectra[1]), 7.0)
    best = found.nearest(asked[None], both)[0][0]
    assert best.name == "tree"
    assert best.angle_rad < 1e-6
    with pytest.raises(InputError, match="it has nothing for"):
        short.comparable(spec)


def test_the_nearest_are_those_of_spectral(rng: np.random.Generator) -> None:
    known = library(rng, tuple(f"s{i}" for i in range(40))).on(scene(Spectrum(CENTRES)))
    asked = known.spectra[[7, 11]] * [[0.3], [2.0]] + rng.normal(0, 0.01, (2, 101))
    good = rng.random(101) < 0.8
    asked[:, ~good] = np.nan
    found = known.nearest(asked, good, count=5)
    angles = spectral.spectral_angles(asked[:, None, good], known.spectra[:, good])[:, 0]
    for matches, row in zip(found, angles, strict=True):
        order = np.argsort(row)[:5]
        assert [match.name for match in matches] == [f"s{i}" for i in order]
        np.testing.assert_allclose([match.angle_rad for match in matches], row[order])
    assert [matches[0].name for matches in found] == ["s7", "s11"]


def test_the_same_spectrum_in_other_light_is_at_no_angle(rng: np.random.Generator) -> None:
    known = library(rng)
    good = np.ones(len(PLACES), bool)
    ((match,),) = known.nearest(known.spectra[1:2] / 7, good, count=1)
    assert match.name == "tree"
    assert match.angle_rad < 1e-7
    assert isinstance(match, Match)


def test_classes_are_those_of_the_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Name,Class,Site,400,410\na,soil,x,1,2\nb,tree,y,1,2\na,soil,y,1,-1.23e34\n")
    found = read_library(path)
    assert found.names == ("a", "b", "a 2")
    assert found.classes == ("soil", "tree", "soil")
    assert np.isnan(found.spectra[2, 1])
    assert read_library(path, "site").classes == ("x", "y", "y")
    with pytest.raises(InputError, match="no column 'kind'") as caught:
        read_library(path, "kind")
    assert caught.value.hint == "the columns are: Name, Class, Site"


def test_names_are_told_apart(tmp_path: Path) -> None:
    write_library(tmp_path / "a.sli", np.eye(5), ["a", "a", "a 2", "b", "a"], None)
    found = read_library(tmp_path / "a.sli")
    assert len(set(found.names)) == 5
    assert found.names[0] == "a"
    assert found.classes == ("a", "a", "a 2", "b", "a")


def test_the_published_library_has_its_classes_and_fits_its_scene(
    shared_data: Callable[[str], Path],
) -> None:
    known = read_library(shared_data("envi/emit/basic_endmember_library.csv"))
    assert known.names == ("SOIL", "SOIL 2", "SOIL 3", "PV", "NPV")
    assert known.classes == ("SOIL", "SOIL", "SOIL", "PV", "NPV")
    with open_cube(shared_data("envi/emit/emit20250324t221005_jpl_unmix_ex.hdr")) as cube:
        block = cube.read(cube.spec.window)
        means = np.nanmean(block, (1, 2))
        found = known.on(cube.spec).in_units_of(means)
        good = good_bands(cube.spec)
    assert "divided by 10000" in found.notes[-1]
    assert reflectance_of_one(found.spectra) == 1
    centres, places = (np.array(of.spectrum.centres_nm) for of in (cube.spec, known))
    order = np.argsort(places)
    expected = [np.interp(centres, places[order], row[order]) for row in known.spectra / 10_000]
    # where two detectors overlap there are samples enough to average
    np.testing.assert_allclose(found.spectra[:, good], np.array(expected)[:, good], atol=1e-3)


def test_the_published_envi_library_has_classes_in_the_table_beside_it(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data("libraries/spectra.sli")
    known = read_library(path, "LEVEL_2")
    assert set(known.classes) == {"bare", "built", "burned", "npv", "vegetation"}
    assert len(set(known.names)) == len(known.names) == 7261
    assert known.classes.count("vegetation") == 2000
    assert read_library(path).classes[:2] == ("FS15R_FS4275", "FS15R_FS4276")
    reference = spectral.envi.open(f"{path}.hdr")
    np.testing.assert_allclose(known.spectrum.centres_nm, np.array(reference.bands.centers) * 1000)
