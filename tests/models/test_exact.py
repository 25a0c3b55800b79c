"""A pixel's value does not depend on the image around it, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu

from hsisr_models.exact import (
    atan2,
    convolve,
    gelu_,
    linear,
    softmax,
)
from hsisr_models.imaging import mix
from tests.windows import windows

SIZES = [(1, 40), (37, 1), (13, 57), (41, 29), (64, 64), (2, 3)]


def crop(values: Tensor, rows: slice, cols: slice, margin: int = 0) -> tuple[Tensor, slice, slice]:
    """A rectangle with a margin where there is room, and where it lies in that."""
    top, left = max(rows.start - margin, 0), max(cols.start - margin, 0)
    wide = values[..., top : rows.stop + margin, left : cols.stop + margin]
    return (
        wide,
        slice(rows.start - top, rows.stop - top),
        slice(cols.start - left, cols.stop - left),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("inputs", [1, 2, 5, 16, 31, 64, 200])
@torch.no_grad()
def test_a_cut_out_is_convolved_to_the_bits_of_the_whole(
    inputs: int, kernel: int, threads: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for outputs, size in zip((1, 4, 16, 64, 128, 31), SIZES, strict=True):
            scene = torch.randn(1, inputs, *size, dtype=dtype)
            weight = torch.randn(outputs, inputs, kernel, kernel, dtype=dtype)
            weight, bias = weight / kernel / inputs**0.5, torch.ones(outputs, dtype=dtype)
            whole = convolve(scene, weight, bias)
            for rows, cols in windows(size, 12):
                part, down, across = crop(scene, rows, cols, kernel // 2)
                if part.shape[2:] == (1, 1):
                    continue  # is read only where it is the whole scene
                found = convolve(part, weight, bias)[..., down, across]
                assert torch.equal(found, whole[..., rows, cols]), (outputs, size, rows, cols)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("inputs", [1, 16, 31, 48, 200])
@torch.no_grad()
def test_inner_pixels_are_convolved_to_the_bits_of_the_whole(
    inputs: int, dilation: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(inputs)
    for outputs, size in zip((1, 16, 48, 31), ((13, 57), (41, 29), (64, 64), (5, 6)), strict=True):
        scene = torch.randn(2, inputs, *size, dtype=dtype)
        weight = torch.randn(outputs, inputs, 3, 3, dtype=dtype)
        whole = convolve(scene, weight, dilation=dilation)
        found = convolve(scene, weight, dilation=dilation, inner=True)
        assert torch.equal(found, whole[..., dilation:-dilation, dilation:-dilation])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dilation", [3, 5])
@pytest.mark.parametrize("inputs", [1, 8, 31])
@torch.no_grad()
def test_a_cut_out_is_convolved_to_the_bits_of_the_whole_by_a_wide_kernel(
    inputs: int, dilation: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(inputs)
    for outputs, size in zip((8, 240, 64), ((37, 1), (41, 29), (2, 3)), strict=True):
        scene = torch.randn(1, inputs, *size, dtype=dtype)
        weight, bias = torch.randn(outputs, inputs, 3, 3, dtype=dtype), torch.ones(outputs)
        whole = convolve(scene, weight, bias.to(dtype), dilation=dilation)
        for rows, cols in windows(size, 6):
            part, down, across = crop(scene, rows, cols, dilation)
            found = convolve(part, weight, bias.to(dtype), dilation=dilation)[..., down, across]
            assert torch.equal(found, whole[..., rows, cols]), (outputs, size, rows, cols)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8, 17])
def test_a_cut_out_has_the_soft_max_of_the_whole(channels: int) -> None:
    for size in SIZES:
        logits = torch.randn(1, channels, *size)
        whole = softmax(logits)
        torch.testing.assert_close(whole, logits.softmax(1))
        for rows, cols in windows(size, 12):
            assert torch.equal(softmax(logits[..., rows, cols]), whole[..., rows, cols])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_value_is_changed_alike_wherever_it_lies(threads: int, dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in (1, 7, 31, 33, 1000, 70_001, 200_017):
            logits = 6 * torch.randn(size, generator=torch.Generator().manual_seed(size))
            logits = logits.to(dtype)
            whole = gelu_(logits.clone())
            torch.testing.assert_close(whole, gelu(logits))
            for first in {size // 3, size // 2 + 1, size - 5} & set(range(size)):
                assert torch.equal(gelu_(logits[first:].clone()), whole[first:])
                assert torch.equal(gelu_(logits[:first].clone()), whole[:first])
    finally:
        torch.set_num_threads(before)


def test_values_are_changed_alike_in_any_layout() -> None:
    values = torch.randn(2, 5, 7, 9)
    expected = gelu(values)
    torch.testing.assert_close(gelu_(values.mT.clone()).mT, expected)
    last = values.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gelu_(last.clone()), expected)
    # a part of a larger tensor is no run of memory, and what lies around it stays as it is
    torch.testing.assert_close(gelu_(last[:, 1:4, 2:, 3:]), expected[:, 1:4, 2:, 3:])
    assert torch.equal(last[:, 0], values[:, 0])


@pytest.mark.parametrize("size", [1, 3, 8, 12, 128])
def test_a_product_is_exact_in_every_vector_and_every_row(size: int) -> None:
    vectors, matrix = torch.randn(43, 29, size), torch.randn(97, size)
    whole = linear(vectors, matrix)
    torch.testing.assert_close(whole, vectors @ matrix.T, rtol=1e-4, atol=1e-4)
    for rows, cols in windows((43, 29), 12):
        assert torch.equal(linear(vectors[rows, cols], matrix), whole[rows, cols])
        assert torch.equal(linear(vectors, matrix[cols]), whole[..., cols])


@pytest.mark.parametrize("bands", [1, 31, 200])
def test_a_cut_out_is_mixed_to_the_bits_of_the_whole(bands: int) -> None:
    spectra = torch.rand(5, bands)
    for size in SIZES:
        shares = torch.rand(1, 5, *size)
        whole = mix(shares, spectra)
        for rows, cols in windows(size, 12):
            assert torch.equal(mix(shares[..., rows, cols], spectra), whole[..., rows, cols])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [1, 6])
def test_it_is_the_convolution_with_its_gradients(inputs: int, dtype: torch.dtype) -> None:
    scene = torch.randn(2, inputs, 7, 8, dtype=dtype)
    weight, bias = torch.randn(4, inputs, 3, 3, dtype=dtype), torch.randn(4, dtype=dtype)
    results = []
    for function in (lambda *x: convolve(*x), lambda *x: conv2d(*x, padding=1)):
        leaves = [value.clone().requires_grad_() for value in (scene, weight, bias)]
        output = function(*leaves)
        output.square().sum().backward()
        results.append([output, *(leaf.grad for leaf in leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_reduced_precision_stays_reduced() -> None:
    scene, weight = torch.randn(1, 4, 6, 6), torch.randn(4, 4, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolve(scene, weight).dtype == torch.bfloat16
        # but what is mixed is compared with the scene, so it is not rounded
        assert mix(scene.softmax(1), torch.rand(4, 9)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_angle_of_a_point_is_the_same_wherever_it_stands(
    threads: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y, x = torch.rand(2, 300, 401, dtype=dtype) * 2 - 1
        whole = atan2(y, x)
        torch.testing.assert_close(whole, torch.atan2(y.double(), x.double()).to(dtype))
        for rows, cols in windows((300, 401), 24):
            assert torch.equal(atan2(y[rows, cols], x[rows, cols]), whole[rows, cols])
    finally:
        torch.set_num_threads(before)
