"""Layers of the learned unmixing methods, against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hsisr_models.unmix._layers import BatchNorm, Linear, ReflectConv, reflected


def test_batches_are_normalised_as_torch_does() -> None:
    torch.manual_seed(0)
    own, other = BatchNorm(3, 0.3), nn.BatchNorm2d(3, momentum=0.3)
    with torch.no_grad():
        for values, like in ((own.weight, other.weight), (own.bias, other.bias)):
            values.copy_(torch.rand(3))
            like.copy_(values)
    for _ in range(4):
        batch = 5 * torch.randn(2, 3, 4, 5) + 1
        torch.testing.assert_close(own(batch), other(batch))
    assert other.running_mean is not None
    torch.testing.assert_close(own.mean, other.running_mean)
    own.eval()
    other.eval()
    torch.testing.assert_close(own(batch), other(batch))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolutions_see_the_mirror_image_beyond_the_border(kernel: int) -> None:
    torch.manual_seed(0)
    own = ReflectConv(2, 3, kernel)
    other = nn.Conv2d(2, 3, kernel, padding=kernel // 2, padding_mode="reflect")
    other.load_state_dict(own.state_dict())
    scene = torch.rand(2, 2, 6, 7)
    torch.testing.assert_close(own(scene), other(scene))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (7, 5)])
@pytest.mark.parametrize("reach", [0, 1, 6])
def test_images_of_any_size_are_mirrored(shape: tuple[int, int], reach: int) -> None:
    image = np.random.default_rng(0).random((1, 2, *shape))
    margins = ((0, 0), (0, 0), (reach, reach), (reach, reach))
    expected = np.pad(image, margins, mode="reflect")
    np.testing.assert_array_equal(reflected(torch.from_numpy(image), reach).numpy(), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_are_products(bias: bool) -> None:
    torch.manual_seed(0)
    layer, vectors = Linear(5, 3, bias=bias), torch.rand(2, 4, 5)
    expected = vectors.double() @ layer.weight.double().T
    expected = expected + layer.bias.double() if bias else expected
    torch.testing.assert_close(layer(vectors).double(), expected, rtol=1e-6, atol=1e-6)
