"""SSPSR: a branch shared by groups of neighbouring bands, then a trunk over all of them.

For comparison, with the published layers. Two things differ. Scale 3, for which there is no
network, is left to the trunk. Once attention is frozen to a scene, the groups share what the
branch's attention has seen, their mean.
"""

from __future__ import annotations

from torch import Tensor

from hsisr_models.blocks import LIVE, stages
from hsisr_models.groups import Branch, Trunk, branched, groups, reach_of
from hsisr_models.networks import SrNetwork
from hsisr_models.rendering import Area, Renderer

SOURCE = "Jiang, Sun, Liu, Ma, SSPSR, IEEE TCI 6, 2020; layers of the authors' code"
SCALES = (2, 3, 4, 8)


class SSPSR(SrNetwork):
    """The network of Jiang et al. for a fixed number of bands.

    `group` bands, `overlap` of which belong to the group before too, go through the branch
    together, up to the last factor of the scale. What groups say of the same band is averaged.
    Raises `ValueError` for groups that are nothing but overlap.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 256,
        depth: int = 3,
        reduction: int = 16,
        group: int = 8,
        overlap: int = 2,
        material: str = "film",
    ) -> None:
        super().__init__()
        self.scale = scale
        *factors, last = stages(scale)
        self.groups = groups(bands, group, overlap)
        self.branch = Branch(len(self.groups[0]), width, depth, reduction, factors)
        self.trunk = Trunk(
            bands, width, depth, reduction, last, endmembers=endmembers, material=material
        )
        self.reach = reach_of(depth, factors, last)
        self.uses_abundances = self.trunk.material.is_on
        self.abundance_reach = self.trunk.material.reach(1, scale)
        self.footprint = LIVE * width * (scale // last) ** 2

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w); abundances steer the last stage."""
        del kept
        refined = branched(self.branch, scene, self.groups)
        return self.trunk.image(refined, scene, self.scale, abundances).renderer(self.scale)


build = SSPSR
