"""Abundances of one class are added up, without a pixel depending on those beside it."""

from __future__ import annotations

import numpy as np
import torch

from hsisr_models.classes import summed_by_class


def test_the_spectra_of_a_class_are_added_up() -> None:
    shares = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(6), (40, 7))).movedim(2, 0)
    classes = (2, 0, 0, 2, 0, 3)
    found = summed_by_class(shares, classes)
    expected = np.zeros((4, 40, 7))
    np.add.at(expected, list(classes), shares.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert (found[1] == 0).all()
    np.testing.assert_allclose(found.sum(0), 1)
    assert torch.equal(found[:, 3:5], summed_by_class(shares[:, 3:5], classes))


def test_a_pixel_without_abundances_is_of_no_class() -> None:
    shares = torch.tensor([[0.2, torch.nan], [0.8, torch.nan]])
    found = summed_by_class(shares, (0, 1))
    assert torch.equal(found[:, 0], shares[:, 0])
    assert found[:, 1].isnan().all()
