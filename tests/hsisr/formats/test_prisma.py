"""PRISMA's products: a file of the same structure, made up, is read as the specification says."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hsisr.cube import Geo
from hsisr.errors import UsageError
from hsisr.formats import ReadOptions, open_cube

ROWS, BANDS, COLS = 6, 5, 7
FIELDS = "HDFEOS/SWATHS/PRS_L{}_H{}/Data Fields"


def _product(path: Path, level: str = "2D", swaths: tuple[str, ...] = ("CO",)) -> np.ndarray:
    """Write a product; returns its VNIR cube (rows, bands, columns) as stored.

    Bands descend in wavelength; the first two are absent, the last but one is flagged.
    """
    stored = np.random.default_rng(3).integers(0, 2**16, (ROWS, BANDS, COLS), np.uint16)
    with h5py.File(path, "w") as file:
        for swath in swaths:
            fields = file.create_group(FIELDS.format(level, swath))
            fields["VNIR_Cube"], fields["SWIR_Cube"] = stored, stored[:, :3]
            fields["VNIR_PIXEL_L2_ERR_MATRIX"] = np.zeros(stored.shape, np.uint8)
        file.attrs["List_Cw_Vnir"] = np.float32([0, 0, 900, 890, 878])
        file.attrs["List_Fwhm_Vnir"] = np.float32([0, 0, 12, 11, 10])
        file.attrs["List_Cw_Vnir_Flags"] = np.uint8([0, 0, 1, 0, 1])
        file.attrs["List_Cw_Swir"] = np.float32([2480, 2470, 0])
        file.attrs["List_Fwhm_Swir"] = np.float32([9, 8, 0])
        file.attrs["List_Cw_Swir_Flags"] = np.uint8([1, 1, 0])
        file.attrs["Epsg_Code"] = np.uint32(32633)
        for name, corner in _CORNERS.items():
            file.attrs[f"Product_{name}"] = corner
        for name, value in _SCALES[level[0]].items():
            file.attrs[name] = np.float32(value)
    return stored


_SCALES = {
    "1": {"ScaleFactor_Vnir": 100, "Offset_Vnir": 0, "ScaleFactor_Swir": 50, "Offset_Swir": 4},
    "2": {"L2ScaleVnirMin": 0.25, "L2ScaleVnirMax": 1.5, "L2ScaleSwirMin": 0, "L2ScaleSwirMax": 1},
}

# of centres of pixels 30 m wide
_CORNERS = {
    "ULcorner_easting": 352755.0,
    "ULcorner_northing": 5987235.0,
    "LRcorner_easting": 352755.0 + 30 * (COLS - 1),
    "LRcorner_northing": 5987235.0 - 30 * (ROWS - 1),
}


def test_only_level_2d_is_on_the_map_half_a_pixel_around_its_corners(tmp_path: Path) -> None:
    _product(tmp_path / "d.he5", "2D")
    with open_cube(tmp_path / "d.he5", ReadOptions(var="VNIR_Cube")) as cube:
        assert cube.spec.geo == Geo((30, 0, 352740, 0, -30, 5987250), "EPSG:32633")
        assert any("taken as centres" in note for note in cube.notes)
    _product(tmp_path / "c.he5", "2C")
    with open_cube(tmp_path / "c.he5", ReadOptions(var="VNIR_Cube")) as cube:
        assert cube.spec.geo is None


@pytest.mark.parametrize("level", ["2B", "2C", "2D"])
def test_level_2_is_scaled_from_its_least_to_its_largest_value(tmp_path: Path, level: str) -> None:
    stored = _product(tmp_path / "p.he5", level)
    with open_cube(tmp_path / "p.he5", ReadOptions(var="VNIR_Cube")) as cube:
        block = cube.read(cube.spec.window)
        assert any("along the track" in note for note in cube.notes) == (level != "2D")
    expected = (0.25 + stored / 65535 * 1.25).transpose(1, 0, 2)
    np.testing.assert_allclose(block, expected, rtol=1e-6)


def test_level_1_is_divided_by_its_factor(tmp_path: Path) -> None:
    stored = _product(tmp_path / "p.he5", "1")
    with open_cube(tmp_path / "p.he5", ReadOptions(var="VNIR_Cube")) as cube:
        block = cube.read(cube.spec.window)
    np.testing.assert_allclose(block, stored.transpose(1, 0, 2) / 100, rtol=1e-6)


def test_level_1_with_an_offset_of_unknown_sign_is_left_as_stored(tmp_path: Path) -> None:
    stored = _product(tmp_path / "p.he5", "1")
    with open_cube(tmp_path / "p.he5", ReadOptions(var="SWIR_Cube")) as cube:
        block = cube.read(cube.spec.window)
        assert any("numbers as stored" in note for note in cube.notes)
    np.testing.assert_array_equal(block, stored[:, :3].transpose(1, 0, 2))


def test_bands_have_their_wavelengths_and_absent_or_flagged_ones_are_bad(tmp_path: Path) -> None:
    _product(tmp_path / "p.he5")
    with open_cube(tmp_path / "p.he5", ReadOptions(var="VNIR_Cube")) as cube:
        spectrum = cube.spec.spectrum
        assert any("2 bands without a wavelength" in note for note in cube.notes)
    assert spectrum is not None
    assert spectrum.centres_nm == (920, 910, 900, 890, 878)
    assert spectrum.widths_nm == (12, 12, 12, 11, 10)
    assert spectrum.good == (False, False, True, False, True)


def test_absent_bands_at_the_end_are_placed_too(tmp_path: Path) -> None:
    _product(tmp_path / "p.he5")
    with open_cube(tmp_path / "p.he5", ReadOptions(var="SWIR_Cube")) as cube:
        spectrum = cube.spec.spectrum
    assert spectrum is not None
    assert spectrum.centres_nm == (2480, 2470, 2460)
    assert spectrum.good == (True, True, False)


def test_axes_that_are_asked_for_prevail(tmp_path: Path) -> None:
    _product(tmp_path / "p.he5")
    with open_cube(tmp_path / "p.he5", ReadOptions(var="VNIR_Cube", axes="XBY")) as cube:
        assert cube.spec.shape == (BANDS, COLS, ROWS)


def test_of_two_swaths_one_is_named_whole(tmp_path: Path) -> None:
    stored = _product(tmp_path / "p.he5", "1", ("CO", "RC"))
    with pytest.raises(UsageError, match="several variables 'VNIR_Cube'") as caught:
        open_cube(tmp_path / "p.he5", ReadOptions(var="VNIR_Cube"))
    name = f"{FIELDS.format('1', 'RC')}/VNIR_Cube"
    assert name in (caught.value.hint or "")
    with open_cube(tmp_path / "p.he5", ReadOptions(var=name)) as cube:
        block = cube.read(cube.spec.window)
    np.testing.assert_allclose(block, stored.transpose(1, 0, 2) / 100, rtol=1e-6)


def test_without_attributes_the_axes_are_still_known(tmp_path: Path) -> None:
    stored = np.arange(ROWS * BANDS * COLS, dtype=np.uint16).reshape(ROWS, BANDS, COLS)
    with h5py.File(tmp_path / "p.he5", "w") as file:
        file[f"{FIELDS.format('2D', 'CO')}/SWIR_Cube"] = stored
    with open_cube(tmp_path / "p.he5") as cube:
        np.testing.assert_array_equal(cube.read(cube.spec.window), stored.transpose(1, 0, 2))
        assert cube.spec.spectrum is None
        assert "the file tells no wavelengths" in cube.notes
