"""What is said about the bands of a TIFF file, in its metadata and beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile

from hsisr.cube import Spectrum
from hsisr.encoding import write_block
from hsisr.errors import InputError
from hsisr.formats import ReadOptions, create_cube, open_cube

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

BANDS = 3


def made_by_gdal(
    path: Path, *, dataset: dict[str, dict[str, str]] | None = None, **items: list[str]
) -> None:
    """A file whose bands have `items`, named `domain__name` or `name`."""
    with rasterio.open(
        path, "w", driver="GTiff", count=BANDS, height=2, width=3, dtype="int16"
    ) as file:
        file.write(np.arange(18, dtype=np.int16).reshape(BANDS, 2, 3))
        for domain, entries in (dataset or {}).items():
            file.update_tags(ns=domain or None, **entries)
        for key, values in items.items():
            domain, _, name = key.rpartition("__")
            for band, value in enumerate(values, 1):
                file.update_tags(band, ns=domain or None, **{name: value})


def spectrum_of(path: Path) -> Spectrum | None:
    with open_cube(path) as cube:
        return cube.spec.spectrum


def made_by_hand(path: Path, xml: str, nodata: str | None = None) -> None:
    tags = [(42112, "s", 0, xml, True)]
    if nodata is not None:
        tags.append((42113, "s", 0, nodata, True))
    pixels = np.arange(18, dtype=np.int16).reshape(BANDS, 2, 3)
    tifffile.imwrite(
        path, pixels, photometric="minisblack", planarconfig="separate", metadata=None,
        extratags=tags,
    )  # fmt: skip


NM = Spectrum((450.5, 550.0, 2190.25))


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("Nanometers", ["450.5", "550", "2190.25"]),
        ("Nanometer", ["450.5", "550", "2190.25"]),
        ("nm", ["450.5", "550", "2190.25"]),
        ("Micrometers", ["0.4505", "0.55", "2.19025"]),
        ("um", ["0.4505", "0.55", "2.19025"]),
        ("\u03bcm", ["0.4505", "0.55", "2.19025"]),
    ],
)
def test_band_items_give_wavelengths_in_any_unit(
    tmp_path: Path, unit: str, values: list[str]
) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, wavelength=values, wavelength_units=[unit] * BANDS)
    assert spectrum_of(path) == NM


def test_names_of_items_mean_the_same_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(
        path, WAVELENGTH=["450.5", "550", "2190.25"], WAVELENGTH_UNITS=["nm"] * 3, FWHM=["8"] * 3
    )
    assert spectrum_of(path) == Spectrum(NM.centres_nm, (8.0, 8.0, 8.0))


@pytest.mark.parametrize("values", [["450.5", "550", "2190.25"], ["0.4505", "0.55", "2.19025"]])
def test_a_missing_unit_is_guessed_and_noted(tmp_path: Path, values: list[str]) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, wavelength=values)
    with open_cube(path) as cube:
        assert cube.spec.spectrum == NM
        assert any("no unit" in note for note in cube.notes)


def test_the_imagery_domain_gives_wavelengths_and_widths(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(
        path,
        IMAGERY__CENTRAL_WAVELENGTH_UM=["0.4505", "0.55", "2.19025"],
        IMAGERY__FWHM_UM=["0.01", "0.02", "0.1"],
    )
    assert spectrum_of(path) == Spectrum(NM.centres_nm, (10.0, 20.0, 100.0))


def test_widths_of_the_imagery_domain_join_wavelengths_of_band_items(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(
        path,
        wavelength=["450.5", "550", "2190.25"],
        wavelength_units=["Nanometers"] * BANDS,
        IMAGERY__CENTRAL_WAVELENGTH_UM=["0.451", "0.55", "2.19"],
        IMAGERY__FWHM_UM=["0.01", "0.02", "0.1"],
    )
    assert spectrum_of(path) == Spectrum(NM.centres_nm, (10.0, 20.0, 100.0))


@pytest.mark.parametrize("unit_name", ["wavelength_units", "wavelength units"])
def test_the_envi_domain_gives_lists(tmp_path: Path, unit_name: str) -> None:
    path = tmp_path / "scene.tif"
    lists = {
        "wavelength": "{ 0.4505, 0.55,\n 2.19025 }",
        unit_name: "Micrometers",
        "fwhm": "{0.01,0.02,0.1}",
        "bbl": "{1, 0, 1}",
    }
    made_by_gdal(path, dataset={"ENVI": lists})
    assert spectrum_of(path) == Spectrum(NM.centres_nm, (10.0, 20.0, 100.0), (True, False, True))


@pytest.mark.parametrize(
    "descriptions",
    [
        ("450.5 nm", "550 nm", "2190.25 nm"),
        ("450.5 Nanometers", "550.0 Nanometers", "2190.25 Nanometers"),
        ("Band 1 (0.4505 um)", "Band 2 (0.55 um)", "Band 3 (2.19025 um)"),
    ],
)
def test_descriptions_with_a_unit_give_wavelengths(
    tmp_path: Path, descriptions: tuple[str, ...]
) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path)
    with rasterio.open(path, "r+") as file:
        file.descriptions = descriptions
    with open_cube(path) as cube:
        assert cube.spec.spectrum == NM
        assert cube.spec.band_names == descriptions


@pytest.mark.parametrize(
    "descriptions",
    [("19840301", "19840331", "19840430"), ("450 nm", "550 nm", "red"), ("", "", "x")],
)
def test_other_numbers_in_descriptions_are_names(
    tmp_path: Path, descriptions: tuple[str, ...]
) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path)
    with rasterio.open(path, "r+") as file:
        file.descriptions = descriptions
    with open_cube(path) as cube:
        assert cube.spec.spectrum is None
        names = tuple(text or f"Band {i}" for i, text in enumerate(descriptions, 1))
        assert cube.spec.band_names == names


def test_band_items_come_before_all_others(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(
        path,
        dataset={"ENVI": {"wavelength": "{1,2,3}", "wavelength_units": "Micrometers"}},
        wavelength=["450.5", "550", "2190.25"],
        wavelength_units=["nm"] * BANDS,
        IMAGERY__CENTRAL_WAVELENGTH_UM=["1", "2", "3"],
    )
    assert spectrum_of(path) == NM


@pytest.mark.parametrize("name", ["good_band", "bbl", "ENVI__bbl"])
@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("1", "0")])
def test_one_marks_a_good_band(tmp_path: Path, name: str, yes: str, no: str) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, wavelength=["450", "550", "650"], **{name: [yes, no, yes]})
    found = spectrum_of(path)
    assert found is not None
    assert found.good == (True, False, True)


def test_wavelengths_that_contradict_their_unit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, IMAGERY__CENTRAL_WAVELENGTH_UM=["450", "550", "650"])
    with pytest.raises(InputError, match="wavelengths"):
        open_cube(path)


def test_scale_and_offset_are_applied(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.nodata = (0.5, 2.0, 1.0), (1.0, 0.0, -3.0), 4
    with rasterio.open(path) as file, open_cube(path) as cube:
        truth = file.read(masked=True) * np.reshape(file.scales, (-1, 1, 1))
        truth = (truth + np.reshape(file.offsets, (-1, 1, 1))).filled(np.nan)
        assert np.isnan(truth).sum() == 1
        np.testing.assert_array_equal(cube.read(cube.spec.window), truth.astype(np.float32))
        assert any("scale" in note for note in cube.notes)


def test_a_common_scale_is_one_number_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path)
    with rasterio.open(path, "r+") as file:
        file.scales = (1e-4,) * BANDS
    with open_cube(path) as cube:
        assert (cube.spec.gain, cube.spec.offset) == ((1e-4,), None)


@pytest.mark.parametrize("scale", ["much", "0", "nan"])
def test_a_scale_that_cannot_be_applied_is_refused(tmp_path: Path, scale: str) -> None:
    path = tmp_path / "scene.tif"
    item = f'<Item name="SCALE" sample="1" role="scale">{scale}</Item>'
    made_by_hand(path, f"<GDALMetadata>{item}</GDALMetadata>")
    with pytest.raises(InputError, match="scale"):
        open_cube(path)


def test_the_side_file_has_the_last_word_about_the_bands(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    item = '<Item name="DESCRIPTION" sample="{}" role="description">inside</Item>'
    inside = "".join(item.format(i) for i in range(BANDS))
    made_by_hand(path, f"<GDALMetadata>{inside}</GDALMetadata>", nodata="3")
    path.with_name("scene.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="ENVI"><MDI key="wavelength">{450.5,550,2190.25}</MDI>'
        '<MDI key="wavelength_units">nm</MDI></Metadata>'
        + "".join(
            f'<PAMRasterBand band="{i}"><Description>beside {i}</Description>'
            "<NoDataValue>5</NoDataValue><Scale>7</Scale><Offset>9</Offset></PAMRasterBand>"
            for i in range(1, BANDS + 1)
        )
        + "</PAMDataset>"
    )
    with rasterio.open(path) as file, open_cube(path) as cube:
        assert cube.spec.band_names == file.descriptions == ("beside 1", "beside 2", "beside 3")
        assert (cube.spec.nodata, file.nodata) == (5, 5)
        assert (cube.spec.gain * 3, cube.spec.offset * 3) == (file.scales, file.offsets)
        assert cube.spec.spectrum == NM
        assert cube.files == (path, path.with_name("scene.tif.aux.xml"))


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<GDALMetadata><Item name="x">&b;</Item></GDALMetadata>'
)


@pytest.mark.parametrize(
    "xml",
    [
        BOMB,
        "<GDALMetadata><Item>",
        "<html></html>",
        "",
        '<GDALMetadata><Item sample="one" name="x">1</Item></GDALMetadata>',
        "<GDALMetadata>" + " " * (17 << 20) + "</GDALMetadata>",
        "<a>" * 100_000,
    ],
    ids=["entities", "open", "html", "empty", "no number", "too long", "deep"],
)
def test_metadata_that_cannot_be_trusted_are_left_out_and_noted(tmp_path: Path, xml: str) -> None:
    path = tmp_path / "scene.tif"
    made_by_hand(path, xml or " ")
    with open_cube(path) as cube:
        assert cube.spec.spectrum is None
        assert any("42112 are ignored" in note for note in cube.notes)
    made_by_hand(path, "<GDALMetadata></GDALMetadata>")
    path.with_name("scene.tif.aux.xml").write_text(xml)
    with open_cube(path) as cube:
        assert any("scene.tif.aux.xml is ignored" in note for note in cube.notes)
        assert cube.files == (path,)


@pytest.mark.parametrize(
    ("text", "value"), [("nan", np.nan), ("-9999", -9999.0), ("1e3", 1000.0), ("-1.5", -1.5)]
)
def test_the_no_data_value_is_the_one_gdal_reads(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "scene.tif"
    tifffile.imwrite(
        path, np.zeros((2, 2), np.float32), metadata=None, extratags=[(42113, "s", 0, text, True)]
    )
    with rasterio.open(path) as file, open_cube(path) as cube:
        np.testing.assert_array_equal([cube.spec.nodata, file.nodata], [value, value])


@pytest.mark.parametrize(("text", "note"), [("-99999", "cannot occur"), ("none", "not a number")])
def test_a_no_data_value_that_cannot_be_is_noted(tmp_path: Path, text: str, note: str) -> None:
    path = tmp_path / "scene.tif"
    made_by_hand(path, "<GDALMetadata></GDALMetadata>", nodata=text)
    with open_cube(path) as cube:
        assert any(note in line for line in cube.notes)
        assert not np.isnan(cube.read(cube.spec.window)).any()


def test_bands_with_different_no_data_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path)
    path.with_name("scene.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>0</NoDataValue></PAMRasterBand>'
        '<PAMRasterBand band="2"><NoDataValue>1</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    with pytest.raises(InputError, match="different no-data"):
        open_cube(path)


def test_items_of_the_whole_raster_are_carried_over(tmp_path: Path) -> None:
    source, target = tmp_path / "source.tif", tmp_path / "target.tif"
    own = {"ACQUIRED": "2024-05-01 <UTC> & later", "Band_1": "stale", "TIFFTAG_SOFTWARE": "other"}
    made_by_gdal(source, dataset={"": own}, STATISTICS_MEAN=["8.5"] * BANDS)
    with open_cube(source) as cube:
        spec = cube.spec.upscaled(2)
    with create_cube(target, spec, "tiff") as writer:
        write_block(writer, spec.window, np.zeros(spec.shape, np.float32))
    with rasterio.open(target) as file:
        assert file.tags()["ACQUIRED"] == own["ACQUIRED"]
        assert "Band_1" not in file.tags()
        assert "TIFFTAG_SOFTWARE" not in file.tags()
        assert file.tags(1) == {}


def test_axes_that_were_told_leave_the_metadata_out(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    made_by_gdal(path, wavelength=["450", "550", "650"])
    with open_cube(path, ReadOptions(axes="BYX")) as cube:
        assert cube.spec.shape == (2, 3, 3)
        assert cube.spec.spectrum is None
        assert cube.spec.geo is None
        assert any("as told" in note for note in cube.notes)
