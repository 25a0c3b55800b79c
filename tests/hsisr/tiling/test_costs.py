from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hsisr.tiling.costs import Memory, operations
from hsisr_models.exact import convolve

CPU = torch.device("cpu")


def _of(layer, *shape):
    @torch.no_grad()
    def compute():
        layer(torch.rand(shape))

    return operations(compute)


def test_a_convolution_costs_two_operations_per_weight_and_pixel():
    assert _of(nn.Conv2d(3, 8, 5, padding=2), 1, 3, 16, 12) == 2 * 3 * 8 * 25 * 16 * 12


def test_so_does_one_of_our_own_kernels():
    weight = torch.rand(8, 3, 5, 5)
    assert _of(lambda image: convolve(image, weight), 1, 3, 16, 12) == 2 * 3 * 8 * 25 * 16 * 12


def test_in_less_than_float32_it_costs_as_many():
    layer = nn.Conv2d(3, 8, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _of(layer, 1, 3, 16, 12) == 2 * 3 * 8 * 9 * 16 * 12


def test_a_transposed_convolution_costs_by_the_pixels_that_go_in():
    layer = nn.ConvTranspose3d(4, 2, (3, 4, 4), stride=(1, 2, 2))
    assert _of(layer, 1, 4, 6, 10, 10) == 2 * 4 * 2 * 3 * 16 * 6 * 10 * 10


def test_the_products_of_attention_are_counted():
    heads, length, width = 2, 20, 8
    query = torch.rand(heads, length, width)
    counted = operations(lambda: (query @ query.transpose(1, 2)).softmax(-1) @ query)
    assert counted == 2 * 2 * heads * length * length * width


def test_a_matrix_product_costs_two_operations_per_pair():
    assert _of(nn.Linear(7, 11), 5, 7) == 2 * 5 * 7 * 11


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell")
def test_what_is_held_for_a_moment_is_the_peak():
    megabytes = 200
    memory = Memory(CPU)
    torch.ones(megabytes << 18)
    # the system counts by the way, not to the page
    assert memory.peak() == pytest.approx(megabytes << 20, abs=20 << 20)
    assert Memory(CPU).peak() < 20 << 20
