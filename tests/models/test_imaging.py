from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from hsisr_models.imaging import (
    OPERATORS,
    back_project,
    degrade,
    degrade_adjoint,
    mix,
    projection_reach,
    upscale_bicubic,
    weights,
)

SCALES = range(2, 9)


def random_scene(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def imresize_line(line: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """MATLAB's algorithm for one line, from its documentation, counting pixels from 1."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    shrink = min(factor, 1.0)
    mirror = list(range(1, len(line) + 1)) + list(range(len(line), 0, -1))
    resized = []
    for place in range(1, round(len(line) * factor) + 1):
        centre = place / factor + 0.5 * (1 - 1 / factor)
        left = math.floor(centre - 2 / shrink)
        taps = [
            (neighbour, shrink * cubic(shrink * (centre - neighbour)))
            for neighbour in range(left, left + math.ceil(4 / shrink) + 2)
        ]
        total = sum(tap for _, tap in taps)
        values = (line[mirror[(n - 1) % len(mirror)] - 1] * tap for n, tap in taps)
        resized.append(sum(values) / total)
    return np.array(resized)


def imresize(scene: Tensor, factor: float) -> NDArray[np.float64]:
    by_rows = np.apply_along_axis(imresize_line, -2, scene.numpy().astype(np.float64), factor)
    return np.apply_along_axis(imresize_line, -1, by_rows, factor)


def test_mixing_is_the_product_of_abundances_and_endmembers() -> None:
    abundances, endmembers = random_scene(2, 3, 4, 5), random_scene(3, 7)
    expected = np.tensordot(endmembers.numpy(), abundances.numpy(), ([0], [1])).swapaxes(0, 1)
    np.testing.assert_allclose(mix(abundances, endmembers), expected, rtol=1e-14)


def test_bicubic_weights_at_scale_2_are_those_worked_by_hand() -> None:
    # the cubic at 1/4, 3/4, 5/4, 7/4 is 111, 29, -9, -3 over 128, and the window sums to 2
    matrix = weights(16, 2, "bicubic") * 256
    assert matrix[3].tolist() == [0, 0, 0, -3, -9, 29, 111, 111, 29, -9, -3, 0, 0, 0, 0, 0]
    # what falls on pixels -1, -2, -3 is mirrored onto 0, 1, 2
    assert matrix[0].tolist() == [111 + 29, 111 - 9, 29 - 3, -9, -3] + [0] * 11


def test_bicubic_weights_at_scale_3_are_those_worked_by_hand() -> None:
    # the cubic at 0, 1/3, ... 5/3 is 27, 21, 9, 0, -2, -1 over 27, and the window sums to 3
    matrix = weights(15, 3, "bicubic") * 81
    by_hand = [0, 0, -1, -2, 0, 9, 21, 27, 21, 9, 0, -2, -1, 0, 0]
    np.testing.assert_allclose(matrix[2], by_hand, atol=1e-12)
    np.testing.assert_allclose(matrix[0][:6], [21 + 9, 27 + 0, 21 - 2, 9 - 1, 0, -2], atol=1e-12)


def test_gaussian_weights_are_the_normalised_bell_around_the_pixel_centre() -> None:
    sigma = 4 / math.pi * math.sqrt(-2 * math.log(0.3))
    bell = np.exp(-((np.arange(80) - 41.5) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(weights(80, 4, "gaussian")[10], bell / bell.sum(), atol=2e-7)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mtf", [0.1, 0.3, 0.5])
def test_gaussian_transfers_the_given_share_of_the_nyquist_frequency(
    scale: int, mtf: float
) -> None:
    size = 40 * scale
    row = weights(size, scale, "gaussian", mtf=mtf)[20]
    offset = torch.arange(size) - (20 * scale + (scale - 1) / 2)
    transfer = float((row * torch.cos(2 * math.pi * offset / (2 * scale))).sum())
    # at scale 2 the bell of mtf 0.5 is narrower than a pixel and its sampling shows
    assert transfer == pytest.approx(mtf, abs=2e-3)


def test_area_is_the_mean_over_blocks() -> None:
    scene = random_scene(2, 3, 12, 8)
    blocks = scene.numpy().reshape(2, 3, 3, 4, 2, 4)
    np.testing.assert_allclose(degrade(scene, 4, "area"), blocks.mean((3, 5)), rtol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_bicubic_degradation_is_matlab_imresize(scale: int, blocks: int) -> None:
    scene = random_scene(1, 2, blocks * scale, 3 * scale)
    np.testing.assert_allclose(
        degrade(scene, scale, "bicubic"), imresize(scene, 1 / scale), atol=1e-12
    )
    single = degrade(scene.float(), scale, "bicubic")
    np.testing.assert_allclose(single, imresize(scene, 1 / scale), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_degradation_agrees_with_torch_inside_the_scene(scale: int) -> None:
    scene = random_scene(1, 2, 10 * scale, 9 * scale)
    other = torch.nn.functional.interpolate(
        scene, scale_factor=1 / scale, mode="bicubic", antialias=True
    )
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(
        degrade(scene, scale, "bicubic")[inside], other[inside], atol=1e-6, rtol=0
    )


@given(
    operator=st.sampled_from(OPERATORS),
    scale=st.integers(1, 8),
    rows=st.integers(1, 6),
    cols=st.integers(1, 6),
)
@settings(max_examples=60)
def test_the_adjoint_moves_an_operator_across_the_inner_product(
    operator: str, scale: int, rows: int, cols: int
) -> None:
    x, y = random_scene(1, 2, rows * scale, cols * scale), random_scene(1, 2, rows, cols)
    left = (degrade(x, scale, operator) * y).sum()
    right = (x * degrade_adjoint(y, scale, operator)).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", [1, *SCALES])
@pytest.mark.parametrize("blocks", [1, 2, 11])
def test_weights_sum_to_one_at_every_output_pixel(operator: str, scale: int, blocks: int) -> None:
    sums = weights(blocks * scale, scale, operator).sum(1)
    torch.testing.assert_close(sums, torch.ones(blocks, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", SCALES)
def test_degrading_a_mirrored_scene_mirrors_the_result(operator: str, scale: int) -> None:
    scene = random_scene(1, 2, 4 * scale, 5 * scale)
    for axis in (2, 3):
        torch.testing.assert_close(
            degrade(scene.flip(axis), scale, operator),
            degrade(scene, scale, operator).flip(axis),
            rtol=0,
            atol=1e-14,
        )


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_a_missing_pixel_blots_out_only_what_depends_on_it(operator: str, missing: float) -> None:
    scene = random_scene(1, 2, 60, 48)
    expected = degrade(scene, 3, operator)
    scene[0, 1, 30, 20] = missing
    low = degrade(scene, 3, operator)
    reached = torch.outer(weights(60, 3, operator)[:, 30], weights(48, 3, operator)[:, 20]) != 0
    assert torch.equal(low[0, 1].isnan(), reached)
    assert not low[0, 0].isnan().any()
    torch.testing.assert_close(low[0, 1][~reached], expected[0, 1][~reached])


def test_an_infinite_pixel_is_a_missing_one_even_where_every_weight_counts() -> None:
    scene = torch.full((1, 1, 4, 4), math.inf)
    assert degrade(scene, 4, "area").isnan().all()


def test_degradation_keeps_its_precision_under_autocast() -> None:
    scene = random_scene(1, 2, 16, 16, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = degrade(scene, 4, "bicubic")
    assert torch.equal(low, degrade(scene, 4, "bicubic"))


def test_what_cannot_be_degraded_is_refused() -> None:
    scene = random_scene(1, 1, 12, 12)
    with pytest.raises(ValueError, match=r"12 pixels .* scale of 5"):
        degrade(scene, 5, "area")
    with pytest.raises(ValueError, match="scale of 0"):
        degrade(scene, 0, "area")
    with pytest.raises(ValueError, match=r"'lanczos'; known: bicubic, area, gaussian"):
        degrade(scene, 2, "lanczos")
    for mtf in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            degrade(scene, 2, "gaussian", mtf=mtf)


def test_upscaling_weights_at_scale_2_are_those_worked_by_hand() -> None:
    impulse = torch.zeros(1, 1, 7, 1, dtype=torch.float64)
    impulse[0, 0, 3] = 128
    response = upscale_bicubic(impulse, 2)[0, 0, :, 0]
    assert response.tolist() == [0, 0, 0, -3, -9, 29, 111, 111, 29, -9, -3, 0, 0, 0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 1), (5, 4)])
def test_upscaling_is_matlab_imresize(scale: int, shape: tuple[int, int]) -> None:
    scene = random_scene(2, 2, *shape)
    expected = imresize(scene, scale)
    np.testing.assert_allclose(upscale_bicubic(scene, scale), expected, atol=1e-12)
    np.testing.assert_allclose(upscale_bicubic(scene.float(), scale), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 5, 8])
def test_upscaling_agrees_with_torch_inside_the_scene(scale: int) -> None:
    scene = random_scene(1, 2, 9, 8)
    # antialias selects a = -0.5 and does nothing else when enlarging
    other = torch.nn.functional.interpolate(
        scene, scale_factor=scale, mode="bicubic", antialias=True
    )
    inside = (..., slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    torch.testing.assert_close(
        upscale_bicubic(scene, scale)[inside], other[inside], atol=1e-6, rtol=0
    )


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, slice]:
    """A size and a cut-out of it."""
    size = draw(st.integers(1, 13))
    start = draw(st.integers(0, size - 1))
    return size, slice(start, draw(st.integers(start + 1, size)))


def whole_neighbourhood(cut: slice, size: int, reach: int = 2) -> slice:
    """The pixels whose neighbours within `reach` lie in the cut-out, or beyond the scene."""
    return slice(
        0 if cut.start == 0 else cut.start + reach,
        size if cut.stop == size else max(cut.stop - reach, 0),
    )


def assert_cut_out_equals_whole(scene: Tensor, scale: int, rows: slice, cols: slice) -> None:
    whole = upscale_bicubic(scene, scale)
    part = upscale_bicubic(scene[..., rows, cols], scale)
    kept = [
        whole_neighbourhood(cut, n) for cut, n in zip((rows, cols), scene.shape[2:], strict=True)
    ]
    in_whole = [slice(k.start * scale, k.stop * scale) for k in kept]
    in_part = [
        slice((k.start - cut.start) * scale, max(k.stop - cut.start, 0) * scale)
        for k, cut in zip(kept, (rows, cols), strict=True)
    ]
    assert torch.equal(part[..., in_part[0], in_part[1]], whole[..., in_whole[0], in_whole[1]])


@given(scale=st.sampled_from(SCALES), rows=cuts(), cols=cuts(), bands=st.integers(1, 3))
@settings(max_examples=150)
def test_a_cut_out_is_upscaled_to_the_very_bits_of_the_whole_scene(
    scale: int, rows: tuple[int, slice], cols: tuple[int, slice], bands: int
) -> None:
    scene = random_scene(1, bands, rows[0], cols[0], dtype=torch.float32)
    assert_cut_out_equals_whole(scene, scale, rows[1], cols[1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_cut_out_is_exact_where_the_work_is_divided_differently(
    layout: torch.memory_format,
) -> None:
    scene = random_scene(1, 24, 101, 67, dtype=torch.float32).contiguous(memory_format=layout)
    assert_cut_out_equals_whole(scene, 4, slice(3, 50), slice(5, 67))


def test_upscaling_a_mirrored_scene_mirrors_the_result() -> None:
    scene = random_scene(1, 2, 5, 4)
    for scale in SCALES:
        for axis in (2, 3):
            torch.testing.assert_close(
                upscale_bicubic(scene.flip(axis), scale),
                upscale_bicubic(scene, scale).flip(axis),
                rtol=0,
                atol=1e-14,
            )


@pytest.mark.parametrize("scale", SCALES)
def test_a_missing_pixel_reaches_no_farther_than_two_pixels_when_upscaled(scale: int) -> None:
    scene = random_scene(1, 1, 9, 12)
    expected = upscale_bicubic(scene, scale)
    scene[0, 0, 4, 7] = torch.nan
    found = upscale_bicubic(scene, scale)
    missing = found.isnan()
    assert missing.any()
    torch.testing.assert_close(found[~missing], expected[~missing], rtol=0, atol=1e-14)
    missing[..., 2 * scale : 7 * scale, 5 * scale : 10 * scale] = False
    assert not missing.any()


@pytest.mark.parametrize("scale", [2, 3])
def test_upscaling_has_the_gradient_of_its_differences(scale: int) -> None:
    scene = random_scene(1, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: upscale_bicubic(x, scale), scene)


def test_a_scale_that_does_not_enlarge_is_refused() -> None:
    with pytest.raises(ValueError, match="scale of 0"):
        upscale_bicubic(random_scene(1, 1, 2, 2), 0)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 19), (23, 1), (13, 31)], ids=str)
def test_what_is_back_projected_degrades_to_the_scene(
    operator: str, scale: int, shape: tuple[int, int]
) -> None:
    scene = random_scene(1, 2, *shape, dtype=torch.float32)
    noise = random_scene(1, 2, *(n * scale for n in shape), dtype=torch.float32)
    for estimate in (upscale_bicubic(scene, scale), 2 * noise, torch.zeros_like(noise)):
        result = back_project(estimate, scene, scale, operator)
        low = degrade(result.double(), scale, operator)
        torch.testing.assert_close(low, scene.double(), atol=2.5e-4, rtol=0)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_back_projection_is_the_correction_of_least_squares(operator: str, scale: int) -> None:
    rows, cols = 4, 5
    estimate, scene = random_scene(1, 1, rows * scale, cols * scale), random_scene(1, 1, rows, cols)
    sizes = (rows * scale, cols * scale)
    whole = np.kron(*(weights(size, scale, operator).numpy() for size in sizes))
    missed = scene.numpy().ravel() - whole @ estimate.numpy().ravel()
    expected = estimate.numpy().ravel() + np.linalg.pinv(whole) @ missed
    result = back_project(estimate, scene, scale, operator).numpy().ravel()
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize("operator", OPERATORS)
def test_back_projection_brings_an_estimate_nearer_to_the_truth(operator: str) -> None:
    truth = random_scene(1, 1, 24, 32)
    scene = degrade(truth, 4, operator)
    estimate = upscale_bicubic(scene, 4)
    nearer = back_project(estimate, scene, 4, operator)
    assert (nearer - truth).norm() < (estimate - truth).norm()
    torch.testing.assert_close(back_project(truth, scene, 4, operator), truth, atol=1e-12, rtol=0)


@given(
    operator=st.sampled_from(OPERATORS),
    scale=st.sampled_from([2, 3, 4, 8]),
    rows=st.integers(1, 45),
    start=st.integers(0, 44),
    flat=st.booleans(),
)
@settings(max_examples=60)
def test_a_cut_out_is_back_projected_to_the_very_bits_of_the_whole_scene(
    operator: str, scale: int, rows: int, start: int, flat: bool
) -> None:
    scene = random_scene(1, 2, rows, 3, dtype=torch.float32)
    estimate = random_scene(1, 2, rows * scale, 3 * scale, dtype=torch.float32)
    if flat:
        scene, estimate = scene.mT, estimate.mT
    reach = projection_reach(scale, operator)
    cut = slice(min(start, rows - 1), min(start + 2 * reach + 3, rows))
    kept = whole_neighbourhood(cut, rows, reach)
    axis = 3 if flat else 2
    whole = back_project(estimate, scene, scale, operator).movedim(axis, 0)
    low = scene.movedim(axis, 0)[cut].movedim(0, axis)
    high = estimate.movedim(axis, 0)[cut.start * scale : cut.stop * scale].movedim(0, axis)
    part = back_project(high, low, scale, operator).movedim(axis, 0)
    inside = slice((kept.start - cut.start) * scale, max(kept.stop - cut.start, 0) * scale)
    assert torch.equal(part[inside], whole[kept.start * scale : kept.stop * scale])
