from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hsisr_models.contract import Outcome
from hsisr_models.losses import smoothness


def outcome(endmembers: Tensor | None) -> Outcome:
    return Outcome(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), endmembers=endmembers)


def test_it_is_the_total_variation_of_a_spectrum_averaged_over_endmembers() -> None:
    endmembers = torch.rand(4, 9)
    steps = np.abs(np.diff(endmembers.numpy(), axis=1))
    expected = np.mean([spectrum.sum() for spectrum in steps])
    assert float(smoothness.loss(outcome(endmembers))) == pytest.approx(expected, rel=1e-6)


def test_it_does_not_telescope_as_the_printed_equation_does() -> None:
    up_and_down = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]])
    assert float(smoothness.loss(outcome(up_and_down))) == 4


def test_flat_spectra_and_single_bands_are_smooth() -> None:
    assert float(smoothness.loss(outcome(torch.full((3, 5), 0.7)))) == 0
    assert float(smoothness.loss(outcome(torch.rand(3, 1)))) == 0


def test_a_step_without_endmembers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the endmembers"):
        smoothness.loss(outcome(None))
