from __future__ import annotations

import numpy as np
import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses import mse


def test_it_is_the_mean_of_squared_differences() -> None:
    truth, estimate = torch.rand(2, 6, 4, 5), torch.rand(2, 6, 4, 5)
    expected = np.mean((truth.numpy() - estimate.numpy()) ** 2)
    assert float(mse.loss(Outcome(truth, estimate))) == pytest.approx(expected, rel=1e-5)
