"""Lengths of gradients that are known."""

from __future__ import annotations

import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses.gradient import loss


def test_a_ramp_is_as_steep_as_its_axes_together() -> None:
    band, row, col = torch.meshgrid(*(torch.arange(n) for n in (4, 5, 6)), indexing="ij")
    ramp = (2.0 * band + 3.0 * row + 6.0 * col)[None]
    flat = torch.full_like(ramp, 7.0)
    inner = 3 * 4 * 5 * 7.0
    sides = (4 * 5) * 45**0.5 + (3 * 5) * 40**0.5 + (3 * 4) * 13**0.5
    edges = 3 * 2.0 + 4 * 3.0 + 5 * 6.0
    expected = (inner + sides + edges) / (4 * 5 * 6)
    found = loss(Outcome(truth=flat, estimate=ramp))
    # the true length is a thousandth, not zero
    assert float(found) == pytest.approx(expected, abs=1.1e-3)


def test_a_single_value_has_no_gradient() -> None:
    one = torch.rand(1, 1, 1, 1)
    assert loss(Outcome(truth=one, estimate=one + 1)) == 0
