"""What every loss and every metric of the shelves keeps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from hsisr_models.contract import Outcome
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.metrics import SHELF as METRICS


def outcome(*, perfect: bool) -> Outcome:
    """Of a scene that was estimated perfectly, or by something else."""
    torch.manual_seed(0)
    truth, shares = torch.rand(2, 5, 8, 6) + 0.1, torch.rand(2, 3, 8, 6).softmax(1)
    endmembers, other = torch.rand(3, 5), torch.rand(2, 3, 8, 6)
    return Outcome(
        truth=truth,
        estimate=truth if perfect else torch.rand(2, 5, 8, 6) + 0.1,
        endmembers=endmembers,
        start=endmembers if perfect else torch.rand(3, 5),
        abundances=shares,
        expected=shares if perfect else torch.rand(2, 3, 8, 6).softmax(1),
        auxiliary=other if perfect else torch.rand(2, 3, 8, 6),
        auxiliary_truth=other,
    )


def tracked(given: Outcome) -> tuple[Outcome, dict[str, torch.Tensor]]:
    """The same with everything that a network makes asking for its gradient."""
    made = {
        key: getattr(given, key).clone().requires_grad_()
        for key in ("estimate", "endmembers", "abundances", "auxiliary")
    }
    return replace(given, **made), made


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("perfect", [False, True])
@pytest.mark.parametrize("reduced", [False, True])
def test_a_loss_is_a_finite_scalar_with_finite_gradients(
    name: str, perfect: bool, reduced: bool
) -> None:
    given, made = tracked(outcome(perfect=perfect))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=reduced):
        value = LOSSES[name].loss(given)
    assert value.shape == ()
    assert value.isfinite()
    assert value >= 0
    value.backward()
    gradients = [tensor.grad for tensor in made.values() if tensor.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    if not perfect:
        assert any(bool((gradient != 0).any()) for gradient in gradients)


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_loss_is_never_smaller_than_at_the_truth(name: str) -> None:
    perfect, other = outcome(perfect=True), outcome(perfect=False)
    assert LOSSES[name].loss(perfect) <= LOSSES[name].loss(other)
    assert len(LOSSES[name].SOURCE) > 10


@pytest.mark.parametrize("name", list(METRICS))
def test_a_metric_is_ideal_at_the_truth_and_only_there(name: str) -> None:
    metric = METRICS[name]
    torch.manual_seed(0)
    truth = torch.rand(4, 16, 12) + 0.1
    values = []
    for spread in (0.0, 0.05, 0.3):
        meter = metric.meter(peak=1.0, ratio=4)
        estimate = truth + spread * torch.randn_like(truth)
        for strip in (slice(0, 7), slice(7, 16)):
            meter.update(truth[:, strip], estimate[:, strip])
        values.append(meter.result())
    assert values[0] == pytest.approx(metric.IDEAL, abs=1e-6)
    assert values == sorted(values, reverse=metric.HIGHER_IS_BETTER)
    assert len(set(values)) == 3
    assert metric.LABEL in metric.definition(peak=1.0, ratio=4)
    assert not any(math.isnan(value) for value in values)
