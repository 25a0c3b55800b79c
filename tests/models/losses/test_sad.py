from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses import sad


def angle(truth: Tensor, estimate: Tensor) -> Tensor:
    return sad.loss(Outcome(truth, estimate))


def random_pair(bands: int, side: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth, estimate = torch.rand(2, 1, bands, side, side, generator=generator, dtype=dtype) + 0.1
    return truth, estimate


def test_it_is_the_mean_arc_cosine() -> None:
    truth, estimate = random_pair(6, 50)
    cosine = torch.nn.functional.cosine_similarity(truth, estimate, dim=1)
    torch.testing.assert_close(angle(truth, estimate), cosine.acos().mean())


def test_its_gradient_is_that_of_the_arc_cosine() -> None:
    truth, estimate = (spectra.requires_grad_() for spectra in random_pair(6, 8))
    cosine = torch.nn.functional.cosine_similarity(truth, estimate, dim=1)
    expected = torch.autograd.grad(cosine.acos().mean(), (truth, estimate))
    found = torch.autograd.grad(angle(truth, estimate), (truth, estimate))
    torch.testing.assert_close(found, expected)


def test_its_gradient_is_that_of_its_differences() -> None:
    truth, estimate = (spectra.requires_grad_() for spectra in random_pair(4, 3))
    assert torch.autograd.gradcheck(angle, (truth, estimate))


@given(factor=st.floats(0.01, 100), seed=st.integers(0, 999), bands=st.integers(1, 200))
@settings(max_examples=60)
def test_proportional_spectra_are_at_no_angle(factor: float, seed: int, bands: int) -> None:
    truth = torch.rand(1, bands, 3, 3, generator=torch.Generator().manual_seed(seed)) + 0.01
    assert float(angle(truth, factor * truth)) <= 1e-6


@pytest.mark.parametrize("degrees", [1e-3, 0.1, 1, 45, 90, 179, 180])
def test_small_and_large_angles_are_exact_in_single_precision(degrees: float) -> None:
    radians = math.radians(degrees)
    truth = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    estimate = torch.tensor([math.cos(radians), math.sin(radians), 0.0]).reshape(1, 3, 1, 1)
    assert float(angle(truth, 7 * estimate)) == pytest.approx(radians, rel=1e-5)


def spectra_of_every_kind(bands: int) -> dict[str, tuple[Tensor, Tensor]]:
    """10,000 pairs in all, as (1, bands, h, w)."""
    generator = torch.Generator().manual_seed(bands)
    truth = torch.rand(1, bands, 25, 25, generator=generator)
    other = torch.randn(1, bands, 25, 25, generator=generator)
    scales = 10 ** (60 * torch.rand(1, 1, 25, 25, generator=generator) - 30)
    return {
        "equal": (truth, truth.clone()),
        "opposite": (truth, -truth),
        "proportional": (truth, 3 * truth),
        "any": (truth, other),
        "true zero": (torch.zeros_like(truth), other),
        "estimated zero": (truth, torch.zeros_like(truth)),
        "tiny": (truth * 1e-30, other * 1e-30),
        "huge": (truth * 1e30, other * 1e30),
        "of every size": (truth * scales, other * scales.flip(2)),
        "tiny against huge": (truth * 1e-30, other * 1e30),
        "denormal": (truth * 1e-42, other * 1e-42),
        "nearly equal": (truth, truth * (1 + 1e-7 * other)),
        "nearly opposite": (truth, -truth * (1 + 1e-7 * other)),
        "negative": (-truth, other),
        "one pixel dark": (truth * (torch.arange(25) > 3), other),
        "one bright band": (truth + 1e4 * (torch.arange(bands) == 0).reshape(-1, 1, 1), other),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bands", [1, 31])
def test_it_is_finite_with_a_finite_gradient_at_every_pair_of_spectra(
    dtype: torch.dtype, bands: int
) -> None:
    for kind, (truth, estimate) in spectra_of_every_kind(bands).items():
        estimate = estimate.to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            value = angle(truth.to(dtype), estimate)
        value.backward()
        assert value.dtype is torch.float32
        assert 0 <= float(value.detach()) <= math.pi + 1e-6, kind
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all(), kind


def test_its_gradient_at_the_truth_is_zero() -> None:
    truth, _ = random_pair(31, 8, torch.float32)
    estimate = truth.clone().requires_grad_()
    angle(truth, estimate).backward()
    assert estimate.grad is not None
    assert not estimate.grad.any()


def test_dark_pixels_do_not_count() -> None:
    truth, estimate = random_pair(6, 8)
    expected = angle(truth[..., 4:], estimate[..., 4:])
    truth[..., 0] = 0
    truth[..., 1] *= 1e-5
    estimate[..., 2] = 0
    estimate[..., 3] *= 1e-5
    torch.testing.assert_close(angle(truth, estimate), expected)


def test_a_pixel_too_bright_for_single_precision_does_not_hide_the_others() -> None:
    truth, estimate = random_pair(6, 8, torch.float32)
    expected = angle(truth[..., 1:], estimate[..., 1:])
    truth[..., 0] = 1e30
    torch.testing.assert_close(angle(truth, estimate), expected)


def test_a_black_scene_has_no_angle() -> None:
    black = torch.zeros(1, 5, 4, 4)
    assert float(angle(black, torch.rand(1, 5, 4, 4))) == 0
