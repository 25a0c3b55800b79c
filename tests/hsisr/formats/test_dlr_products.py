"""EnMAP's and DESIS's products: images as delivered, made up, told by the XML beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

ENMAP = "ENMAP01-____{}-DT0000001053_20220611T072305Z_002_V010400_20231221T134421Z"
DESIS = "DESIS-HSI-L1C-DT0700655132_004-20220317T070333-V0215"
CENTRES = (418.416, 424.043, 902.247, 955.1, 2445.3)
WIDTHS = (6.9956, 6.6, 10.9, 8.5, 7.1)


def enmap_xml(
    centres: Sequence[object] = CENTRES,
    *,
    widths: Sequence[object] = WIDTHS,
    gains: Sequence[object] = (1e-4,) * 5,
    offsets: Sequence[object] = (0,) * 5,
    means: Sequence[float] = (),
    background: float = -32768,
) -> str:
    """The metadata of a product of EnMAP, with the elements that are about bands."""
    bands = zip(centres, widths, gains, offsets, strict=True)
    told = "".join(
        f'<bandID number="{band}"><wavelengthCenterOfBand>{centre}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{width}</FWHMOfBand><GainOfBand>{gain}</GainOfBand>"
        f"<OffsetOfBand>{offset}</OffsetOfBand></bandID>"
        for band, (centre, width, gain, offset) in enumerate(bands, 1)
    )
    statistics = "".join(
        f'<bandID number="{band}"><mean>{mean}</mean><stdDeviation>0</stdDeviation></bandID>'
        for band, mean in enumerate(means, 1)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
        '<level_X xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><specific>'
        f"<backgroundValue>{background}</backgroundValue>"
        f"<bandCharacterisation>{told}</bandCharacterisation></specific>"
        f"<product><bandStatistics>{statistics}</bandStatistics></product></level_X>"
    )


DESIS_XML = """<?xml version="1.0"?><hsi_doc><specific><bandCharacterisation>
<band><bandNumber>1</bandNumber><wavelengthCenterOfBand> 401.9 </wavelengthCenterOfBand>
<wavelengthWidthOfBand>3.2</wavelengthWidthOfBand><response>0.1,0.9</response>
<wavelengths>400,402</wavelengths><gainOfBand>0.002</gainOfBand><offsetOfBand>0.5</offsetOfBand>
</band><band><bandNumber>2</bandNumber><wavelengthCenterOfBand>404.5</wavelengthCenterOfBand>
<wavelengthWidthOfBand>3.4</wavelengthWidthOfBand><response>0.1,0.9</response>
<wavelengths>403,405</wavelengths><gainOfBand>0.004</gainOfBand><offsetOfBand>-1</offsetOfBand>
</band></bandCharacterisation><interiorOrientation><band><bandNumber>1</bandNumber></band>
<band><bandNumber>2</bandNumber></band></interiorOrientation></specific></hsi_doc>"""


def image(path: Path, bands: int = 5, nodata: float | None = -32768) -> np.ndarray:
    """Write an image as delivered: int16, by pixel, compressed, UTM; returns it as stored."""
    stored = np.random.default_rng(1).integers(1, 9000, (bands, 4, 6)).astype(np.int16)
    stored[:, 0, 0] = -32768
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=4, width=6, dtype="int16", nodata=nodata,
        crs="EPSG:32633", transform=Affine(30, 0, 359985, 0, -30, 5820015), interleave="pixel",
        compress="deflate", tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(stored)
    return stored


def product(folder: Path, xml: str, *, level: str = "L2A", bands: int = 5) -> tuple[Path, Path]:
    """An image of EnMAP and the metadata beside it."""
    path = folder / f"{ENMAP.format(level)}-SPECTRAL_IMAGE.TIF"
    metadata = folder / f"{ENMAP.format(level)}-METADATA.XML"
    image(path, bands)
    metadata.write_text(xml)
    return path, metadata


def test_enmap_bands_have_the_wavelengths_and_widths_of_the_metadata(tmp_path: Path) -> None:
    path, metadata = product(tmp_path, enmap_xml())
    with open_cube(path) as cube:
        assert cube.files == (path, metadata)
        spectrum = cube.spec.spectrum
    assert spectrum is not None
    assert spectrum.centres_nm == CENTRES
    assert spectrum.widths_nm == WIDTHS


def test_enmap_reflectance_is_the_stored_number_times_the_gain(tmp_path: Path) -> None:
    path, _ = product(tmp_path, enmap_xml())
    with rasterio.open(path) as file:
        expected = np.where(file.read() == file.nodata, np.nan, file.read() * 1e-4)
    with open_cube(path) as cube:
        assert cube.spec.dtype == np.int16
        assert cube.spec.geo is not None
        assert cube.spec.geo.crs == "EPSG:32633"
        np.testing.assert_allclose(cube.read(cube.spec.window), expected, rtol=1e-6)


def test_enmap_bands_of_background_alone_are_bad(tmp_path: Path) -> None:
    path, _ = product(tmp_path, enmap_xml(means=(950.5, 800, -1000000, 1200, 30)))
    with open_cube(path) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.good == (True, True, False, True, True)


@pytest.mark.parametrize("background", [-32768, 0])
def test_the_background_is_no_data_where_the_image_does_not_tell(
    tmp_path: Path, background: float
) -> None:
    path, _ = product(tmp_path, enmap_xml(background=background))
    image(path, nodata=None)
    with open_cube(path) as cube:
        assert cube.spec.nodata == background


def test_what_the_image_says_of_no_data_counts_more_than_the_background(tmp_path: Path) -> None:
    path, _ = product(tmp_path, enmap_xml(background=0))
    with open_cube(path) as cube:
        assert cube.spec.nodata == -32768


def test_each_detector_of_enmap_has_its_own_of_the_listed_bands(tmp_path: Path) -> None:
    gains, offsets = (1e-6, 2e-6, 3e-6, 4e-6, 5e-6), (-1e-4, -2e-4, -3e-4, -4e-4, -5e-4)
    centres = (418.4, 993.1, 902.2, 1000.5, 2445.3)
    stem = ENMAP.format("L1B")
    (tmp_path / f"{stem}-METADATA.XML").write_text(
        enmap_xml(centres, gains=gains, offsets=offsets, background=0)
    )
    for detector, own in (("VNIR", slice(0, 2)), ("SWIR", slice(2, 5))):
        path = tmp_path / f"{stem}-SPECTRAL_IMAGE_{detector}.TIF"
        stored = image(path, len(centres[own]), nodata=-32768)[:, 2, 3]
        with open_cube(path) as cube:
            assert cube.spec.spectrum is not None
            assert cube.spec.spectrum.centres_nm == centres[own]
            radiance = stored * np.array(gains[own]) + offsets[own]
            read = cube.read(cube.spec.window)[:, 2, 3]
            np.testing.assert_allclose(read, radiance, rtol=1e-5)
            assert any("in the geometry of the sensor" in note for note in cube.notes)


def test_desis_radiance_is_the_stored_number_by_gain_and_offset_of_the_band(tmp_path: Path) -> None:
    path = tmp_path / f"{DESIS}-SPECTRAL_IMAGE.tif"
    (tmp_path / f"{DESIS}-METADATA.xml").write_text(DESIS_XML)
    stored = image(path, 2)[:, 1, 1]
    with open_cube(path) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.centres_nm == (401.9, 404.5)
        assert cube.spec.spectrum.widths_nm == (3.2, 3.4)
        radiance = (stored[0] * 0.002 + 0.5, stored[1] * 0.004 - 1)
        np.testing.assert_allclose(cube.read(cube.spec.window)[:, 1, 1], radiance, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("SPECTRAL_IMAGE_COG.tiff", "METADATA.XML"),
        ("SPECTRAL_IMAGE_COG.TIF", "METADATA.XML.XML"),
        ("SPECTRAL_IMAGE.TIF", "METADATA.xml"),
    ],
)
def test_the_names_that_catalogues_give_to_products_are_known(
    tmp_path: Path, name: str, beside: str
) -> None:
    path = tmp_path / f"{ENMAP.format('L2A')}-{name}"
    image(path)
    (tmp_path / f"{ENMAP.format('L2A')}-{beside}").write_text(enmap_xml())
    with open_cube(path) as cube:
        assert cube.spec.spectrum is not None


def test_an_image_of_a_product_without_its_metadata_says_what_is_missing(tmp_path: Path) -> None:
    path, metadata = product(tmp_path, enmap_xml())
    metadata.unlink()
    with open_cube(path) as cube:
        assert cube.spec.spectrum is None
        assert any(f"no {metadata.name} beside it" in note for note in cube.notes)


def test_other_images_of_a_product_are_not_told_of_its_bands(tmp_path: Path) -> None:
    product(tmp_path, enmap_xml())
    mask = tmp_path / f"{ENMAP.format('L2A')}-QL_PIXELMASK.TIF"
    image(mask)
    with open_cube(mask) as cube:
        assert cube.spec.spectrum is None
        assert cube.files == (mask,)


BROKEN = {
    "other bands": (enmap_xml(CENTRES[:4], widths=WIDTHS[:4], gains=(1,) * 4, offsets=(0,) * 4)),
    "no bands": "<level_X/>",
    "cut short": enmap_xml()[:400],
    "not XML": "Version = 1.0",
    "entities": "<!DOCTYPE x [<!ENTITY a 'b'>]>" + enmap_xml(),
    "gain of zero": enmap_xml(gains=(1, 0, 1, 1, 1)),
    "gain of some bands": enmap_xml(gains=(1, "", 1, 1, 1)),
    "gain in words": enmap_xml(gains=("one", 1, 1, 1, 1)),
    "not in nanometres": enmap_xml([centre / 1000 for centre in CENTRES]),
    "means in words": enmap_xml(means=("NA",) * 5),  # type: ignore[arg-type]
    "too large": enmap_xml() + " " * (16 << 20),
}


@pytest.mark.parametrize("xml", BROKEN.values(), ids=BROKEN.keys())
def test_metadata_that_do_not_fit_the_image_are_ignored_and_told(tmp_path: Path, xml: str) -> None:
    path, metadata = product(tmp_path, xml)
    with open_cube(path) as cube:
        assert cube.spec.spectrum is cube.spec.gain is None
        assert cube.files == (path,)
        assert any(note.startswith(f"{metadata.name} is ignored: ") for note in cube.notes)


def test_a_band_without_a_wavelength_leaves_the_others_without(tmp_path: Path) -> None:
    path, _ = product(tmp_path, enmap_xml((418.4, 0, 902.2, 955.1, 2445.3)))
    with open_cube(path) as cube:
        assert cube.spec.spectrum is None
        assert cube.spec.gain == (1e-4,)
        assert any("not all are positive" in note for note in cube.notes)


@pytest.mark.parametrize(("name", "suffix"), [("tiff", ".tif"), ("envi", ".img")])
def test_what_the_metadata_tell_is_written_for_gdal_to_read(
    tmp_path: Path, name: str, suffix: str
) -> None:
    gains, offsets = (1e-5, 2e-5, 3e-5, 4e-5, 5e-5), (0.1, 0.2, 0.3, 0.4, 0.5)
    path, _ = product(tmp_path, enmap_xml(gains=gains, offsets=offsets, means=(1, 1, -1e6, 1, 1)))
    output = tmp_path / f"sharper{suffix}"
    with open_cube(path) as cube:
        spec = cube.spec.upscaled(2)
        block = cube.read(cube.spec.window).repeat(2, axis=1).repeat(2, axis=2)
        with create_cube(output, spec, name) as writer:
            write_block(writer, spec.window, block)
    with rasterio.open(path) as before, rasterio.open(output) as after:
        assert after.dtypes == before.dtypes
        assert after.nodata == before.nodata
        assert after.crs == before.crs
        assert after.transform == Affine(15, 0, 359985, 0, -15, 5820015)
        assert after.scales == pytest.approx(gains)
        assert after.offsets == pytest.approx(offsets)
        np.testing.assert_array_equal(after.read()[:, ::2, ::2], before.read())
        told = [after.tags(band)["wavelength"] for band in range(1, 6)]
        widths = after.tags(ns="ENVI")["fwhm"].strip("{}").split(",")
    assert [float(centre) for centre in told] == pytest.approx(CENTRES)
    assert [float(width) for width in widths] == pytest.approx(WIDTHS)
    with open_cube(output) as cube:
        assert cube.spec.spectrum is not None
        assert cube.spec.spectrum.good == (True, True, False, True, True)
