"""Classes of materials, of which several endmembers can be examples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor


def summed_by_class(abundances: Tensor, classes: Sequence[int]) -> Tensor:
    """What is of each class (c, ...) of the abundances (n, ...), given the class of each of n.

    Classes are counted from 0. Exact: a pixel's sums do not depend on the pixels beside it.
    """
    members: list[list[Tensor]] = [[] for _ in range(max(classes) + 1)]
    for index, kind in enumerate(classes):
        members[kind].append(abundances[index])
    nothing = torch.zeros_like(abundances[0])
    return torch.stack([reduce(add, shares, nothing) for shares in members])
