"""Figures show what they are given, by name and in the colours of the materials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from hsisr.cube import Spectrum
from hsisr.results import plot
from hsisr.results.palette import colours
from hsisr.results.picture import classified, dominant

NAMES = ["water", "soil", "oak"]


def rgb(colour: object) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour))  # type: ignore[arg-type]


def test_spectra_are_lines_over_the_wavelength(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (3, 8))
    spectrum = Spectrum((400.0, 410.0, 420.0, 430.0, 440.0, 450.0, 900.0, 910.0))
    good = np.arange(8) != 2
    figure = plot.spectra(values, NAMES, spectrum, good)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "wavelength [nm]"
    assert [line.get_label() for line in axes.lines] == NAMES
    assert [rgb(line.get_color()) for line in axes.lines] == colours(3)
    for line, expected in zip(axes.lines, values, strict=True):
        places, drawn = np.array(line.get_xdata()), np.array(line.get_ydata())
        # bad bands, and what lies between bands that are far apart, are left open
        assert np.isnan(drawn[places == 420]).all()
        assert np.isnan(drawn[(places > 450) & (places < 900)]).all()
        assert (places[-1], len(places)) == (910, 9)
        np.testing.assert_array_equal(drawn[np.isfinite(drawn)], expected[good])
    plot.write(tmp_path / "a.png", figure)
    with Image.open(tmp_path / "a.png") as picture:
        found = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert set(colours(3)) <= found


def test_spectra_of_one_kind_share_a_colour_and_a_name() -> None:
    values = np.ones((4, 3)) * np.arange(4)[:, None]
    figure = plot.spectra(values, ["oak", "soil", "oak", "oak"], None, np.ones(3, bool))
    drawn = [rgb(line.get_color()) for line in figure.axes[0].lines]
    oak, soil = colours(2)
    assert drawn == [oak, soil, oak, oak]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["oak", "soil"]


def test_wavelengths_are_put_in_order() -> None:
    spectrum = Spectrum((500.0, 400.0, 450.0))
    figure = plot.spectra(np.array([[3.0, 1, 2]]), ["a"], spectrum, np.ones(3, bool))
    assert np.array(figure.axes[0].lines[0].get_xdata()).tolist() == [400, 450, 500]
    assert np.array(figure.axes[0].lines[0].get_ydata()).tolist() == [1, 2, 3]


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_without_wavelengths_bands_are_counted(bands: int) -> None:
    figure = plot.spectra(np.ones((2, bands)), NAMES[:2], None, np.ones(bands, bool))
    assert figure.axes[0].get_xlabel() == "band"
    line = figure.axes[0].lines[0]
    assert np.array(line.get_xdata()).tolist() == list(range(1, bands + 1))


@pytest.mark.parametrize("size", [(12, 20), (1, 90), (300, 7)], ids=str)
def test_a_sheet_shows_every_map_by_name(tmp_path: Path, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3), size).transpose(2, 0, 1).astype(np.float32)
    shares[:, 0, :2] = np.nan
    error = random.uniform(2, 3, size).astype(np.float32)
    scene = random.integers(0, 256, (*size, 3), np.uint8)
    figure = plot.maps(scene, shares, NAMES, {"error": error, "angle": np.full(size, np.nan)})
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [
        *("scene", "dominant material", *NAMES, "error", "angle")
    ]
    drawn = [np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes[:6]]
    np.testing.assert_array_equal(drawn[0], scene)
    np.testing.assert_array_equal(drawn[1], classified(dominant(shares), colours(3)))
    np.testing.assert_array_equal(np.stack(drawn[2:5]), shares)
    np.testing.assert_array_equal(drawn[5], error)
    frames = [rgb(axes.spines["left"].get_edgecolor()[:3]) for axes in figure.axes[2:5]]
    assert frames == colours(3)
    plot.write(tmp_path / "a.png", figure)
    with Image.open(tmp_path / "a.png") as picture:
        assert max(picture.size) < 2500


def test_of_very_many_materials_those_that_matter_are_shown() -> None:
    shares = np.zeros((300, 2, 2), np.float32)
    shares[[7, 250]] = 0.5
    names = [f"material {i}" for i in range(299)] + ["x" * 80]
    figure = plot.maps(np.zeros((2, 2, 3), np.uint8), shares, names, {})
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) < 40
    assert {"material 7", "material 250"} <= set(titles)


def test_the_dominant_material_is_in_its_colour() -> None:
    shares = np.array([[[0.2, 0.5, -1, np.nan]], [[0.8, 0.5, -2, np.nan]]], np.float32)
    assert dominant(shares).tolist() == [[2, 1, 0, 0]]
    picture = classified(dominant(shares), colours(2))
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [
        *(colours(2)[1], colours(2)[0], (0, 0, 0), (0, 0, 0))
    ]
