from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses import abundance

SCENE = torch.zeros(1, 2, 4, 4)


def test_it_is_the_mean_absolute_difference_of_the_abundances() -> None:
    found, expected = torch.rand(2, 2, 3, 4, 5).softmax(2)
    outcome = Outcome(SCENE, SCENE, abundances=found, expected=expected)
    by_numpy = np.abs(found.numpy() - expected.numpy()).mean()
    assert float(abundance.loss(outcome)) == pytest.approx(by_numpy, rel=1e-6)
    assert float(abundance.loss(replace(outcome, abundances=expected))) == 0


def test_a_step_without_abundances_is_refused() -> None:
    outcome = Outcome(SCENE, SCENE, abundances=torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="expected abundances"):
        abundance.loss(outcome)
    with pytest.raises(ValueError, match="needs the abundances"):
        abundance.loss(replace(outcome, abundances=None, expected=outcome.abundances))
