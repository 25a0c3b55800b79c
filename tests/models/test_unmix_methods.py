"""The learned unmixing methods of the literature: their sizes, and the terms that are their own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate, correlate1d
from torch import Tensor

from hsisr_models.abundances import fcls
from hsisr_models.unmix import aaenet, cnnaeu, deeptrans, misicnet, msnet

SIZES = [(156, 3), (198, 4), (31, 7)]


def count(network: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(("bands", "p"), SIZES)
def test_cnnaeu_has_the_weights_of_the_published_network(bands: int, p: int) -> None:
    encoder = 9 * bands * 48 + 2 * 48 + 48 * p + 2 * p
    expected = encoder + 13 * 13 * p * bands
    assert count(cnnaeu.build(bands=bands, endmembers=p)) == expected


@pytest.mark.parametrize(("bands", "p"), SIZES)
def test_msnet_has_the_weights_of_the_published_network(bands: int, p: int) -> None:
    after_first = 96 + 2 * 96 + (9 * 96 + 1) * 48 + 2 * 48 + (9 * 48 + 1) * p
    encoders = 9 * 96 * (bands + 2 * (bands + p)) + 3 * after_first
    between = p * p + p + bands * bands + bands
    expected = encoders + between + 3 * p * bands
    assert count(msnet.build(bands=bands, endmembers=p)) == expected


@pytest.mark.parametrize(("bands", "p"), SIZES)
def test_misicnet_has_the_weights_of_the_published_network_but_idle_biases(
    bands: int, p: int
) -> None:
    layers = ((9 * bands, 256), (bands, 4), (9 * 260, 256), (9 * 256, p))
    published = sum((inputs + 1) * outputs + 2 * outputs for inputs, outputs in layers) + p * bands
    idle = sum(outputs for _, outputs in layers)
    assert count(misicnet.build(bands=bands, endmembers=p)) == published - idle


@pytest.mark.parametrize(("bands", "p"), SIZES)
def test_deeptrans_has_the_weights_of_its_published_layers(bands: int, p: int) -> None:
    size, channels = 200 * p, 8 * p
    pixels = 128 * bands + 64 * 128 + channels * 64 + 2 * (128 + 64 + channels)
    layer = 2 * 2 * size + 3 * size**2 + (size + 1) * size + (size + 1) * 12 + (12 + 1) * size
    transformer = size + 2 * layer + 2 * size
    smooth = 9 * p * p + p
    # in place of 201 weights for every pixel, and of positions
    read = 64 * 200
    expected = pixels + transformer + read + smooth + p * bands
    assert count(deeptrans.build(bands=bands, endmembers=p)) == expected


@pytest.mark.parametrize("p", [3, 5])
def test_aaenet_has_the_weights_of_the_published_network_but_an_idle_bias(p: int) -> None:
    """The published one is for 200 bands, by which its critic is 53 and 245 wide."""
    widths = (200, 9 * p, 6 * p, 3 * p, p)
    encoder = sum((a + 1) * b for a, b in itertools.pairwise(widths)) - p
    critic = (p + 1) * 53 + (53 + 1) * 245 + (245 + 1)
    expected = encoder + 2 * p + p + critic + 200 * p
    assert count(aaenet.build(bands=200, endmembers=p)) == expected


def test_the_term_of_cnnaeu_is_the_angle_to_a_wide_convolution() -> None:
    torch.manual_seed(0)
    network = cnnaeu.build(bands=4, endmembers=2, window=5).eval()
    scene = torch.rand(2, 4, 9, 8)
    with torch.no_grad():
        shares, terms = network.encode_with_terms(scene)
    kernel = network.weights.detach().double().numpy()
    wide = np.stack(
        [
            [
                sum(
                    correlate(shares[n, j].double().numpy(), kernel[j, band], mode="mirror")
                    for j in range(2)
                )
                for band in range(4)
            ]
            for n in range(2)
        ]
    )
    truth = scene.double().numpy()
    norms = np.linalg.norm(truth, axis=1) * np.linalg.norm(wide, axis=1)
    expected = np.arccos((truth * wide).sum(1) / norms).mean()
    assert float(terms["spatial_sad"]) == pytest.approx(expected, rel=1e-4)


def test_an_endmember_of_cnnaeu_is_what_a_pure_scene_is_decoded_to() -> None:
    torch.manual_seed(0)
    network = cnnaeu.build(bands=4, endmembers=2, window=5)
    kernel = network.weights.detach()
    pure = F.conv2d(torch.ones(1, 1, 5, 5), kernel[:1].transpose(0, 1))
    torch.testing.assert_close(pure[0, :, 0, 0], network.endmembers[0].detach())


def test_the_edges_of_msnet_are_those_of_a_laplacian_pyramid() -> None:
    torch.manual_seed(0)
    network = msnet.build(bands=4, endmembers=2).eval()
    scene = torch.rand(1, 4, 12, 11)
    coarser = [F.avg_pool2d(scene, factor, ceil_mode=True) for factor in (4, 2)]
    with torch.no_grad():
        _, terms = network.encode_with_terms(scene)
        maps = network._pyramid([*coarser, scene])

    def blurred(image: np.ndarray) -> np.ndarray:
        taps = [0.05, 0.25, 0.4, 0.25, 0.05]
        for axis in (1, 2):
            image = correlate1d(image, taps, axis, mode="nearest")
        return image

    def details(image: Tensor) -> np.ndarray:
        values = image[0].double().numpy()
        thinned = np.zeros_like(values)
        thinned[:, ::2, ::2] = 4 * blurred(values)[:, ::2, ::2]
        return values - blurred(thinned)

    expected = 0.0
    for coarse, fine in itertools.pairwise(maps):
        halved = F.avg_pool2d(fine, 2, ceil_mode=True)
        expected += np.sqrt((details(halved) - details(coarse)) ** 2 + 1e-6).mean()
    assert float(terms["edge"]) == pytest.approx(expected, rel=1e-4)


def test_the_resolutions_of_msnet_have_endmembers_of_their_own() -> None:
    network = msnet.build(bands=4, endmembers=2)
    network.set_endmembers(torch.rand(2, 4))
    with torch.no_grad():
        network.coarse[0].add_(1)
    assert not torch.equal(network.coarse[0], network.coarse[1])
    torch.testing.assert_close(network.coarse[1], network.weights)


def test_each_side_of_aaenet_learns_from_its_own_loss_alone() -> None:
    torch.manual_seed(0)
    network = aaenet.build(bands=4, endmembers=2).eval()
    network.set_endmembers(torch.rand(2, 4))
    scene = torch.rand(2, 4, 3, 3)
    shares, terms = network.encode_with_terms(scene)
    found = shares.permute(0, 2, 3, 1).reshape(-1, 2)
    pixels = scene.permute(1, 0, 2, 3).reshape(4, -1)
    prior = fcls.solve(pixels, network.start).abundances.T.float()
    passing = -network.critic(found).sigmoid().log().mean()
    telling = -(1 - network.critic(found).sigmoid()).log().mean()
    telling = telling - network.critic(prior).sigmoid().log().mean()
    assert float(terms["adversary"].detach()) == pytest.approx(
        float((passing + telling).detach()), rel=1e-5
    )
    for part, loss in ((network.encoder, passing), (network.critic, telling)):
        weights = list(part.parameters())
        expected = torch.autograd.grad(loss, weights, retain_graph=True)
        given = torch.autograd.grad(terms["adversary"], weights, retain_graph=True)
        for one, other in zip(given, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_pixel_below_all_thresholds_of_aaenet_is_still_on_the_simplex() -> None:
    network = aaenet.build(bands=4, endmembers=3).eval()
    with torch.no_grad():
        network.threshold.fill_(1e6)
        shares = network.encode(torch.rand(1, 4, 2, 2))
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 3))


@pytest.mark.parametrize("numbers", [{"token": 7}, {"patch": 3}, {"heads": 7}])
def test_tokens_that_do_not_divide_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="do not divide"):
        deeptrans.build(bands=4, endmembers=2, **numbers)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (10, 5)])
def test_deeptrans_takes_any_size(shape: tuple[int, int]) -> None:
    network = deeptrans.build(bands=4, endmembers=2).eval()
    with torch.no_grad():
        assert network.encode(torch.rand(2, 4, *shape)).shape == (2, 2, *shape)


def test_what_a_patch_holds_reaches_every_pixel_of_deeptrans() -> None:
    torch.manual_seed(0)
    network = deeptrans.build(bands=4, endmembers=2).eval()
    scene = torch.rand(1, 4, 10, 15, requires_grad=True)
    network.encode(scene)[0, 0, 0, 0].backward()
    assert scene.grad is not None
    assert (scene.grad[0].abs().amax(0) > 0).all()


def test_a_window_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="no middle"):
        cnnaeu.build(bands=4, endmembers=2, window=4)
