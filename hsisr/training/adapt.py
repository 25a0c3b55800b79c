"""Fine-tuning a model for any sensor on the very scene it is about to sharpen.

The scene is degraded once more and serves as the truth. Disjoint parts of it train, select and
judge: the adapted model is taken only where both of the latter find it better.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hsisr import recipe
from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.checkpoint import Checkpoint
from hsisr.checkpoints.header import MODEL
from hsisr.cube import Cube
from hsisr.data.cutting import Layout, cut
from hsisr.data.token_sampler import TokenSampler
from hsisr.data.tokens import Source, TokenSet, open_tokens, prepare_tokens
from hsisr.errors import InputError
from hsisr.recipe import Recipe
from hsisr.runtime import Runtime
from hsisr.training.fit import Report, Work, fit
from hsisr.training.steps import total_loss
from hsisr.training.token_step import TokenStep
from hsisr.window import Window
from hsisr.wording import counted

SHARES = (0.6, 0.2, 0.2)
"""Of training, selecting and judging along the longer side of the scene."""
_LEAST = 1000
"""Low-resolution pixels to select and to judge by. On parts of 110, an adapted model that seemed
0.3 dB better was 0.15 dB worse where it mattered, at the scene's own scale."""

MARGIN = 0.15
"""Gain in dB that is asked for on both: less on the degraded scene can be a loss on the scene
itself. Of three scenes, gains of 0.21, 0.08 and 0.08 dB became +0.05, -0.03 and -0.15 dB there."""


@dataclass(frozen=True)
class Verdict:
    """What the adaptation gained over the model as it was, in dB, on parts it did not train on."""

    selecting: float
    judging: float
    steps: int

    @property
    def accepted(self) -> bool:
        """Whether the adapted model is clearly the better one."""
        return min(self.selecting, self.judging) >= MARGIN


def prepare(cube: Cube, model: Checkpoint, folder: Path, operator: str) -> TokenSet:
    """Degrade the scene into `folder`; raises `InputError` if it is too small to judge by."""
    scale = model.card.scale
    parts = cut(cube.spec, Layout(scale, operator, SHARES), cube.files[0])
    _require_enough(parts, scale, cube.files[0])
    sources = [
        Source(cube, split, _coarser(window, scale))
        for split, windows in parts.items()
        for window in windows
    ]
    tokens = int(_numbers(model).sr.numbers["tokens"])
    for _ in prepare_tokens(sources, folder, scale=scale, operators=[operator], tokens=tokens):
        pass
    return open_tokens(folder)


def _require_enough(parts: dict[str, list[Window]], scale: int, where: Path) -> None:
    for split in ("validation", "test"):
        pixels = sum(window.height * window.width for window in parts[split]) // scale**2
        if pixels < _LEAST:
            raise InputError(
                f"the scene is too small to tell whether an adapted model is better: degraded "
                f"{scale} times, its {split} part has {counted(pixels, 'pixel')}, "
                f"{_LEAST} are needed",
                where=where,
                hint="upscale it without --adapt",
            )


class Adapting:
    """The fine-tuning: `reports` trains until the time is over, `verdict` then judges."""

    def __init__(
        self,
        model: Checkpoint,
        tokens: TokenSet,
        folder: Path,
        *,
        minutes: float,
        runtime: Runtime,
    ) -> None:
        self._tokens, self._folder, self._runtime = tokens, folder, runtime
        self._seconds, self._steps = 60 * minutes, 0
        self._recipe = _numbers(model)
        self._task = self._step(model)
        self._before = {split: self._task.score(split) for split in ("validation", "test")}

    def _step(self, model: Checkpoint) -> TokenStep:
        step = TokenStep(self._tokens, self._recipe, model)
        step.network.to(self._runtime.device)
        return step

    def reports(self) -> Generator[Report]:
        """Train, reporting every step; ends at the first validation after the time."""
        training, started = self._recipe.sr.training, time.monotonic()
        work = Work(
            self._task,
            partial(total_loss, weights=self._recipe.sr.loss),
            TokenSampler(self._tokens, patch=training.patch, batch=training.batch, seed=0),
            training,
        )
        with closing(fit(work, self._folder, self._runtime)) as reports:
            for report in reports:
                self._steps = report.step
                yield report
                if report.scores and time.monotonic() - started > self._seconds:
                    return

    def verdict(self) -> tuple[Checkpoint, Verdict]:
        """The best adapted model by the selecting part, and how it does."""
        found = checkpoint.load(self._folder / MODEL)
        step = self._step(found)
        gains = {split: step.score(split) - score for split, score in self._before.items()}
        return found, Verdict(gains["validation"], gains["test"], self._steps)


def _numbers(model: Checkpoint) -> Recipe:
    """The recipe `adapt` for the network of the model."""
    known, own = recipe.load("adapt"), model.card.network
    assert own is not None
    return replace(known, sr=replace(known.sr, network=own.name, numbers=own.numbers))


def _coarser(window: Window, scale: int) -> Window:
    return Window(
        *(side // scale for side in (window.row, window.col, window.height, window.width))
    )
