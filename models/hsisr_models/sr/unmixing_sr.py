"""UnmixingSR: GRAMs, progressive up-sampling, a global residual, steered by abundances (Fig. 6)."""

from __future__ import annotations

import math
from fractions import Fraction
from operator import add

from torch import Tensor, nn

from hsisr_models.blocks import (
    GRAM,
    LIVE,
    Conv,
    MaterialAwareModule,
    UpsampleStage,
    coarse_reach,
    is_local,
    stages,
    zero,
)
from hsisr_models.imaging import BICUBIC_REACH, enlarged
from hsisr_models.networks import SrNetwork
from hsisr_models.rendering import Area, Image, Renderer, added, all_of, grown

SOURCE = "Yu, UnmixingSR, arXiv:2407.06525, III-D"
SCALES = (2, 3, 4, 5, 6, 7, 8)
SKIPS = ("image", "feature")


class UnmixingSR(SrNetwork):
    """The paper's super-resolution network for a fixed number of bands.

    `endmembers` = 0 leaves out the unmixing.
    `material` is the material-aware module after every up-sampling stage (`film`, `concat` or
    `off`). `skip` says where the bicubic scene joins: `image` adds it to the output of a last
    convolution that starts at zero, `feature` adds its convolution to that layer's input, which
    is the literal reading.
    """

    def __init__(
        self,
        *,
        bands: int,
        scale: int,
        endmembers: int = 0,
        width: int = 64,
        depth: int = 9,
        kernel: int = 3,
        spectral_kernel: int = 3,
        head_kernel: int = 3,
        reduction: int = 16,
        material: str = "film",
        skip: str = "image",
    ) -> None:
        super().__init__()
        if skip not in SKIPS:
            raise ValueError(f"no skip connection '{skip}'; known: {', '.join(SKIPS)}")
        self.scale, self.factors = scale, stages(scale)
        self.stem = Conv(bands, width, kernel)
        self.body = nn.ModuleList(
            GRAM(width, kernel=kernel, spectral_kernel=spectral_kernel, reduction=reduction)
            for _ in range(depth)
        )
        self.stages = nn.ModuleList(UpsampleStage(width, factor) for factor in self.factors)
        self.materials = nn.ModuleList(
            MaterialAwareModule(width, endmembers, material)
            for _ in self.factors
            if endmembers and material != "off"
        )
        self.uses_abundances = len(self.materials) > 0
        self.lift = Conv(bands, width, kernel) if skip == "feature" else None
        self.head = Conv(width, bands, head_kernel)
        if self.lift is None:
            zero(self.head)
        self.gram_reach = spectral_kernel // 2 + 2 * (kernel // 2)
        body = kernel // 2 + depth * self.gram_reach
        head = head_kernel // 2
        joined = head + kernel // 2 if self.lift is not None else 0
        self.footprint = LIVE * width
        self.reach, self.abundance_reach = _reaches(self.factors, body, head, joined)

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        """As every network, from a scene (N, B, h, w) and abundances (N, p, h, w)."""
        if kept is None or not is_local(self):
            kept = all_of(scene)
        shallow = deep = Image.of(self.stem(scene))
        for gram in self.body:
            deep = deep.through(gram, reach=self.gram_reach)
        around = grown(kept, coarse_reach(self.factors, self.head.reach), deep.size)
        features = deep.joined(shallow, add).window(*around)
        fine = Image.part(features, around, deep.size)
        for index, factor in enumerate(self.factors):
            fine = fine.through(self.stages[index], reach=1, factor=factor)
            if self.uses_abundances:
                fine = self.materials[index](fine, abundances)
        # the skip stays in full precision: in bfloat16 it would cost 15 dB
        smooth = enlarged(scene.float(), self.scale)
        if self.lift is not None:
            fine = smooth.through(self.lift, reach=self.lift.reach).joined(fine, add)
        sharp = fine.through(self.head, reach=self.head.reach)
        if self.lift is None:
            sharp = smooth.joined(sharp, added)
        return sharp.renderer(self.scale)


def _reaches(factors: list[int], body: int, head: int, joined: int) -> tuple[int, int]:
    """How far the scene and the abundances reach, in low-resolution pixels.

    `body`, `head` and `joined` are the radii of the convolutions before the up-sampling, after it,
    and after the bicubic scene has joined.

    A convolution of radius r on a grid z times finer reaches r / z; output pixels at the edge of
    a low-resolution pixel see the next one, so the sum is rounded up.
    """
    zoom, fine, abundance = 1, Fraction(0), Fraction(0)
    for index, factor in enumerate(factors):
        fine += Fraction(1, zoom)
        zoom *= factor
        if index == 0:
            fine_before_material = fine
            abundance = Fraction(1, zoom)
    after = fine - fine_before_material + Fraction(head, zoom)
    features = math.ceil(body + fine + Fraction(head, zoom))
    smooth = BICUBIC_REACH + math.ceil(Fraction(joined, zoom))
    return max(features, smooth), math.ceil(abundance + after)


build = UnmixingSR
