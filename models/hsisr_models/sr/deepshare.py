"""DeepShare: the branch for groups of bands also sharpens colour images, by a trunk of their own.

For comparison, with the network of SSPSR, on which its authors build, and their second task. Two
things differ. Their colour images are photographs of another collection; here they are made of the
scene, the means of three thirds of its bands, so that no other data are needed. Scale 3, for which
they have no network, is left to the trunks. Like theirs a colour image is taken to as many bands as
there are in a group. Their mixing of spectra and their scenes without a truth belong to the data,
and are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hsisr_models.blocks import stages
from hsisr_models.exact import linear
from hsisr_models.groups import Trunk
from hsisr_models.rendering import everything
from hsisr_models.sr.sspsr import SSPSR

SOURCE = "Li, Dai, Konukoglu, Van Gool, arXiv:2101.07589; layers of the authors' code"
SCALES = (2, 3, 4, 8)
_COLOURS = 3


class DeepShare(SSPSR):
    """The network of Li et al. for a fixed number of bands; `auxiliary` is on colour images."""

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
        super().__init__(
            bands=bands,
            scale=scale,
            endmembers=endmembers,
            width=width,
            depth=depth,
            reduction=reduction,
            group=group,
            overlap=overlap,
            material=material,
        )
        together, last = len(self.groups[0]), stages(scale)[-1]
        self.colour_trunk = Trunk(together, width, depth, reduction, last)

    def auxiliary(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """A colour image, and how it is sharpened."""
        colours = _colours(low.shape[1], len(self.groups[0])).to(low)
        coarse, fine = (linear(scene.movedim(1, 3), colours).movedim(3, 1) for scene in (low, high))
        sharp = self.colour_trunk.image(self.branch(coarse).float(), coarse, self.scale)
        return fine, everything(sharp.renderer(self.scale), coarse)


def _colours(bands: int, together: int) -> Tensor:
    """The matrix (together, bands) that makes a colour image and interpolates between colours."""
    means = F.adaptive_avg_pool1d(torch.eye(bands)[None], _COLOURS)
    return F.interpolate(means, together, mode="linear", align_corners=True)[0].T


build = DeepShare
