"""Methods are compared as they are, seed by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsisr.cube import ArrayCube, Spectrum
from hsisr.errors import UsageError
from hsisr.scene.spectra import sample_pixels
from hsisr.unmixing.comparison import Plan, Row, compare, found
from hsisr.unmixing.mixtures import Plan as Scene
from hsisr.unmixing.mixtures import mixture, smooth_spectra
from hsisr.unmixing.truth import Truth
from hsisr_models.endmembers import SHELF as METHODS


def truth(gain: tuple[float, float] = (1, 1), good: tuple[bool, ...] | None = None) -> Truth:
    made = mixture(smooth_spectra(3, 20, 4), Scene(20, 16, "dirichlet", gain=gain), 0)
    maps, scene = (x.astype(np.float32) for x in (made.abundances, made.scene))
    spectrum = None if good is None else Spectrum(tuple(range(20)), good=good)
    return Truth(
        ArrayCube(maps, Path("maps")), made.spectra, ArrayCube(scene, Path("scene"), spectrum)
    )


def outcome(known: Truth, **changes: object) -> dict[tuple[str | None, str], Row]:
    plan = Plan(3, ["vca"], ["fcls", "sclsu"], ["fcls", "nnls"], range(3))
    *_, rows = compare(known, Plan(**{**vars(plan), **changes}), lambda _: None)
    return dict(rows)


def test_with_pure_pixels_and_no_noise_vca_finds_everything() -> None:
    rows = outcome(truth())
    assert list(rows) == [(None, "fcls"), (None, "nnls"), ("vca", "fcls"), ("vca", "sclsu")]
    assert len(rows["vca", "fcls"].results) == 3
    for row in rows.values():
        assert row.mean("sad_rad") < 1e-3
        assert row.mean("rmse_physical") < 1e-3
        assert row.mean("reconstruction_rmse") < 1e-3


def test_the_true_endmembers_with_a_free_gain_are_right_in_light_and_shade() -> None:
    rows = outcome(truth(gain=(0.5, 1.5)), oracles=["fcls", "sclsu"])
    assert rows[None, "sclsu"].mean("rmse_physical") < 1e-5
    assert rows[None, "sclsu"].mean("reconstruction_rmse") < 1e-5
    assert rows[None, "fcls"].mean("rmse_physical") > 0.05


def test_noise_is_another_one_with_every_seed_and_as_strong_as_asked() -> None:
    known = truth()
    row = outcome(known, snr=20.0, oracles=["ls"])[None, "ls"]
    left = [result["reconstruction_rmse"] for result in row.results]
    assert len(set(left)) == 3
    assert known.scene is not None
    power = np.mean(np.square(known.scene.read(known.scene.spec.window), dtype=np.float64))
    # three of twenty dimensions are fitted
    expected = np.sqrt(power / 100 * 17 / 20)
    np.testing.assert_allclose(left, expected, rtol=0.05)


def test_endmembers_are_those_of_the_method_on_a_sample_of_the_scene() -> None:
    import torch

    known = truth().scene
    assert known is not None
    pixels = torch.from_numpy(sample_pixels(known, 20_000, 5))
    expected = METHODS["vca"].extract(pixels, 3, seed=5).numpy()
    np.testing.assert_array_equal(found(known, "vca", 3, 5, lambda _: None), expected)


def test_bands_that_are_marked_bad_do_not_count() -> None:
    known = truth(good=(True,) * 15 + (False,) * 5)
    assert known.scene is not None
    block = known.scene.read(known.scene.spec.window)
    block[15:] = np.random.default_rng(0).uniform(0, 9, block[15:].shape)
    bad = Truth(
        known.maps, known.spectra, ArrayCube(block, Path("scene"), known.scene.spec.spectrum)
    )
    row = outcome(bad)["vca", "fcls"]
    assert row.mean("sad_rad") < 1e-3
    assert row.mean("rmse_physical") < 1e-3


def test_what_is_told_of_several_seeds_is_mean_and_deviation() -> None:
    row = Row("vca", "fcls", [{"x": 1.0}, {"x": 2.0}, {"x": 6.0}])
    assert row.mean("x") == 3
    assert row.deviation("x") == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert Row("vca", "fcls", [{"x": 1.0}]).deviation("x") is None


def test_a_search_can_be_stopped() -> None:
    class StopError(Exception):
        pass

    def stop(_: float) -> None:
        raise StopError

    known = truth().scene
    assert known is not None
    with pytest.raises(StopError):
        found(known, "vca", 3, 0, stop)


def test_what_cannot_be_is_told() -> None:
    known = truth().scene
    assert known is not None
    with pytest.raises(UsageError, match="21 endmembers cannot be told apart by"):
        found(known, "vca", 21, 0, lambda _: None)
