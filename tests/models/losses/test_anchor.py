from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses import anchor


def anchored(start: Tensor | None, endmembers: Tensor | None) -> Tensor:
    scene = torch.zeros(1, 6, 4, 4)
    return anchor.loss(Outcome(scene, scene, start=start, endmembers=endmembers))


def test_it_is_the_mean_angle_between_the_endmembers_and_their_start() -> None:
    start, endmembers = torch.rand(3, 6).double(), torch.rand(3, 6).double()
    u, v = start.numpy(), endmembers.numpy()
    cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    assert float(anchored(start, endmembers)) == pytest.approx(np.arccos(cosines).mean(), rel=1e-9)


def test_brightness_is_free() -> None:
    start = torch.rand(3, 6)
    brighter = start * torch.tensor([[0.5], [2.0], [3.0]])
    assert float(anchored(start, brighter)) < 1e-3


def test_it_pulls_endmembers_back() -> None:
    start, endmembers = torch.rand(3, 6), torch.rand(3, 6)
    before = anchored(start, endmembers)
    for _ in range(50):
        endmembers.requires_grad_()
        (gradient,) = torch.autograd.grad(anchored(start, endmembers), endmembers)
        endmembers = endmembers.detach() - 0.02 * gradient
    assert float(anchored(start, endmembers)) < 0.9 * float(before)


def test_a_black_endmember_has_no_direction_to_keep() -> None:
    start, endmembers = torch.rand(3, 6), torch.rand(3, 6)
    start[1] = 0
    others = [0, 2]
    expected = anchored(start[others], endmembers[others])
    torch.testing.assert_close(anchored(start, endmembers), expected)


def test_a_step_without_endmembers_or_start_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the endmembers"):
        anchored(torch.rand(3, 6), None)
    with pytest.raises(ValueError, match="needs the starting endmembers"):
        anchored(None, torch.rand(3, 6))
