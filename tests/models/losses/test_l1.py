from __future__ import annotations

import numpy as np
import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses import l1


def test_it_is_the_mean_absolute_error() -> None:
    truth, estimate = torch.rand(2, 2, 3, 4, 5)
    expected = np.abs(truth.numpy() - estimate.numpy()).mean()
    assert float(l1.loss(Outcome(truth, estimate))) == pytest.approx(expected, rel=1e-6)


def test_it_is_zero_at_the_truth() -> None:
    truth = torch.rand(2, 3, 4, 5)
    assert float(l1.loss(Outcome(truth, truth))) == 0
