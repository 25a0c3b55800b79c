"""A network is written in one of two ways, and can be used in both."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from hsisr_models.networks import SrNetwork
from hsisr_models.rendering import Area, Image, Renderer
from tests.windows import windows


class Whole(SrNetwork):
    """Sees all of its image, so it can only be run as a whole."""

    scale = 2

    def forward(self, scene: Tensor, abundances: Tensor | None = None) -> Tensor:
        del abundances
        return (scene - scene.mean((2, 3), keepdim=True)).repeat_interleave(2, 2).repeat(1, 1, 1, 2)


class Windowed(SrNetwork):
    """Sees single pixels, so it can be run on any."""

    scale = 1

    def prepare(
        self, scene: Tensor, abundances: Tensor | None = None, *, kept: Area | None = None
    ) -> Renderer:
        del abundances, kept
        return Image.of(scene).through(torch.square).renderer(self.scale)


def test_a_network_that_runs_as_a_whole_gives_its_windows() -> None:
    scene = torch.rand(1, 3, 7, 9)
    render, whole = Whole().prepare(scene), Whole()(scene)
    for rows, cols in windows((7, 9), 10):
        expected = whole[..., 2 * rows.start : 2 * rows.stop, 2 * cols.start : 2 * cols.stop]
        assert torch.equal(render(rows, cols), expected)


def test_a_network_of_windows_gives_the_whole() -> None:
    scene = torch.rand(1, 3, 7, 9)
    assert torch.equal(Windowed()(scene), scene.square())


def test_nothing_is_computed_but_the_window_and_what_it_depends_on() -> None:
    asked: list[tuple[slice, slice]] = []

    def window(rows: slice, cols: slice) -> Tensor:
        asked.append((rows, cols))
        return torch.zeros(1, 1, rows.stop - rows.start, cols.stop - cols.start)

    def tripled(image: Tensor) -> Tensor:
        return image.repeat_interleave(3, 2).repeat_interleave(3, 3)

    fine = Image((20, 30), window).through(torch.square, reach=1).through(tripled, factor=3)
    assert fine.size == (60, 90)
    assert fine.window(slice(14, 16), slice(0, 90)).shape[2:] == (2, 90)
    assert asked == [(slice(3, 7), slice(0, 30))]


def test_what_lies_off_the_border_is_computed_without_what_only_the_border_needs() -> None:
    scene, kernel = torch.rand(1, 1, 9, 11), torch.rand(1, 1, 3, 3)
    seen: list[torch.Size] = []

    def inner(image: Tensor) -> Tensor:
        seen.append(image.shape[2:])
        return conv2d(image, kernel)

    image = Image.of(scene).through(lambda x: conv2d(x, kernel, padding=1), reach=1, inner=inner)
    whole = image.whole()
    assert not seen
    for rows, cols in windows((9, 11), 12):
        torch.testing.assert_close(image.window(rows, cols), whole[..., rows, cols])
        off = rows.start > 0 and cols.start > 0 and rows.stop < 9 and cols.stop < 11
        sides = (rows.stop - rows.start + 2, cols.stop - cols.start + 2)
        assert seen == ([sides] if off else [])
        seen.clear()
