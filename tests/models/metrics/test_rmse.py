from __future__ import annotations

import numpy as np
import pytest

from .conftest import Measure, Scene


def test_it_is_the_root_of_the_mean_squared_error_of_all_samples(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    expected = np.sqrt(((truth - estimate) ** 2).mean())
    assert measure("rmse", truth, estimate) == pytest.approx(expected, rel=1e-13)


def test_only_samples_that_both_scenes_have_count(
    pair: tuple[Scene, Scene], measure: Measure
) -> None:
    truth, estimate = pair
    truth[0, :, 3] = np.nan
    estimate[2, 4] = np.nan
    expected = np.sqrt(np.nanmean((truth - estimate) ** 2))
    assert measure("rmse", truth, estimate) == pytest.approx(expected, rel=1e-13)
