"""Bicubic interpolation, the row that every table starts with: no parameter, any band count."""

from __future__ import annotations

from torch import Tensor

from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import SrNetwork
from hsisr_models.rendering import Area, Renderer

SOURCE = "Keys, IEEE TASSP 29(6), 1981; MATLAB imresize"
SCALES = (2, 3, 4, 5, 6, 7, 8)


class Bicubic(SrNetwork):
    """Cubic convolution with a = -0.5."""

    reach = BICUBIC_REACH
    abundance_reach = 0
    uses_abundances = False

    def __init__(self, *, bands: int, scale: int, endmembers: int = 0) -> None:
        del bands, endmembers  # any
        super().__init__()
        self.scale = scale

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network; abundances are ignored."""
        del abundances, kept
        return enlarged(scene, self.scale).renderer(self.scale)


build = Bicubic
