"""The header of a written cube: the source's words where they still hold, else what is true now."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsisr.cube import CubeSpec, Spectrum
from hsisr.formats.envi.compose import compose
from hsisr.formats.envi.fields import Fields
from hsisr.formats.envi.header import parse_header
from hsisr.formats.envi.spec import read_spec

SOURCE = """ENVI
description = {
  Measured = on a {clear} day}
samples = 4
lines   = 3
bands   = 2
header offset = 16
file type = ENVI
data type = 2
interleave = bip
sensor type = HySpex VNIR
byte order = 1
; calibrated in May
wavelength units = um
wavelength = {0.4045, 0.55}
fwhm = { .005 , .0055 }
bbl = {0, 1}
band names = {blue (1), green (2)}
default bands = {2,1,1}
reflectance scale factor = 10000.000
data ignore value = -9999
x start = 11
map info = {UTM , 1.5, 1.5 , 5e5, 46e5, 3.0e1, 30, 32, North, WGS-84, units=Meters}
coordinate system string = {PROJCS["x",GEOGCS["y"]]}
pixel size = {30, 30, units=Meters}
major frame offsets = {0, 0}
file compression = 0
data file = scene.img
class names = {none}
hyspex = {1, 2,
 3}
Smoothing Factors = {1, 1}
"""


def native() -> CubeSpec:
    """A cube as it was opened from the header above."""
    return read_spec(Fields(parse_header(SOURCE)))


def rendered(spec: CubeSpec) -> dict[str, str]:
    """The keys of the header written for `spec`."""
    text = compose(spec).render()
    entries = parse_header(text).entries
    assert len({key for key, _ in entries if key}) == len([key for key, _ in entries if key])
    return {key: value for key, value in entries if key}


def test_the_words_of_the_source_stay_on_the_finer_grid() -> None:
    source = dict(parse_header(SOURCE).entries)
    found = rendered(native().upscaled(4))
    for key in ("description", "wavelength", "wavelength units", "fwhm", "bbl", "band names"):
        assert found[key] == source[key]
    for key in ("hyspex", "Smoothing Factors", "reflectance scale factor", "sensor type"):
        assert found[key] == source[key]
    assert found["coordinate system string"] == source["coordinate system string"]
    assert found["data ignore value"] == "-9999"
    assert found["default bands"] == "{2,1,1}"
    assert found["pixel size"] == "{7.5, 7.5, units=Meters}"
    assert found["x start"] == "41"
    assert found["map info"] == (
        "{UTM , 3, 3 , 5e5, 46e5, 7.5, 7.5, 32, North, WGS-84, units=Meters}"
    )
    assert "\n; calibrated in May\n" in compose(native()).render()


def test_the_layout_is_that_of_the_new_file() -> None:
    found = rendered(native().upscaled(4))
    layout = ("samples", "lines", "bands", "header offset", "file type", "data type", "byte order")
    assert [found[key] for key in layout] == ["16", "12", "2", "0", "ENVI Standard", "2", "0"]
    assert list(found)[:8] == [*layout[:6], "interleave", "byte order"]
    gone = {"major frame offsets", "file compression", "data file", "class names"}
    assert not gone & found.keys()


def test_an_upscaled_header_means_the_same_cube_on_the_finer_grid() -> None:
    spec = native().upscaled(3)
    again = read_spec(Fields(compose(spec)))
    assert replace(again, native=None) == replace(spec, native=None, zoom=1)


def test_other_bands_on_the_same_ground_keep_the_ground_and_lose_the_spectrum() -> None:
    found = rendered(native().upscaled(2).with_bands(["soil", "water"], description="abundances"))
    assert found["band names"] == "{\n soil, water}"
    assert found["description"] == "{\n abundances}"
    assert found["data ignore value"] == "nan"
    assert found["data type"] == "4"
    spectral_keys = ("wavelength", "wavelength units", "fwhm", "bbl", "default bands")
    assert not {*spectral_keys, "Smoothing Factors", "reflectance scale factor"} & found.keys()
    assert found["map info"].startswith("{UTM , 2, 2 , 5e5, 46e5, 15, 15, ")
    assert found["sensor type"] == "HySpex VNIR"


def test_a_subset_of_the_bands_is_written_anew_in_nanometres() -> None:
    spectrum = Spectrum((550.0,), (5.5,), (True,))
    found = rendered(replace(native(), bands=1, spectrum=spectrum, band_names=("green (2)",)))
    assert found["wavelength"] == "{\n 550.0}"
    assert found["wavelength units"] == "Nanometers"
    assert found["fwhm"] == "{\n 5.5}"
    assert found["bbl"] == "{\n 1}"
    assert found["reflectance scale factor"] == "10000"
    assert "default bands" not in found


def test_a_part_of_the_scene_gets_its_own_place() -> None:
    spec = native()
    assert spec.geo is not None
    a, b, x, d, e, y = spec.geo.transform
    geo = replace(spec.geo, transform=(a, b, x + 2 * a, d, e, y + e), crs="EPSG:32632")
    found = rendered(replace(spec, rows=2, cols=2, geo=geo))
    assert found["map info"] == (
        "{UTM, 1, 1, 500045, 4599985, 30, 30, 32, North, WGS-84, units=Meters}"
    )
    assert not {"x start", "pixel size", "coordinate system string"} & found.keys()


def test_plain_float_output_drops_the_scale_and_states_the_new_gap() -> None:
    spec = replace(native(), dtype=np.dtype(np.float32), gain=None, nodata=math.nan)
    found = rendered(spec)
    assert "reflectance scale factor" not in found
    assert found["data ignore value"] == "nan"
    assert found["data type"] == "4"


@pytest.mark.parametrize(
    ("gain", "offset"),
    [
        ((0.0001,), None),
        ((1 / 65535,), None),
        ((0.3,), None),
        ((0.5, 0.25), (1.0, -3.0)),
        (None, (7.0,)),
        ((2e-5,), (-0.1,)),
    ],
)
def test_gains_of_other_formats_survive(
    gain: tuple[float, ...] | None, offset: tuple[float, ...] | None
) -> None:
    spec = CubeSpec(2, 3, 4, np.dtype(np.uint16), gain=gain, offset=offset)
    again = read_spec(Fields(compose(spec)))
    for found, expected, identity in ((again.gain, gain, 1.0), (again.offset, offset, 0.0)):
        np.testing.assert_array_equal(
            np.broadcast_to(found or identity, 2), np.broadcast_to(expected or identity, 2)
        )


@settings(max_examples=200, deadline=None)
@given(
    description=st.text(min_size=1, max_size=40),
    names=st.lists(st.text(max_size=12), min_size=2, max_size=2),
    centres=st.lists(st.floats(101, 1e5), min_size=2, max_size=2),
    nodata=st.floats(width=32).filter(lambda number: str(number) != "-0.0") | st.none(),
)
def test_whatever_the_text_and_numbers_the_header_stays_whole(
    description: str, names: list[str], centres: list[float], nodata: float | None
) -> None:
    spec = CubeSpec(
        *(2, 3, 4),
        np.dtype(np.float32),
        nodata=nodata,
        spectrum=Spectrum((centres[0], centres[1])),
        band_names=(names[0], names[1]),
        description=description,
    )
    header = compose(spec)
    again = read_spec(Fields(parse_header(header.render())))
    assert parse_header(header.render()) == header
    assert again.shape == spec.shape
    assert again.spectrum == spec.spectrum
    assert len(again.band_names or ()) == 2
    assert str(again.nodata) == str(nodata)
    for key, value in header.entries:
        assert "=" not in value, key
        assert value.count("{") == value.count("}") <= 1
