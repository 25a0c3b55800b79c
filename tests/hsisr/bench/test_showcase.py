"""The figure shows what it is given: pictures, errors on one scale, spectra of marked pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from hsisr.bench import showcase
from hsisr.cube import Block, Spectrum
from hsisr.results.picture import stretched

SPECTRUM = Spectrum((450.0, 550.0, 650.0, 750.0, 850.0), good=(True, True, True, False, True))
NAMES = ["bicubic", "_any $x_4$", "net"]


@pytest.fixture
def truth(rng: np.random.Generator) -> Block:
    return rng.uniform(0.1, 0.9, (5, 12, 16)).astype(np.float32)


@pytest.fixture
def estimates(truth: Block, rng: np.random.Generator) -> dict[str, Block]:
    """The better the later."""
    spreads = dict(zip(NAMES, (0.1, 0.05, 0.01), strict=True))
    return {
        name: (truth + spread * rng.normal(0, 1, truth.shape)).astype(np.float32)
        for name, spread in spreads.items()
    }


def titled(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def maps(figure: Figure) -> list[Axes]:
    """Of the errors."""
    return [axes for axes in figure.axes if axes.images and not axes.get_title()]


def image(axes: Axes) -> NDArray[np.generic]:
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def test_every_estimate_has_a_picture_in_the_colours_of_the_truth(
    truth: Block, estimates: dict[str, Block]
) -> None:
    figure = showcase.composed(truth, estimates, SPECTRUM)
    red_green_blue = [2, 1, 0]
    shown = [axes for axes in titled(figure).values() if axes.images]
    for axes, block in zip(shown, [truth, *estimates.values()], strict=True):
        expected = stretched(block[red_green_blue], truth[red_green_blue])
        np.testing.assert_array_equal(image(axes), expected)


def test_titles_tell_the_psnr(truth: Block, estimates: dict[str, Block]) -> None:
    titles = iter(titled(showcase.composed(truth, estimates, SPECTRUM)))
    assert next(titles) == "truth"
    for (name, block), title in zip(estimates.items(), titles, strict=False):
        bands = zip(truth, block, strict=True)
        psnr = np.mean([peak_signal_noise_ratio(t, e, data_range=1) for t, e in bands])
        assert title == f"{name}\nPSNR {psnr:.2f} dB"


def test_errors_are_means_over_bands_on_one_scale(
    truth: Block, estimates: dict[str, Block]
) -> None:
    """Of which the first sets the scale, however badly another has failed."""
    estimates["failed"] = truth + 100
    drawn = maps(showcase.composed(truth, estimates, SPECTRUM))
    errors = [np.abs(block - truth).mean(0) for block in estimates.values()]
    for axes, error in zip(drawn, errors, strict=True):
        np.testing.assert_allclose(image(axes), error, rtol=1e-5)
    limits = {axes.images[0].get_clim() for axes in drawn}
    ((low, high),) = limits
    assert low == 0
    assert high == pytest.approx(np.quantile(errors[0], 0.99), rel=1e-5)


def test_spectra_are_those_of_the_marked_pixels(truth: Block, estimates: dict[str, Block]) -> None:
    figure = showcase.composed(truth, estimates, SPECTRUM)
    error = np.abs(estimates["bicubic"] - truth).mean(0)
    spectra = [axes for title, axes in titled(figure).items() if "quantile" in title]
    assert len(spectra) == 3
    for axes, share in zip(spectra, (0.5, 0.9, 0.99), strict=True):
        row, col = (int(word.strip(",")) for word in axes.get_title().split()[2:5:2])
        assert f"{share:.0%} quantile of the error of bicubic" in axes.get_title()
        assert error[row, col] == pytest.approx(np.quantile(error, share), rel=0.05)
        assert axes.get_xlabel() == "wavelength [nm]"
        for line, block in zip(axes.lines, [truth, *estimates.values()], strict=True):
            places, drawn = (np.array(values) for values in line.get_data())
            assert np.isnan(drawn[places == 750]).all()
            known = np.isfinite(drawn)
            np.testing.assert_array_equal(places[known], [450, 550, 650, 850])
            np.testing.assert_array_equal(drawn[known], block[[0, 1, 2, 4], row, col])
        for where in [titled(figure)["truth"], *maps(figure)]:
            assert (col, row) in [tuple(text.xy) for text in where.texts]


def test_the_legend_names_truth_and_estimates(truth: Block, estimates: dict[str, Block]) -> None:
    figure = showcase.composed(truth, estimates, None)
    (legend,) = figure.subfigs[1].legends
    assert [text.get_text() for text in legend.get_texts()] == ["truth", *NAMES]
    assert {axes.get_xlabel() for axes in figure.axes if axes.lines and not axes.images} == {"band"}


@pytest.mark.parametrize(
    ("count", "size"), [(1, (12, 16)), (5, (3, 90)), (6, (70, 4)), (12, (12, 16))], ids=str
)
def test_many_methods_and_scenes_of_any_shape_have_room(
    count: int, size: tuple[int, int], rng: np.random.Generator, tmp_path: Path
) -> None:
    truth = rng.uniform(0, 1, (3, *size)).astype(np.float32)
    estimates = {f"method {i}": truth + np.float32(0.01 * (i + 1)) for i in range(count)}
    figure = showcase.composed(truth, estimates, None)
    assert len(maps(figure)) == count
    showcase.draw(tmp_path / "a.png", truth, estimates, None)
    with Image.open(tmp_path / "a.png") as picture:
        assert 800 < picture.width < 2500
        assert 400 < picture.height < 5000


def test_missing_pixels_are_left_open(
    truth: Block, estimates: dict[str, Block], tmp_path: Path
) -> None:
    truth[:, :2] = np.nan
    truth[0, 5] = np.nan
    figure = showcase.composed(truth, estimates, SPECTRUM)
    for axes, block in zip(maps(figure), estimates.values(), strict=True):
        error = image(axes)
        assert np.isnan(error[:2]).all()
        np.testing.assert_allclose(error[5], np.abs(block - truth)[1:, 5].mean(0), rtol=1e-5)
    showcase.draw(tmp_path / "a.png", truth, estimates, SPECTRUM)


@pytest.mark.parametrize("value", [np.nan, 0.5])
def test_nothing_to_show_is_no_mistake(value: float, tmp_path: Path) -> None:
    truth = np.full((2, 5, 6), value, np.float32)
    showcase.draw(tmp_path / "a.png", truth, {"same": truth}, None)
    assert (tmp_path / "a.png").stat().st_size > 0
