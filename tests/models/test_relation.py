from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hsisr_models.relation import KINDS, AbundanceRelation


def random_abundances(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_both_sides_have_one_shape_and_lie_on_the_simplex(kind: str, scale: int) -> None:
    fine, coarse = random_abundances(2, 3, 4 * scale, 5 * scale), random_abundances(2, 3, 4, 5)
    pair = AbundanceRelation(kind, 3, scale).double()(fine, coarse, fine)
    assert pair[0].shape == pair[1].shape
    for abundances in pair:
        assert abundances.min() >= 0
        torch.testing.assert_close(abundances.sum(1), torch.ones_like(abundances[:, 0]))


def test_pool_is_zero_at_the_truth() -> None:
    fine = random_abundances(1, 3, 8, 12)
    coarse = fine.reshape(1, 3, 2, 4, 3, 4).mean((3, 5))
    abundances, expected = AbundanceRelation("pool", 3, 4)(fine, coarse)
    torch.testing.assert_close(abundances, expected)


def test_nearest_expects_a_block_of_equal_abundances() -> None:
    coarse = random_abundances(1, 3, 2, 3)
    fine = random_abundances(1, 3, 8, 12)
    abundances, expected = AbundanceRelation("nearest", 3, 4)(fine, coarse)
    assert abundances is fine
    assert torch.equal(expected[0, :, 5, 10], coarse[0, :, 1, 2])
    assert torch.equal(expected[0, :, 3, 4], coarse[0, :, 0, 1])


def test_hr_expects_the_abundances_of_the_truth() -> None:
    fine, true = random_abundances(2, 3, 8, 8).chunk(2)
    relation = AbundanceRelation("hr", 3, 4)
    assert relation(fine, true[..., ::4, ::4], true) == (fine, true)
    with pytest.raises(ValueError, match="true scene"):
        relation(fine, true[..., ::4, ::4])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_deconv_starts_as_bilinear_interpolation(scale: int) -> None:
    coarse = random_abundances(1, 3, 6, 5).float()
    _, expected = AbundanceRelation("deconv", 3, scale)(coarse, coarse)
    bilinear = torch.nn.functional.interpolate(coarse, scale_factor=scale, mode="bilinear")
    inside = (..., slice(scale, -scale), slice(scale, -scale))
    torch.testing.assert_close(expected[inside], bilinear[inside], atol=1e-5, rtol=0)


def test_deconv_learns_and_stays_on_the_simplex() -> None:
    fine, coarse = random_abundances(1, 3, 8, 8).float(), random_abundances(1, 3, 4, 4).float()
    relation = AbundanceRelation("deconv", 3, 2)
    optimiser = torch.optim.SGD(relation.parameters(), 50.0)
    distances = []
    for _ in range(20):
        abundances, expected = relation(fine, coarse)
        assert expected.min() >= 0
        torch.testing.assert_close(expected.sum(1), torch.ones(1, 8, 8))
        optimiser.zero_grad()
        distance = (abundances - expected).square().mean()
        distance.backward()
        optimiser.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < distances[0]


def test_only_deconv_has_something_to_learn() -> None:
    learned = {kind for kind in KINDS if list(AbundanceRelation(kind, 3, 2).parameters())}
    assert learned == {"deconv"}


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'poool'; known: pool, nearest, hr, deconv"):
        AbundanceRelation("poool", 3, 4)
