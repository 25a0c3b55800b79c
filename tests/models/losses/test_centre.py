from __future__ import annotations

import numpy as np
import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses import centre


def test_it_is_the_squared_distance_of_the_endmembers_from_the_mean_spectrum() -> None:
    truth, endmembers = torch.rand(2, 6, 4, 5), torch.rand(3, 6)
    pixels = truth.numpy().transpose(0, 2, 3, 1).reshape(-1, 6)
    expected = np.mean((endmembers.numpy() - pixels.mean(0)) ** 2)
    found = centre.loss(Outcome(truth, truth, endmembers=endmembers))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_endmembers_at_the_mean_spectrum_have_none() -> None:
    truth = torch.rand(2, 6, 4, 5)
    endmembers = truth.mean((0, 2, 3)).expand(3, 6)
    assert float(centre.loss(Outcome(truth, truth, endmembers=endmembers))) < 1e-12


def test_a_step_without_endmembers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the endmembers"):
        centre.loss(Outcome(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3)))
