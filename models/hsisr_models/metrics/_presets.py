"""Presets: sets of measures with the settings that parts of the field use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Measures as one part of the field takes them."""

    source: str
    """Who measures so."""
    measures: Mapping[str, Mapping[str, Any]]
    """The settings of each measure, by its name on the shelf, in the order of the columns."""
    clipped: bool = False
    """Whether estimates are clipped to the range of the data first."""


PRESETS = {
    "sspsr": Preset(
        "as SSPSR (Jiang et al. 2020) and most of the field, ERGAS with the true ratio",
        {name: {} for name in ("psnr", "ssim", "sam", "ergas", "cc", "rmse")},
    ),
    "mcnet": Preset(
        "as MCNet (Li et al. 2020) and its siblings",
        # the smallest number that is added is the one of their code
        {
            "psnr": {"pooled": True},
            "ssim": {"window": 11, "sigma": 1.5},
            "sam": {"zero": 2.2204e-16},
        },
        clipped=True,
    ),
    "wald": Preset(
        "as fusion is judged since Wald (2000), by measures that no peak enters",
        {name: {} for name in ("ergas", "rase", "sam", "cc", "uiqi")},
    ),
}
