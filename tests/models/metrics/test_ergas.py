from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import error_relative_global_dimensionless_synthesis

from hsisr_models.metrics import ergas

from .conftest import Measure, Scene


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_it_is_the_formula_of_wald(pair: tuple[Scene, Scene], measure: Measure, ratio: int) -> None:
    truth, estimate = pair
    relative = ((truth - estimate) ** 2).mean((1, 2)) / truth.mean((1, 2)) ** 2
    expected = 100 / ratio * np.sqrt(relative.mean())
    assert measure("ergas", truth, estimate, ratio=ratio) == pytest.approx(expected, rel=1e-13)
    by_torchmetrics = error_relative_global_dimensionless_synthesis(
        torch.from_numpy(estimate)[None], torch.from_numpy(truth)[None], ratio=ratio
    )
    assert measure("ergas", truth, estimate, ratio=ratio) == pytest.approx(float(by_torchmetrics))


def test_bands_of_zero_mean_are_left_out(pair: tuple[Scene, Scene], measure: Measure) -> None:
    truth, estimate = pair
    expected = measure("ergas", truth[1:], estimate[1:])
    truth[0] = 0
    assert measure("ergas", truth, estimate) == expected
    assert math.isnan(measure("ergas", 0 * truth, estimate))


def test_its_definition_names_the_ratio() -> None:
    assert "100/8" in ergas.definition(peak=1.0, ratio=8)
