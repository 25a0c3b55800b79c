from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses import volume


def volume_of(truth: Tensor, endmembers: Tensor | None) -> Tensor:
    return volume.loss(Outcome(truth, truth, endmembers=endmembers))


def test_it_is_the_spread_of_the_endmembers_in_units_of_the_mean_norm() -> None:
    truth, endmembers = torch.rand(2, 6, 4, 5), torch.rand(3, 6)
    norm = np.linalg.norm(truth.numpy(), axis=1).mean()
    deviations = (endmembers.numpy() - endmembers.numpy().mean(0)) / norm
    expected = (deviations**2).mean()
    assert float(volume_of(truth, endmembers)) == pytest.approx(expected, rel=1e-5)


def test_it_does_not_depend_on_the_unit_of_the_data() -> None:
    truth, endmembers = torch.rand(2, 6, 4, 5), torch.rand(3, 6)
    scaled = volume_of(truth * 1e4, endmembers * 1e4)
    torch.testing.assert_close(scaled, volume_of(truth, endmembers))


def test_it_pulls_endmembers_towards_their_centroid() -> None:
    endmembers = torch.rand(3, 6, requires_grad=True)
    volume_of(torch.rand(1, 6, 4, 4), endmembers).backward()
    assert endmembers.grad is not None
    outward = endmembers.detach() - endmembers.detach().mean(0)
    cosine = torch.nn.functional.cosine_similarity(endmembers.grad, outward)
    torch.testing.assert_close(cosine, torch.ones(3))


def test_equal_endmembers_and_black_scenes_have_no_volume() -> None:
    assert float(volume_of(torch.rand(1, 6, 4, 4), torch.full((3, 6), 0.5))) < 1e-12
    assert float(volume_of(torch.zeros(1, 6, 4, 4), torch.rand(3, 6))) == 0


def test_a_step_without_endmembers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the endmembers"):
        volume_of(torch.rand(1, 6, 4, 4), None)
