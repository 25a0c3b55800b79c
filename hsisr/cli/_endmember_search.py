"""The search for endmembers in a scene: done once per run, with progress, and interruptible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.wording import counted

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from hsisr.cube import Cube
    from hsisr.tiling.journal import Journal, Unkept
    from hsisr.unmixing.classical import InScene
    from hsisr.window import Window

_STEPS = 1000
"""Into how many a search is divided that tells the share of it that is done."""


def endmembers_of(
    cube: Cube, source: InScene, journal: Journal | Unkept, stopper: shared.Stopper
) -> tuple[NDArray[float32], dict[str, int]]:
    """The endmembers (p, B) of a scene, and estimates of their number where none is given."""
    import torch

    from hsisr.unmixing.classical import settled

    counts = _estimates(cube, journal, stopper) if source.count is None else {}
    count = source.count or settled(counts, cube.spec)

    def search() -> dict[str, torch.Tensor]:
        pixels = source.sample(cube, count, _strips(cube, stopper))
        label = f"looking for {counted(count, 'endmember')}"
        shared.say(f"{label} in {counted(len(pixels), 'pixel')}, by {source.method}")
        with shared.advancing(label, _STEPS, stopper) as advanced:
            found = source.extracted(pixels, count, lambda share: advanced(round(share * _STEPS)))
        return {"endmembers": torch.from_numpy(found)}

    return journal.once("endmembers", search)["endmembers"].numpy(), counts


def _estimates(cube: Cube, journal: Journal | Unkept, stopper: shared.Stopper) -> dict[str, int]:
    """Estimates of the number of endmembers by every method, made once per run and printed."""
    import torch

    from hsisr.unmixing.classical import estimates, settled

    def count() -> dict[str, torch.Tensor]:
        told = estimates(cube, _strips(cube, stopper))
        return {name: torch.tensor(number) for name, number in told.items()}

    found = {name: int(count) for name, count in journal.once("counts", count).items()}
    told = ", ".join(f"{count} by {name}" for name, count in sorted(found.items()))
    shared.say(f"endmembers {told}; {settled(found, cube.spec)} are looked for")
    return found


def _strips(cube: Cube, stopper: shared.Stopper) -> Iterator[Window]:
    """The strips of a scene from top to bottom, with progress shown."""
    from hsisr.scene.spectra import strips

    rows = cube.spec.rows
    return stopper.heeded(
        shared.progress(strips(cube.spec), rows, "reading", lambda strip: strip.row_stop)
    )
