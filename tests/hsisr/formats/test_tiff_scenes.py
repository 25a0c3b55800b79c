"""Real TIFF files of many origins, compared with what GDAL reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from hsisr.cube import Spectrum
from hsisr.encoding import write_block
from hsisr.formats import create_cube, open_cube

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

FOLDERS = ("scenes/multispectral", "tiff", "tiff/wavelength", "unmixing/synthetic_otb")
TWO_BANDS = (400.0, 500.0)
WAVELENGTHS = {
    "enmapbox_envidomain_bandlevel.tif": Spectrum(TWO_BANDS, None, (False, True)),
    "enmapbox_envidomain_dslevel.tif": Spectrum(TWO_BANDS, None, (False, True)),
    "gdal_no_info.tif": None,
    "gdal_wl_fwhm.tif": Spectrum(TWO_BANDS, (10.0, 20.0)),
    "gdal_wl_only.tif": Spectrum(TWO_BANDS),
    "staclike.tif": None,
}

SharedData = Callable[[str], Path]


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_files_have_the_values_and_the_place_that_gdal_reads(
    shared_data: SharedData, folder: str
) -> None:
    paths = sorted(shared_data(folder).glob("*.tif"))
    assert paths
    for path in paths:
        with rasterio.open(path) as file, open_cube(path) as cube:
            truth = file.read().astype(np.float32)
            if file.nodata is not None:
                truth[truth == np.float32(file.nodata)] = np.nan
            truth[~np.isfinite(truth)] = np.nan
            np.testing.assert_array_equal(cube.read(cube.spec.window), truth, err_msg=path.name)
            assert cube.spec.nodata == file.nodata
            assert cube.spec.dtype == file.dtypes[0]
            placed = cube.spec.geo.transform if cube.spec.geo else rasterio.Affine.identity()[:6]
            np.testing.assert_allclose(placed, file.transform[:6], rtol=1e-14, err_msg=path.name)


@pytest.mark.parametrize("name", WAVELENGTHS)
def test_wavelengths_are_those_the_files_were_made_with(shared_data: SharedData, name: str) -> None:
    with open_cube(shared_data(f"tiff/wavelength/{name}")) as cube:
        assert cube.spec.spectrum == WAVELENGTHS[name]


@pytest.mark.parametrize(
    "name",
    [
        "scenes/multispectral/phr_xs.tif",
        "scenes/multispectral/ROI_QB_MUL_1.tif",
        "scenes/multispectral/section_2_sentinel_rect_wgs84.tif",
        "tiff/force_QAI.tif",
        "tiff/force_TSI.tif",
        "tiff/hymap.tif",
        "tiff/landsat_multiband.tif",
    ],
)
def test_a_real_scene_keeps_its_corners_and_its_system(
    shared_data: SharedData, tmp_path: Path, name: str
) -> None:
    source, target = shared_data(name), tmp_path / "target.tif"
    with open_cube(source) as cube:
        spec = cube.spec.upscaled(2)
        block = cube.read(cube.spec.window).repeat(2, axis=1).repeat(2, axis=2)
    with create_cube(target, spec, "tiff") as writer:
        assert write_block(writer, spec.window, block) == 0
    with rasterio.open(source) as old, rasterio.open(target) as new:
        np.testing.assert_array_equal(new.read()[:, ::2, 1::2], old.read())
        assert new.crs == old.crs
        assert new.nodata == old.nodata
        assert new.descriptions == old.descriptions
        np.testing.assert_allclose(new.bounds, old.bounds, rtol=1e-14)
        assert (new.rpcs is None) == (old.rpcs is None)
