"""What holds for every measure on the shelf."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsisr_models.metrics import SHELF

from .conftest import Measure, Scene

every_metric = pytest.mark.parametrize("name", list(SHELF))


def heights_of(rows: int) -> st.SearchStrategy[list[int]]:
    """Ways to cut `rows` into strips."""
    cuts = st.sets(st.integers(1, rows - 1), max_size=rows - 1)
    return cuts.map(lambda inner: np.diff([0, *sorted(inner), rows]).tolist())


@every_metric
@given(heights=heights_of(23), holes=st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_does_not_matter_how_a_scene_is_cut_into_strips(
    name: str, heights: list[int], holes: bool, pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair[0].copy(), pair[1].copy()
    if holes:
        truth[:, 3:5, 2:4] = np.nan
        estimate[1, 20] = np.nan
    whole = measure(name, truth, estimate)
    assert measure(name, truth, estimate, heights=heights) == pytest.approx(whole, rel=1e-12)


@every_metric
def test_a_perfect_estimate_is_ideal(
    name: str, pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, _ = pair
    assert measure(name, truth, truth) == pytest.approx(SHELF[name].IDEAL, abs=1e-12)


@every_metric
def test_more_noise_is_worse(
    name: str, pair: tuple[Scene, Scene], measure: Measure, rng: np.random.Generator
) -> None:
    truth, _ = pair
    noise = rng.normal(0, 1, truth.shape)
    values = [measure(name, truth, truth + level * noise) for level in (0.01, 0.02, 0.05, 0.1)]
    assert sorted(values, reverse=SHELF[name].HIGHER_IS_BETTER) == values


@every_metric
def test_a_band_without_data_changes_nothing(
    name: str, pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    empty = np.full_like(truth[:1], np.nan)
    for extended in ((truth, estimate), (estimate, truth)):
        wider = [np.concatenate((scene, empty)) for scene in extended]
        assert measure(name, *wider) == pytest.approx(measure(name, *extended), rel=1e-14)


@every_metric
def test_missing_pixels_hide_what_lies_there(
    name: str, pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    truth[:, 8:12, 5:9] = np.nan
    wrong = estimate.copy()
    wrong[:, 8:12, 5:9] = 1e9
    assert measure(name, truth, wrong) == measure(name, truth, estimate)
    assert math.isfinite(measure(name, truth, estimate))


@every_metric
def test_nothing_measured_is_not_a_number(name: str, measure: Measure) -> None:
    assert math.isnan(SHELF[name].meter(peak=1.0, ratio=2).result())
    nothing = np.full((3, 8, 9), np.nan)
    assert math.isnan(measure(name, nothing, nothing))


@every_metric
def test_single_precision_strips_are_measured_in_double(
    name: str, pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = (scene.astype(np.float32) for scene in pair)
    in_double = measure(name, truth.astype(np.float64), estimate.astype(np.float64))
    assert measure(name, truth, estimate) == in_double


@every_metric
def test_strips_of_different_shapes_are_refused(name: str) -> None:
    meter = SHELF[name].meter(peak=1.0, ratio=2)
    with pytest.raises(ValueError, match="differ"):
        meter.update(torch.rand(3, 8, 9), torch.rand(1, 8, 9))


@every_metric
def test_an_estimate_that_still_has_a_graph_can_be_measured(name: str) -> None:
    meter = SHELF[name].meter(peak=1.0, ratio=2)
    meter.update(torch.rand(3, 8, 9), torch.rand(3, 8, 9, requires_grad=True))
    assert math.isfinite(meter.result())


@every_metric
def test_its_definition_is_one_line_that_begins_with_its_label(name: str) -> None:
    definition = SHELF[name].definition(peak=1.0, ratio=4)
    assert definition.startswith(f"{SHELF[name].LABEL}: ")
    assert "\n" not in definition
